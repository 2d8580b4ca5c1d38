//! Messages of other programs, by the same settings as the stages' formats and by other code: each
//! field is looked up alone, by a pass over the whole message.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use rivulet_core::topic_source::FetchedRecord;
use rivulet_core::unit::Unit;
use serde::Deserialize;
use serde_json::Value;

use self::places::{Source, always, find, is_missing, nearest, number, pointer, text};
use super::avro::Tree;
use crate::stream::Entry;

mod places;

/// A mapping, as its table of settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct MappedFormat {
    #[serde(default = "key")]
    sensor: Value,
    #[serde(default = "offset")]
    seq: Value,
    #[serde(default = "timestamp")]
    time: Value,
    #[serde(default)]
    time_format: Option<String>,
    #[serde(default)]
    time_plus: Option<Value>,
    #[serde(default)]
    value: Option<Value>,
    #[serde(default)]
    values: BTreeMap<String, Value>,
    #[serde(default)]
    unit: Option<Value>,
    #[serde(default)]
    units: BTreeMap<String, Value>,
    #[serde(default)]
    when: Value,
    #[serde(default)]
    missing: Option<String>,
}

fn key() -> Value {
    "key".into()
}

fn offset() -> Value {
    "offset".into()
}

fn timestamp() -> Value {
    "timestamp".into()
}

/// Why a record has no readings.
enum Nothing {
    Skipped,
    Invalid(String),
}

impl From<String> for Nothing {
    fn from(why: String) -> Self {
        Nothing::Invalid(why)
    }
}

impl MappedFormat {
    /// Whether records can hold readings of several sensors.
    pub(crate) fn has_several(&self) -> bool {
        self.values.len() > 1
    }

