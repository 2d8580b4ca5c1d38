//! The settings of a mapping.

use std::collections::BTreeMap;

use serde::Deserialize;

#[cfg(feature = "schema")]
use super::condition::ConditionTable;
use super::condition::{Condition, OneOrMore};
use super::place::{Place, UnitPlace};
use super::time::TimeFormat;

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
    /// Only for Avro: the schema that is written, as JSON. A file that is read has its own.
    pub schema: Option<String>,
}

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
    /// Whether it says nothing.
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
            schema,
        } = self;
        let places = [sensor, seq, time, time_plus, value];
        places.iter().all(|place| place.is_none())
            && time_format.is_none()
            && values.is_empty()
            && unit.is_none()
            && units.is_empty()
            && when.is_none()
            && *missing == Missing::DeadLetter
            && schema.is_none()
    }
}
