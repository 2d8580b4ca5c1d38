//! What `rivulet verify` asks schema registries for.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rivulet_core::error::{Error, Kind, Result as OrError};
use rivulet_core::format::DecodeError;
use rivulet_core::reading::InvalidReading;
use rivulet_formats::catalog::avro::Avro;
use rivulet_formats::schema_registry::SchemaRegistry;
use rivulet_pipeline::Pipeline;
use rivulet_verify::Schemas;

/// The schema registries of a pipeline's topics.
pub struct TopicSchemas<'p> {
    pipeline: &'p Pipeline,
    /// The registry and the subject of each topic that was asked for.
    topics: RefCell<BTreeMap<String, Registered>>,
    failure: RefCell<Option<Error>>,
}

/// The registry and the subject of a topic.
type Registered = (Box<dyn SchemaRegistry>, String);

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
        ask: impl FnOnce(&dyn SchemaRegistry, &str) -> Result<T, DecodeError>,
    ) -> Result<T, String> {
        let mut failure = self.failure.borrow_mut();
        if let Some(failure) = &*failure {
            return Err(failure.to_string());
        }
        let mut topics = self.topics.borrow_mut();
        if !topics.contains_key(topic) {
            let registered = self.registered(topic)?;
            topics.insert(topic.to_owned(), registered);
        }
        let (registry, subject) = &topics[topic];
        ask(&**registry, subject).map_err(|error| match error {
            DecodeError::Invalid(invalid) => invalid.to_string(),
            DecodeError::Unavailable(error) => {
                let why = error.to_string();
                *failure = Some(error);
                why
            }
        })
    }

    fn registered(&self, topic: &str) -> Result<Registered, String> {
        let config = &self.pipeline.topic(topic).format;
        let settings: Avro = config.settings().map_err(|error| error.to_string())?;
        settings.registered(&self.pipeline.format_context(topic))
    }
}

impl Schemas for TopicSchemas<'_> {
    fn schema(&self, topic: &str, id: u32) -> Result<String, String> {
        self.ask(topic, |registry, _| registry.schema(id))
    }

    fn latest(&self, topic: &str) -> Result<String, String> {
        self.ask(topic, |registry, subject| match registry.latest(subject) {
            Ok((_, text)) => Ok(text),
            // What was never written has no schema.
            Err(error) if error.kind() == Kind::Missing => {
                Err(InvalidReading::new("unknown-schema", error.to_string()).into())
            }
            Err(error) => Err(DecodeError::Unavailable(error)),
        })
    }
}