    /// The key of the records of a sensor.
    pub(crate) fn key<'s>(&self, sensor: &'s str) -> &'s str {
        match sensor.rsplit_once('/') {
            Some((own, name)) if !own.is_empty() && self.values.contains_key(name) => own,
            _ => sensor,
        }
    }

    /// Whether the values of a sensor are written as 32-bit floats with this schema; an error if
    /// they cannot be written.
    pub(crate) fn is_single(&self, sensor: &str, schema: Option<&Value>) -> Result<bool, String> {
        let Some(schema) = schema else {
            return Ok(false);
        };
        let name = sensor.rsplit_once('/').map_or("", |(_, name)| name);
        let place = self.value.as_ref().or_else(|| self.values.get(name));
        let mut of = schema;
        for name in place.and_then(pointer).unwrap_or_default() {
            let fields = of["fields"]
                .as_array()
                .or_else(|| of["type"]["fields"].as_array());
            let mut fields = fields.into_iter().flatten();
            of = fields
                .find(|field| field["name"] == name)
                .ok_or("no such field")?;
        }
        let kind = &of["type"];
        let is_float = |kind: &Value| *kind == "float" || kind["type"] == "float";
        let branches = kind.as_array().into_iter().flatten();
        let mut kinds = branches.chain([kind]);
        let number = |kind: &&Value| is_float(kind) || **kind == "double";
        Ok(kinds.find(number).is_some_and(is_float))
    }

    /// Whether the records hold sequence numbers, so that they are more than offsets.
    pub(crate) fn has_numbers(&self) -> bool {
        self.seq != "offset"
    }

    /// Whether a record that a stage has written holds the sequence number and the exact time.
    pub(crate) fn is_numbered(&self) -> bool {
        let is_field = |place: &Value| pointer(place).is_some();
        let named = ["milliseconds", "seconds", "microseconds", "rfc3339"];
        let is_exact = self
            .time_format
            .as_deref()
            .is_none_or(|name| named.contains(&name));
        is_field(&self.seq) && is_field(&self.time) && is_exact
    }

    /// The unit that a reading has once it is written and read again; an error if it cannot be
    /// they cannot be written.
    pub(crate) fn unit_of(
        &self,
        sensor: &str,
        unit: Option<Unit>,
        of_topic: Option<Unit>,
    ) -> Result<Option<Unit>, String> {
        let name = sensor.rsplit_once('/').map(|(_, name)| name);
        if self.value.is_none() && !name.is_some_and(|name| self.values.contains_key(name)) {
            return Err(format!(
                "the format has no value for the sensor \"{sensor}\", so its readings become dead \
                 letters"
            ));
        }
        let own = name
            .and_then(|name| self.units.get(name))
            .or(self.unit.as_ref());
        Ok(match own {
            None => of_topic,
            Some(place) => match always(place) {
                Some(name) => name.parse().ok(),
                None => unit.or(of_topic),
            },
        })
    }

    /// The readings of a record, each with its sensor. `trees` decodes its value.
    pub(crate) fn decode(
        &self,
        record: &FetchedRecord<'_>,
        unit: Option<Unit>,
        trees: impl FnOnce(&[u8]) -> Result<Vec<Option<Tree>>, String>,
    ) -> Result<Vec<(String, Entry)>, String> {
        match pick_all(&self.conditions(true), Source { record, tree: None }) {
            Err(Nothing::Skipped) => return Ok(Vec::new()),
            Err(Nothing::Invalid(why)) => return Err(why),
            Ok(()) => (),
        }
        let bytes = record.value.ok_or("no value")?;
        let trees = trees(bytes)?;
        let mut all = Vec::new();
        for tree in &trees {
            let source = Source {
                record,
                tree: tree.as_ref(),
            };
            match self.readings(source, unit) {
                Ok(readings) => all.extend(readings),
                Err(Nothing::Skipped) => (),
                Err(Nothing::Invalid(why)) => return Err(why),
            }
        }
        Ok(all)
    }

    /// The conditions on headers, or those on fields.
    fn conditions(&self, on_headers: bool) -> Vec<Value> {
        let all = match &self.when {
            Value::Array(list) => list.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        let wanted = |condition: &Value| condition.get("header").is_some() == on_headers;
        all.into_iter().filter(wanted).collect()
    }

    fn readings(
        &self,
        source: Source<'_>,
        of_topic: Option<Unit>,
    ) -> Result<Vec<(String, Entry)>, Nothing> {
        let on_fields = self.conditions(false);
        // The whole message must be valid before any of it counts.
        let units = self.unit.iter().chain(self.units.values());
        let places = [&self.sensor, &self.seq, &self.time]
            .into_iter()
            .chain(&self.time_plus);
        let places = places.chain(&self.value).chain(self.values.values());
        let fields = places.chain(units.filter(|place| always(place).is_none()));
        for place in fields.chain(&on_fields).filter_map(pointer) {
            source.look_up(&place)?;
        }
        source.look_up(&[])?;
        pick_all(&on_fields, source)?;
        let sensor = text(&self.part(&self.sensor, source)?)?;
        let seq = self.part(&self.seq, source)?;
        let seq = match &seq {
            Value::String(text) => text.trim_ascii().parse().ok(),
            number => number.as_u64(),
        };
        let seq = seq.ok_or("no sequence number".to_owned())?;
        let mut time = if self.time == "timestamp" {
            source.record.timestamp
        } else {
            self.time(&self.part(&self.time, source)?)?
        };
        if let Some(plus) = &self.time_plus {
            let seconds = number(&self.part(plus, source)?)?;
            time = time.saturating_add(nearest(seconds * 1000.0));
        }
        let alone = self.value.iter().map(|place| (None, place));
        let named = self.values.iter().map(|(name, place)| (Some(name), place));
        let mut readings = Vec::new();
        for (name, place) in alone.chain(named) {
            let value = match self.part(place, source) {
                Ok(value) => number(&value)?,
                Err(Nothing::Skipped) => continue,
                Err(why) => return Err(why),
            };
            let own = name
                .and_then(|name| self.units.get(name))
                .or(self.unit.as_ref());
            let unit = match own {
                None => None,
                Some(place) => match always(place) {
                    Some(name) => name.parse().ok(),
                    None => match find(place, source)? {
                        missing if is_missing(&missing) => None,
                        found => Some(text(&found)?.parse().map_err(|_| "no unit".to_owned())?),
                    },
                },
            };
            let unit = unit.or(of_topic);
            let sensor = name.map_or(sensor.clone(), |name| format!("{sensor}/{name}"));
            if sensor.len() > 4096 {
                return Err("the name is too long".to_owned().into());
            }
            let entry = Entry {
                seq,
                time,
                value,
                unit,
            };
            readings.push((sensor, entry));
        }
        Ok(readings)
    }

    /// What is at a place, unless it is missing.
    fn part(&self, place: &Value, source: Source<'_>) -> Result<Value, Nothing> {
        match find(place, source)? {
            missing if !is_missing(&missing) => Ok(missing),
            _ if self.missing.as_deref() == Some("skip") => Err(Nothing::Skipped),
            _ => Err(Nothing::Invalid(format!("nothing at {place}"))),
        }
    }

    fn time(&self, found: &Value) -> Result<i64, String> {
        let no_time = || format!("{found} is no time");
        // The schema says that it is one.
        if let Some(time) = found.get("time").and_then(Value::as_i64) {
            return Ok(time);
        }
        let (times, by): (i128, i128) = match self.time_format.as_deref() {
            None | Some("milliseconds") => (1, 1),
            Some("seconds") => (1000, 1),
            Some("microseconds") => (1, 1000),
            Some(pattern) => {
                let text = found.as_str().ok_or_else(no_time)?;
                let time = if pattern == "rfc3339" {
                    text.parse::<Timestamp>()
                } else {
                    strtime::parse(pattern, text).and_then(|time| match time.to_timestamp() {
                        Ok(time) => Ok(time),
                        Err(_) => time
                            .to_datetime()?
                            .to_zoned(TimeZone::UTC)
                            .map(|time| time.timestamp()),
                    })
                };
                let nanoseconds = time.map_err(|error| error.to_string())?.as_nanosecond();
                return i64::try_from(nanoseconds.div_euclid(1_000_000)).map_err(|_| no_time());
            }
        };
        let whole: Option<i128> = match found {
            Value::String(text) => text.trim_ascii().parse().ok(),
            number => number
                .as_i64()
                .map(i128::from)
                .or(number.as_u64().map(i128::from)),
        };
        if let Some(whole) = whole {
            let time = whole.checked_mul(times).ok_or_else(no_time)?.div_euclid(by);
            return i64::try_from(time).map_err(|_| no_time());
        }
        let time = (number(found)? * times as f64 / by as f64).round();
        if time.abs() <= 9e15 {
            Ok(nearest(time))
        } else {
            Err(no_time())
        }
    }
}

