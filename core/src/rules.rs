//! What a stage does when its input is not as it should be.

use std::time::Duration;

use serde::Deserialize;

/// A stage's settings other than its topics and its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// What becomes of records that were deleted before the stage read them; `None` stops a stage
    /// that keeps state and lets any other go on.
    pub on_gap: Option<OnGap>,
    /// Whether a record whose key is not its sensor becomes a dead letter.
    pub require_key: bool,
    /// How much older than the newest reading of its partition a sensor's last one may be before
    /// its state is forgotten, by the readings' own times.
    pub state_ttl: Option<Duration>,
}

/// What a stage does when records were deleted before it read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OnGap {
    /// It ends with an error.
    Stop,
    /// It writes the gap to its dead-letter topic and goes on after it.
    DeadLetter,
}
