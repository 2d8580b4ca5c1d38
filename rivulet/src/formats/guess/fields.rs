//! The fields of a sample.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::fmt::strtime;
use serde_json::Value;

/// A field of a sample that holds text, a number or a truth value.
#[derive(Debug)]
pub(super) struct SampleField {
    /// Its JSON pointer.
    pub(super) pointer: String,
    /// In how many records it is a number, or text that is one.
    pub(super) numbers: usize,
    /// What it holds in each record that has it, but not "".
    values: Vec<Value>,
}

/// Patterns of times that are recognised, besides RFC 3339 and numbers.
const PATTERNS: &[&str] = &[
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%d%b%Y:%H:%M:%S",
    "%d-%b-%y",
    "%d-%b-%Y",
    "%Y-%m-%d",
    "%Y%m%d",
];

/// All fields of a sample, in the order of their first appearance.
pub(super) fn fields_of(objects: &[Value]) -> Vec<SampleField> {
    let mut found: Vec<SampleField> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for object in objects {
        let mut leaves = Vec::new();
        collect(object, String::new(), &mut leaves);
        for (pointer, value) in leaves {
            let index = *known.entry(pointer.clone()).or_insert_with(|| {
                found.push(SampleField {
                    pointer,
                    numbers: 0,
                    values: Vec::new(),
                });
                found.len() - 1
            });
            let field = &mut found[index];
            field.numbers += usize::from(number(value).is_some());
            if *value != "" {
                field.values.push(value.clone());
            }
        }
    }
    found
}

fn collect<'v>(value: &'v Value, pointer: String, leaves: &mut Vec<(String, &'v Value)>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let name = name.replace('~', "~0").replace('/', "~1");
                collect(value, format!("{pointer}/{name}"), leaves);
            }
        }
        Value::Array(array) => {
            for (index, value) in array.iter().enumerate() {
                collect(value, format!("{pointer}/{index}"), leaves);
            }
        }
        Value::Null => (),
        leaf => leaves.push((pointer, leaf)),
    }
}

/// The number in a field, also if it is in quotes.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::String(text) => text.trim_ascii().parse().ok(),
        value => value.as_f64(),
    };
    number.filter(|number: &f64| number.is_finite())
}

impl SampleField {
    /// The last part of its pointer.
    pub(super) fn name(&self) -> &str {
        self.pointer.rsplit('/').next().unwrap_or_default()
    }

    /// How many objects it is in.
    pub(super) fn depth(&self) -> u32 {
        u32::try_from(self.pointer.matches('/').count()).unwrap_or(u32::MAX)
    }

    /// Whether it is text that is no number, in all records.
    pub(super) fn is_text(&self) -> bool {
        self.numbers == 0 && self.values.iter().any(Value::is_string)
    }

    /// Whether each value of the sample is at least this, and at most that.
    pub(super) fn is_between(&self, least: f64, most: f64) -> bool {
        let is =
            |value: &Value| number(value).is_some_and(|number| (least..=most).contains(&number));
        !self.values.is_empty() && self.values.iter().all(is)
    }

    /// A value of the sample.
    pub(super) fn example(&self) -> String {
        let first = self
            .values
            .first()
            .map(Value::to_string)
            .unwrap_or_default();
        first.chars().take(60).collect()
    }

    /// The format of its times; `None` if it is not a time.
    pub(super) fn time_format(&self) -> Option<&'static str> {
        // From 2001 to 2100.
        for (format, factor) in [
            ("seconds", 1.0),
            ("milliseconds", 1e3),
            ("microseconds", 1e6),
        ] {
            if self.is_between(1e9 * factor, 4.1e9 * factor) {
                return Some(format);
            }
        }
        let texts: Vec<&str> = self.values.iter().filter_map(Value::as_str).collect();
        if texts.is_empty() || texts.len() < self.values.len() {
            return None;
        }
        if texts.iter().all(|text| text.parse::<Timestamp>().is_ok()) {
            return Some("rfc3339");
        }
        let fits = |pattern: &&&str| {
            texts.iter().all(|text| {
                let parsed = strtime::parse(**pattern, text);
                parsed.is_ok_and(|time| time.to_datetime().is_ok())
            })
        };
        PATTERNS.iter().find(fits).copied()
    }
}
