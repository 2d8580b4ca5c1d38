//! Guesses the mapping of a sample of JSON messages.

mod fields;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use rivulet_core::error::{Error, Kind, Result};
use serde_json::Value;

use self::fields::{SampleField, fields_of};
use super::sample::SampleRecord;

/// A mapping that fits a sample, as a table to paste into a pipeline file.
#[derive(Debug, Default)]
pub struct Guess {
    /// Each setting with its value in TOML, and what is known of it.
    settings: Vec<(String, String, String)>,
}

impl Guess {
    /// Guesses from a sample.
    ///
    /// # Errors
    /// If no record is a JSON object, or none has a number.
    pub fn new(records: &[SampleRecord]) -> Result<Self> {
        let objects: Vec<Value> = records
            .iter()
            .filter_map(|record| serde_json::from_slice(record.value.as_deref()?).ok())
            .filter(Value::is_object)
            .collect();
        let failed = |cause: &str| Error::new("guessing a mapping", cause).of_kind(Kind::Corrupt);
        if objects.is_empty() {
            return Err(failed("no record is a JSON object")
                .help("bare numbers are of the format `number`"));
        }
        let mut guess = Guess::default();
        let mut fields = fields_of(&objects);
        let is_own = ["/sensor", "/seq", "/time", "/value"]
            .iter()
            .all(|name| fields.iter().any(|field| field.pointer == *name));
        if is_own
            && objects
                .iter()
                .all(|object| object["seq"].is_u64() && object["time"].is_i64())
        {
            return Ok(guess);
        }
        guess.sensor(&mut fields, records);
        guess.time(&mut fields);
        guess.seq(&mut fields, &objects);
        let unit = take_best(&mut fields, words::unit);
        guess.values(fields, objects.len(), unit.as_ref())?;
        Ok(guess)
    }

    fn set(&mut self, name: &str, value: String, about: String) {
        self.settings.push((name.to_owned(), value, about));
    }

    fn sensor(&mut self, fields: &mut Vec<SampleField>, records: &[SampleRecord]) {
        if let Some(field) = take_best(fields, words::sensor) {
            self.set("sensor", quoted(&field.pointer), field.example());
            return;
        }
        let is_keyed = records.iter().any(|record| record.key.is_some());
        if !is_keyed {
            let about = "no field names it: choose a name".to_owned();
            self.set("sensor", "{ constant = \"sensor\" }".to_owned(), about);
        }
    }

    fn time(&mut self, fields: &mut Vec<SampleField>) {
        let Some(time) = take_best(fields, words::time) else {
            return;
        };
        let format = time.time_format().unwrap_or("milliseconds");
        self.set("time", quoted(&time.pointer), time.example());
        if format != "milliseconds" {
            let is_utc = format.contains('%');
            let about = if is_utc { "it is read as UTC" } else { "" };
            self.set("time-format", quoted(format), about.to_owned());
        }
        if format.contains('%')
            && !format.contains("%H")
            && let Some(of_day) = take_best(fields, words::time_of_day)
        {
            self.set(
                "time-plus",
                quoted(&of_day.pointer),
                "seconds since midnight".to_owned(),
            );
        }
    }

    fn seq(&mut self, fields: &mut Vec<SampleField>, objects: &[Value]) {
        let ascends = |field: &SampleField| {
            let numbers: Vec<Option<u64>> = objects
                .iter()
                .map(|object| object.pointer(&field.pointer).and_then(Value::as_u64))
                .collect();
            numbers.iter().all(Option::is_some) && numbers.is_sorted()
        };
        let score = |field: &SampleField| words::seq(field).filter(|_| ascends(field));
        if let Some(seq) = take_best(fields, score) {
            self.set("seq", quoted(&seq.pointer), seq.example());
        }
    }

