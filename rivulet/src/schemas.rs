//! The schema registries of a pipeline's topics, and what `rivulet verify` asks them for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use rivulet_core::error::{Error, Kind, Result as OrError};
use rivulet_core::format::DecodeError;
use rivulet_core::reading::InvalidReading;
use rivulet_formats::catalog::avro::Avro;
use rivulet_formats::schema_registry::{RegisteredTopic, RegistrySettings, SchemaRegistry};
use rivulet_node::cli::BoxError;
use rivulet_pipeline::Pipeline;
use rivulet_verify::Schemas;

use crate::Target;

/// The schema registries of a pipeline's topics.
pub struct TopicSchemas<'p> {
    pipeline: &'p Pipeline,
    /// Those that were asked for.
    topics: RefCell<BTreeMap<String, RegisteredTopic>>,
    failure: RefCell<Option<Error>>,
}

impl<'p> TopicSchemas<'p> {
    /// The registries of a pipeline. They are asked when it is necessary.
    #[must_use]
    pub fn new(pipeline: &'p Pipeline) -> Self {
        TopicSchemas {
            pipeline,
            topics: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    /// Checks that each registry has answered. If one has not, what was decoded says nothing.
    ///
    /// # Errors
    /// The first failure.
    pub fn check(self) -> OrError<()> {
        self.failure.into_inner().map_or(Ok(()), Err)
    }

    /// Asks the registry of a topic. After a failure nothing is asked any more.
    fn ask<T>(
        &self,
        topic: &str,
        ask: impl FnOnce(&RegisteredTopic) -> Result<T, DecodeError>,
    ) -> Result<T, String> {
        let mut failure = self.failure.borrow_mut();
        if let Some(failure) = &*failure {
            return Err(failure.to_string());
        }
        let mut topics = self.topics.borrow_mut();
        if !topics.contains_key(topic) {
            let registered = registered(self.pipeline, topic)?;
            topics.insert(topic.to_owned(), registered);
        }
        ask(&topics[topic]).map_err(|error| match error {
            DecodeError::Invalid(invalid) => invalid.to_string(),
            DecodeError::Unavailable(error) => {
                let why = error.to_string();
                *failure = Some(error);
                why
            }
        })
    }
}

/// The registry of a topic whose format is Avro.
///
/// # Errors
/// What is wrong with the settings, or with a file that they name.
pub(crate) fn registered(pipeline: &Pipeline, topic: &str) -> Result<RegisteredTopic, String> {
    let config = &pipeline.topic(topic).format;
    let settings: Avro = config.settings().map_err(|error| error.to_string())?;
    settings.registered(&pipeline.format_context(topic))
}

/// The registry that has the schemas of records: that of the settings, or that of the first of the
/// topics whose format is Avro.
///
/// # Errors
/// What is wrong with the settings, or with a file that they name.
pub(crate) fn registry(
    settings: Option<&RegistrySettings>,
    topics: &[String],
    target: &Target<'_>,
) -> Result<Option<Box<dyn SchemaRegistry>>, BoxError> {
    let failed = |why| Error::new("setting up the client of the schema registry", why);
    if let Some(settings) = settings {
        let client = settings.client(Path::new(""));
        return Ok(Some(
            client.map_err(|why| failed(why).of_kind(Kind::Usage))?,
        ));
    }
    let Some(pipeline) = &target.pipeline else {
        return Ok(None);
    };
    let is_avro = |name: &&String| {
        let topic = pipeline.topics.get(*name);
        topic.is_some_and(|topic| topic.format.name() == "avro")
    };
    let Some(topic) = topics.iter().find(is_avro) else {
        return Ok(None);
    };
    let registered = registered(pipeline, topic).map_err(failed)?;
    Ok(Some(registered.registry))
}

impl Schemas for TopicSchemas<'_> {
    fn schema(&self, topic: &str, id: u32) -> Result<String, String> {
        self.ask(topic, |topic| topic.registry.schema(id))
    }

    fn latest(&self, topic: &str) -> Result<String, String> {
        let unknown = |why: String| Err(InvalidReading::new("unknown-schema", why).into());
        self.ask(topic, |topic| match &topic.subject {
            Err(why) => unknown(why.clone()),
            Ok(subject) => match topic.registry.latest(subject) {
                Ok((_, text)) => Ok(text),
                // What was never written has no schema.
                Err(error) if error.kind() == Kind::Missing => unknown(error.to_string()),
                Err(error) => Err(DecodeError::Unavailable(error)),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked::tests::parse;

    #[test]
    fn a_topic_that_is_only_read_needs_no_subject() {
        let pipeline = parse(
            r#"
            [topic.t]
            external = true
            [topic.t.format.avro]
            registry = "http://127.0.0.1:1"
            value = "v"
            subject-name-strategy = "record"
            [sink.show]
            from = "t"
            sink = "console"
            "#,
        );
        let pipeline = pipeline.unwrap();
        let schemas = TopicSchemas::new(&pipeline);
        let error = schemas.latest("t").unwrap_err();
        assert!(error.contains("named after the record"), "{error}");
        let error = schemas.schema("t", 7).unwrap_err();
        assert!(error.contains("for schema 7"), "{error}");
        assert_eq!(schemas.check().unwrap_err().kind(), Kind::Unreachable);
    }
}
