//! The settings of a mapping.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

#[cfg(feature = "schema")]
use super::condition::ConditionTable;
use super::condition::{Condition, OneOrMore};
use super::place::{Place, UnitPlace};
use super::time::TimeFormat;
use crate::schema_registry::{RegistrySettings, SubjectNameStrategy};

/// Where each part of a reading is in the messages of a topic. The same table says how readings are
/// written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MappingTable {
    /// Where the sensor's name is. The default is the record's key.
    pub sensor: Option<Place>,
    /// Where the sequence number is. The default is the record's offset.
    pub seq: Option<Place>,
    /// Where the time is. The default is the record's timestamp.
    pub time: Option<Place>,
    /// How the time is written: `milliseconds` (the default), `seconds` or `microseconds` since the
    /// epoch, `rfc3339`, or a pattern such as `%Y-%m-%d %H:%M:%S`, in UTC.
    pub time_format: Option<TimeFormat>,
    /// Where a number of seconds is that is added to the time, such as a time of day beside a date.
    pub time_plus: Option<Place>,
    /// Where the value is. A number in quotes is a number.
    pub value: Option<Place>,
    /// Where several values are, each with a name. Each is a reading of its own, of the sensor
    /// `SENSOR/NAME`.
    #[serde(default)]
    pub values: BTreeMap<String, Place>,
    /// The unit, or where it is. The default is the topic's `unit`.
    pub unit: Option<UnitPlace>,
    /// The units of `values`, by their names.
    #[serde(default)]
    pub units: BTreeMap<String, UnitPlace>,
    /// Which records concern the chain: all conditions must hold. Others are skipped and counted.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<OneOrMore<ConditionTable>>")
    )]
    pub(super) when: Option<OneOrMore<Condition>>,
    /// What happens if a part of a reading is not there, or is "".
    #[serde(default)]
    pub missing: Missing,
    /// The schema of the topic, as JSON: what is read is resolved to it, and what is written has
    /// it.
    pub schema: Option<String>,
    /// The same in a file, usually `.avsc`. Relative to the pipeline file's folder.
    pub schema_file: Option<PathBuf>,
    /// The schema registry: its URL, or a table with more settings.
    pub registry: Option<RegistrySettings>,
    /// The subject under which the schema is in the registry.
    pub subject: Option<String>,
    /// How the subject is named, unless `subject` names it.
    pub subject_name_strategy: Option<SubjectNameStrategy>,
    /// Whether a schema that is not in the registry is registered. The default is `true`; otherwise
    /// it must be there.
    pub register: Option<bool>,
}

/// The settings of the formats that have a schema.
pub const SCHEMA: &[&str] = &["schema", "schema-file"];
/// The settings of the format that has a registry.
pub const REGISTRY: &[&str] = &[
    "schema",
    "schema-file",
    "registry",
    "subject",
    "subject-name-strategy",
    "register",
];

/// What happens if a part of a reading is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
pub enum Missing {
    /// The record becomes a dead letter.
    #[default]
    DeadLetter,
    /// The value is skipped; without its sensor or time, the record is.
    Skip,
}

impl MappingTable {
    /// Whether it says nothing about readings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let MappingTable {
            sensor,
            seq,
            time,
            time_format,
            time_plus,
            value,
            values,
            unit,
            units,
            when,
            missing,
            schema: _,
            schema_file: _,
            registry: _,
            subject: _,
            subject_name_strategy: _,
            register: _,
        } = self;
        let places = [sensor, seq, time, time_plus, value];
        places.iter().all(|place| place.is_none())
            && time_format.is_none()
            && values.is_empty()
            && unit.is_none()
            && units.is_empty()
            && when.is_none()
            && *missing == Missing::DeadLetter
    }

    /// Checks that of the settings that not every format has, only some are set.
    ///
    /// # Errors
    /// Another one. `format` is the name of the format.
    pub fn check_has_only(&self, allowed: &[&str], format: &str) -> Result<(), String> {
        let set = [
            self.schema.is_some(),
            self.schema_file.is_some(),
            self.registry.is_some(),
            self.subject.is_some(),
            self.subject_name_strategy.is_some(),
            self.register.is_some(),
        ];
        let mut names = REGISTRY.iter().zip(set);
        match names.find(|(name, is_set)| *is_set && !allowed.contains(name)) {
            Some((name, _)) => Err(format!("the format {format} has no `{name}`; remove it")),
            None => Ok(()),
        }
    }

    /// The JSON Schema of the settings of a format that has only some of them.
    #[cfg(feature = "schema")]
    pub fn schema_with_only(
        allowed: &[&str],
        generator: &mut schemars::SchemaGenerator,
    ) -> schemars::Schema {
        let mut schema = <Self as schemars::JsonSchema>::json_schema(generator);
        let properties = schema.get_mut("properties");
        if let Some(properties) = properties.and_then(serde_json::Value::as_object_mut) {
            properties.retain(|name, _| {
                !REGISTRY.contains(&name.as_str()) || allowed.contains(&name.as_str())
            });
        }
        schema
    }
}