    fn values(
        &mut self,
        fields: Vec<SampleField>,
        count: usize,
        unit: Option<&SampleField>,
    ) -> Result<()> {
        let numbers: Vec<SampleField> = fields
            .into_iter()
            .filter(|field| field.numbers > 0)
            .collect();
        let known: Vec<&SampleField> = numbers
            .iter()
            .filter(|field| words::value(field).is_some())
            .collect();
        let chosen: Vec<&SampleField> = if known.is_empty() {
            numbers.iter().collect()
        } else {
            known
        };
        let mut units = Vec::new();
        match &chosen[..] {
            [] => {
                let cause = "no field of the sample has a number besides the sensor and the time";
                return Err(Error::new("guessing a mapping", cause).of_kind(Kind::Corrupt));
            }
            [field] => {
                self.set("value", quoted(&field.pointer), field.example());
                if let Some(unit) = words::value(field).flatten() {
                    units.push(("unit".to_owned(), quoted(unit)));
                }
            }
            several => {
                for (name, field) in named(several) {
                    let key = format!("values.{}", bare_or_quoted(&name));
                    self.set(&key, quoted(&field.pointer), field.example());
                    if let Some(unit) = words::value(field).flatten() {
                        units.push((format!("units.{}", bare_or_quoted(&name)), quoted(unit)));
                    }
                }
            }
        }
        match unit {
            Some(field) => self.set("unit", quoted(&field.pointer), field.example()),
            None => {
                for (name, unit) in units {
                    self.set(&name, unit, String::new());
                }
            }
        }
        if chosen.iter().any(|field| field.numbers < count) {
            let about = "not every record has each value".to_owned();
            self.set("missing", quoted("skip"), about);
        }
        Ok(())
    }

    /// The settings of the format, as a pipeline file states them: `json = { … }`.
    #[must_use]
    pub fn format(&self) -> String {
        let line = |(name, value, _): &(String, String, String)| format!("json.{name} = {value}\n");
        if self.settings.is_empty() {
            "json = {}".to_owned()
        } else {
            self.settings.iter().map(line).collect::<Vec<_>>().concat()
        }
    }

    /// The table of a topic, to be pasted into a pipeline file.
    #[must_use]
    pub fn table(&self, topic: &str) -> impl fmt::Display {
        let topic = bare_or_quoted(topic);
        let mut text = format!("[topic.{topic}]\nexternal = true\n");
        if self.settings.is_empty() {
            text += "# the format is rivulet's own JSON, the default\n";
            return text;
        }
        text += "\n[topic.";
        text += &topic;
        text += ".format.json]\n";
        for (name, value, about) in &self.settings {
            let about = if about.is_empty() {
                String::new()
            } else {
                format!("  # {about}")
            };
            text.extend([name, " = ", value, &about, "\n"]);
        }
        text
    }
}

/// Takes the field with the highest score out of the list. Of equals, the first.
fn take_best(
    fields: &mut Vec<SampleField>,
    score: impl Fn(&SampleField) -> Option<u32>,
) -> Option<SampleField> {
    let scores = fields.iter().enumerate().rev();
    let scores = scores.filter_map(|(index, field)| Some((score(field)?, index)));
    let (_, best) = scores.max_by_key(|(score, _)| *score)?;
    Some(fields.remove(best))
}

/// Fields with names: the last of each pointer, or all of it if several end the same.
fn named<'f>(fields: &[&'f SampleField]) -> Vec<(String, &'f SampleField)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for field in fields {
        *counts.entry(field.name()).or_default() += 1;
    }
    let name = |field: &SampleField| {
        let is_clear = counts[field.name()] == 1 && field.name().parse::<u32>().is_err();
        let name = if is_clear {
            field.name()
        } else {
            &field.pointer[1..]
        };
        name.replace("~1", "-").replace('/', "-").to_lowercase()
    };
    fields.iter().map(|field| (name(field), *field)).collect()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn bare_or_quoted(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(is_bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

#[cfg(test)]
mod tests;
