//! The messages of an experiment, decoded by code that no producer uses: [`Message`].

use rivulet_core::topic_source::FetchedRecord;
use serde_json::Value;

use super::life_cycle::LifeCycle;
use super::range::Thresholds;
use crate::decode::avro::{self, Tree};

/// The header that says what a message is. The name of its schema does not: the end of an
/// experiment comes with the schema of its beginning.
const RECORD_NAME: &str = "record_name";
/// The `record_name` of a measurement.
const MEASURED: &str = "sensor_temperature_measured";

/// A message of an experiment.
#[derive(Debug, PartialEq)]
pub(super) struct Message {
    pub(super) experiment: String,
    pub(super) event: Event,
}

/// What a message says.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    Stage(LifeCycle, Option<Configured>),
    Measured(Measured),
}

/// What is known of an experiment from its beginning.
#[derive(Debug, PartialEq)]
pub(super) struct Configured {
    pub(super) sensors: Vec<String>,
    pub(super) thresholds: Thresholds,
}

/// What a sensor has measured.
#[derive(Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) measurement: String,
    pub(super) sensor: String,
    /// In seconds since the epoch.
    pub(super) timestamp: f64,
    pub(super) temperature: f32,
    pub(super) hash: String,
}

impl Message {
    /// Decodes a record. `None` if it is a message about something else.
    ///
    /// # Errors
    /// Why it cannot be decoded.
    pub(super) fn decode(record: &FetchedRecord<'_>) -> Result<Option<Self>, String> {
        let mut headers = record.headers.iter().rev();
        let name = headers.find(|(name, _)| name == RECORD_NAME);
        let name = name.and_then(|(_, name)| name.as_deref());
        let name = name.ok_or("it has no header record_name")?;
        let mut stages = LifeCycle::ALL.into_iter();
        let stage = stages.find(|stage| stage.record_name().as_bytes() == name);
        if stage.is_none() && name != MEASURED.as_bytes() {
            return Ok(None);
        }
        let value = record.value.ok_or("it has no value")?;
        let data = avro::decode(value, None).map_err(|why| format!("no Avro file: {why}"))?;
        let [datum] = data.as_slice() else {
            return Err(format!("its file has {} data instead of one", data.len()));
        };
        let event = match stage {
            Some(LifeCycle::Configuration) => {
                let configured = Some(configured(datum)?);
                Event::Stage(LifeCycle::Configuration, configured)
            }
            Some(stage) => {
                number(datum, "timestamp")?;
                Event::Stage(stage, None)
            }
            None => Event::Measured(Measured {
                measurement: text(datum, "measurement_id")?,
                sensor: text(datum, "sensor")?,
                timestamp: number(datum, "timestamp")?,
                temperature: float(datum, "temperature")?,
                hash: text(datum, "measurement_hash")?,
            }),
        };
        Ok(Some(Message {
            experiment: text(datum, "experiment")?,
            event,
        }))
    }
}

fn configured(datum: &Tree) -> Result<Configured, String> {
    let Tree::List(sensors) = field(datum, "sensors")? else {
        return Err("its field sensors is no array".to_owned());
    };
    let sensors = sensors.iter().map(|sensor| match sensor {
        Tree::Leaf(Value::String(sensor)) => Ok(sensor.clone()),
        _ => Err("one of its sensors is no text".to_owned()),
    });
    let range = field(datum, "temperature_range")?;
    Ok(Configured {
        sensors: sensors.collect::<Result<_, _>>()?,
        thresholds: Thresholds {
            lower: float(range, "lower_threshold")?,
            upper: float(range, "upper_threshold")?,
        },
    })
}

fn field<'t>(datum: &'t Tree, name: &str) -> Result<&'t Tree, String> {
    let missing = || format!("it has no field {name}");
    match datum {
        Tree::Named(fields) => {
            let mut fields = fields.iter();
            let found = fields.find(|(other, _)| other == name);
            Ok(&found.ok_or_else(missing)?.1)
        }
        Tree::Leaf(_) | Tree::List(_) => Err(missing()),
    }
}

fn text(datum: &Tree, name: &str) -> Result<String, String> {
    match field(datum, name)? {
        Tree::Leaf(Value::String(text)) => Ok(text.clone()),
        _ => Err(format!("its field {name} is no text")),
    }
}

fn number(datum: &Tree, name: &str) -> Result<f64, String> {
    match field(datum, name)? {
        Tree::Leaf(Value::Number(number)) => number.as_f64(),
        _ => None,
    }
    .ok_or_else(|| format!("its field {name} is no finite number"))
}

/// A 32-bit float is exact in 64 bits, and so exact again.
fn float(datum: &Tree, name: &str) -> Result<f32, String> {
    #[expect(clippy::cast_possible_truncation, reason = "checked below")]
    let float = number(datum, name)? as f32;
    if float.is_finite() {
        Ok(float)
    } else {
        Err(format!("its field {name} does not fit into 32 bits"))
    }
}
