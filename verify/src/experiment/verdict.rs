//! Range events: [`Verdict`].

use std::fmt;

use serde::Serialize;

/// What happened to the temperature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Verdict {
    Stabilized,
    OutOfRange,
}

impl Verdict {
    /// The event of this name, in any case and with any blanks, `_` or `-` in it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let letters = name.chars().filter(|letter| !" _-".contains(*letter));
        match letters.collect::<String>().to_ascii_lowercase().as_str() {
            "stabilized" => Some(Verdict::Stabilized),
            "outofrange" => Some(Verdict::OutOfRange),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Stabilized => "Stabilized",
            Verdict::OutOfRange => "OutOfRange",
        })
    }
}
