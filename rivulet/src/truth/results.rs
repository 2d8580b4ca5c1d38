//! Results of somebody's consumer: lines of a file, or records of a topic.

use std::io::Read;
use std::path::Path;

use rivulet_core::error::{Error, Result};
use rivulet_core::topic_source::TopicSource;
use rivulet_formats::schema_registry::SchemaRegistry;
use rivulet_producer::line_reader::LineReader;
use rivulet_verify::experiment::{ResultCheck, StudentResult, TruthPlace};
use serde_json::{Deserializer, Value as Json};

use super::{ResultFields, open};
use crate::consume::value::{Value, Values};

/// Adds each line of a file as a result.
///
/// # Errors
/// If the file cannot be read.
pub fn add_file(check: &mut ResultCheck<'_>, fields: &ResultFields, path: &Path) -> Result<()> {
    let name = path.display().to_string();
    add_lines(check, fields, &name, open(path)?)
}

fn add_lines(
    check: &mut ResultCheck<'_>,
    fields: &ResultFields,
    name: &str,
    mut input: impl Read,
) -> Result<()> {
    let mut lines = LineReader::default();
    loop {
        while lines.advance() {
            if lines.is_blank() {
                continue;
            }
            let (file, line) = (name.to_owned(), lines.number());
            let place = TruthPlace::Line { file, line };
            match lines.whole() {
                Ok(text) => add_json(check, fields, place, text),
                Err(why) => check.add_undecodable(place, why.to_string()),
            }
        }
        if lines.has_ended() {
            return Ok(());
        }
        let filled = lines.fill(&mut input);
        filled.map_err(|error| Error::caused_by(format!("reading {name}"), error))?;
    }
}

/// Adds each record of a topic as a result. `registry` has the schemas of Avro records.
///
/// # Errors
/// If the topic cannot be read, or the registry cannot be reached.
pub fn add_topic(
    check: &mut ResultCheck<'_>,
    fields: &ResultFields,
    topic: &str,
    topics: &mut dyn TopicSource,
    registry: Option<Box<dyn SchemaRegistry>>,
) -> Result<()> {
    let mut values = Values::new(registry);
    let mut failure = None;
    topics.read(topic, &mut |record| {
        if failure.is_some() {
            return;
        }
        let place = TruthPlace::Record {
            partition: record.partition,
            offset: record.offset,
        };
        match values.decode(record.value) {
            Ok(Value::Text(text)) => add_json(check, fields, place, text.as_bytes()),
            Ok(Value::Avro(json)) => add_json(check, fields, place, json.as_bytes()),
            Ok(Value::None) => check.add(place, StudentResult::default()),
            Ok(Value::Bytes(_, why)) => {
                let why = why.unwrap_or_else(|| "it is neither JSON nor Avro".to_owned());
                check.add_undecodable(place, why);
            }
            Err(error) => failure = Some(error),
        }
    })?;
    failure.map_or(Ok(()), Err)
}

/// Adds the results in a text: one JSON object, or several of an Avro file.
fn add_json(check: &mut ResultCheck<'_>, fields: &ResultFields, place: TruthPlace, text: &[u8]) {
    for value in Deserializer::from_slice(text).into_iter::<Json>() {
        let added = match value {
            Ok(value @ Json::Object(_)) => add(check, fields, &place, &value),
            Ok(_) => Err("it is no JSON object".to_owned()),
            Err(error) => Err(format!("it is not JSON: {error}")),
        };
        if let Err(why) = added {
            check.add_undecodable(place, why);
            return;
        }
    }
}

fn add(
    check: &mut ResultCheck<'_>,
    fields: &ResultFields,
    place: &TruthPlace,
    value: &Json,
) -> Result<(), String> {
    let (measurement, experiment) = (fields.measurement(value)?, fields.experiment(value)?);
    let (average, event) = (fields.average(value)?, fields.event(value)?);
    let result = StudentResult {
        experiment: experiment.as_deref(),
        measurement: measurement.as_deref(),
        average,
        event: event.as_deref(),
    };
    check.add(place.clone(), result);
    Ok(())
}
