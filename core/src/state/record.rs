//! A record of the changelog.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The value of a changelog record, in JSON: the state of one sensor. The key is the sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateRecord<'a> {
    /// The description of the chain.
    #[serde(borrow)]
    pub chain: Cow<'a, str>,
    /// For each input topic the offset of the last record that is in the state.
    #[serde(borrow)]
    pub offsets: BTreeMap<Cow<'a, str>, i64>,
    /// The time of the sensor's newest reading, in milliseconds since the epoch. `None` in records
    /// of versions that did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    /// The numbers of each state of the chain, in order.
    #[serde(rename = "memories")]
    pub states: Vec<Cow<'a, [f64]>>,
}
