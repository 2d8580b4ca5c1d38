//! The settings that are numbers, with their bounds.

use serde::Deserialize;

/// An interval from a second to a day.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(extend("minimum" = 1, "maximum" = 86_400))
)]
pub struct Seconds(pub(super) u64);

impl TryFrom<i64> for Seconds {
    type Error = String;

    fn try_from(seconds: i64) -> Result<Self, String> {
        match u64::try_from(seconds) {
            Ok(seconds @ 1..=86_400) => Ok(Seconds(seconds)),
            _ => Err(format!(
                "{seconds} is not a number of seconds from 1 to 86400; leave it out to see the \
                 table at the end only"
            )),
        }
    }
}

/// A number of steps from 0 to 1000. The default is 24.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(extend("minimum" = 0, "maximum" = 1000))
)]
pub struct LagMax(pub(super) usize);

impl Default for LagMax {
    fn default() -> Self {
        LagMax(24)
    }
}

impl TryFrom<i64> for LagMax {
    type Error = String;

    fn try_from(steps: i64) -> Result<Self, String> {
        match usize::try_from(steps) {
            Ok(steps @ 0..=1000) => Ok(LagMax(steps)),
            _ => Err(format!(
                "{steps} is not a number of steps from 0 to 1000; a day of hourly readings has 24"
            )),
        }
    }
}

/// A number of waiting times from 1 to 1,000,000. The default is 4096.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(extend("minimum" = 1, "maximum" = 1_000_000))
)]
pub struct WaitingMax(pub(super) usize);

impl Default for WaitingMax {
    fn default() -> Self {
        WaitingMax(4096)
    }
}

impl TryFrom<i64> for WaitingMax {
    type Error = String;

    fn try_from(times: i64) -> Result<Self, String> {
        match usize::try_from(times) {
            Ok(times @ 1..=1_000_000) => Ok(WaitingMax(times)),
            _ => Err(format!(
                "{times} is not a number from 1 to 1000000; the default is 4096"
            )),
        }
    }
}
