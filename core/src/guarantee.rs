//! What a crash may do to the results: [`Guarantee`].

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// What a crash may do to the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Guarantee {
    /// Outputs, state, dead letters and offsets commit in one Kafka transaction.
    #[default]
    ExactlyOnce,
    /// Offsets commit after everything else was acknowledged: nothing is lost, and after a crash
    /// some outputs may be there twice, with the same values.
    AtLeastOnce,
}

impl Guarantee {
    /// The name in pipeline files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Guarantee::ExactlyOnce => "exactly-once",
            Guarantee::AtLeastOnce => "at-least-once",
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Guarantee {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce]
            .into_iter()
            .find(|guarantee| guarantee.name() == name)
            .ok_or_else(|| {
                format!("`{name}` is no guarantee; there are `exactly-once` and `at-least-once`")
            })
    }
}
