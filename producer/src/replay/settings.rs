//! Which file a replay reads, and how often.

use std::path::PathBuf;

use serde::Deserialize;

use crate::setting::Rate;

/// Which file a replay reads, and how often.
#[derive(Debug, Clone)]
pub struct ReplaySettings {
    /// Relative to the folder of the pipeline file.
    pub path: PathBuf,
    /// What to do with a last line without a line end.
    pub last_line: LastLine,
    /// How many rows a second. `None` is no limit.
    pub rate: Option<Rate>,
    /// How many times to read the file.
    pub repeat: Repeat,
}

/// What to do with a last line without a line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
pub enum LastLine {
    /// Skip it, because it may be incomplete.
    #[default]
    Leave,
    /// Read it as a row.
    Take,
}

/// How many times to read the file. `forever` never ends.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Times")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Repeat(pub Option<u64>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected how many times, or \"forever\"")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
enum Times {
    Number(#[cfg_attr(feature = "schema", schemars(extend("minimum" = 1)))] i64),
    Word(#[cfg_attr(feature = "schema", schemars(extend("const" = "forever")))] String),
}

impl Default for Repeat {
    fn default() -> Self {
        Repeat(Some(1))
    }
}

impl TryFrom<Times> for Repeat {
    type Error = String;

    fn try_from(times: Times) -> Result<Self, String> {
        match times {
            Times::Number(times @ 1..) => Ok(Repeat(Some(times.unsigned_abs()))),
            Times::Number(times) => Err(format!(
                "a file cannot be read {times} times; give at least 1, or \"forever\""
            )),
            Times::Word(word) if word == "forever" => Ok(Repeat(None)),
            Times::Word(word) => Err(format!(
                "\"{word}\" is not a number of times; give a number or \"forever\""
            )),
        }
    }
}