/// The value that is read again of one that was written as a 32-bit float.
///
/// # Errors
/// If it is too large for one.
pub(crate) fn single(value: f64) -> Result<f64, String> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the schema has no more digits"
    )]
    let rounded = f64::from(value as f32);
    if rounded.is_finite() {
        Ok(rounded)
    } else {
        Err(format!(
            "{value} is too large for the schema, so its reading is a dead letter"
        ))
    }
}

fn pick_all(conditions: &[Value], source: Source<'_>) -> Result<(), Nothing> {
    conditions
        .iter()
        .try_for_each(|condition| pick(condition, source))
}

fn pick(condition: &Value, source: Source<'_>) -> Result<(), Nothing> {
    let found = find(condition, source)?;
    let found_text = match &found {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) => Some(found.to_string()),
        Value::Number(number) if !number.is_f64() => Some(found.to_string()),
        _ => None,
    };
    let is_picked = match condition.get("is") {
        None => !is_missing(&found),
        Some(Value::Array(texts)) if texts.is_empty() => !is_missing(&found),
        Some(Value::Array(texts)) => texts
            .iter()
            .any(|text| text.as_str().map(String::from) == found_text),
        Some(text) => text.as_str().map(String::from) == found_text,
    };
    if is_picked {
        Ok(())
    } else {
        Err(Nothing::Skipped)
    }
}
