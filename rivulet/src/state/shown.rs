//! The state of a stage, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::text::{plain, plain_json};
use rivulet_pipeline::suggest;
use serde::Serialize;
use serde_json::Value;

use super::Completeness;
use crate::table::aligned;
use crate::text::plural;

/// The state of a stage.
///
/// Displayed, it is a table with a line for each sensor and a summary as the last line. Serialized,
/// it has every number in full.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageState {
    /// The stage's name.
    pub stage: String,
    /// What is in its changelog.
    #[serde(flatten)]
    pub kept: Stored,
}

/// What is in a changelog.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Stored {
    /// The state of an operator stage.
    States(StoredStates),
    /// The position of a producer; `None` before its first commit.
    Position(Option<StoredPosition>),
}

/// The position of a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredPosition {
    /// How many commits there have been.
    pub commit: u64,
    /// The position, in the format of the source.
    pub position: Value,
}

/// The state of an operator stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredStates {
    /// The stage's chain in the pipeline file.
    pub chain: String,
    /// The operators of that chain that keep state.
    pub keepers: Vec<String>,
    /// The stage's inputs.
    pub inputs: Vec<String>,
    /// How many partitions the changelog has.
    pub partitions: usize,
    /// Whether it matches the metadata of the committed offsets.
    #[serde(rename = "whole")]
    pub completeness: Completeness,
    /// The state of each sensor, by partition and name.
    pub sensors: Vec<StoredSensor>,
}

/// The state of one sensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredSensor {
    /// The partition of its readings in the inputs.
    pub partition: i32,
    /// Its name.
    #[serde(rename = "sensor")]
    pub name: String,
    /// The chain that made the state.
    pub chain: String,
    /// The numbers of each operator that keeps state.
    #[serde(rename = "memories")]
    pub states: Vec<Vec<f64>>,
    /// What each of these states holds, for people.
    #[serde(skip)]
    pub descriptions: Vec<String>,
    /// For each input, the offset of the last record in the state.
    pub offsets: BTreeMap<String, i64>,
    /// The newest time of its readings, in milliseconds since the epoch; `None` if it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
}

impl StageState {
    /// Keeps only one sensor in the table. The completeness is still that of the whole state.
    ///
    /// # Errors
    /// If there is no such sensor.
    pub fn only(mut self, sensor: &str) -> Result<Self> {
        let doing = format!(
            "looking for sensor `{sensor}` in the state of {}",
            self.stage
        );
        let Stored::States(states) = &mut self.kept else {
            return Err(Error::new(doing, "a producer keeps a position, no sensors")
                .of_kind(Kind::Usage)
                .help("omit --sensor"));
        };
        let names: BTreeSet<&str> = states
            .sensors
            .iter()
            .map(|sensor| sensor.name.as_str())
            .collect();
        if !names.contains(sensor) {
            let help = suggest(sensor, &names.into_iter().collect::<Vec<_>>());
            return Err(Error::new(doing, "it is not there")
                .of_kind(Kind::Missing)
                .help(help));
        }
        states.sensors.retain(|found| found.name == sensor);
        Ok(self)
    }

    /// Why the stage would not start with this state; `None` if it would.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let Stored::States(states) = &self.kept else {
            return None;
        };
        let stage = &self.stage;
        let (cause, help) = match (&states.completeness, states.others().is_empty()) {
            (Completeness::Incomplete(_), _) => ("incomplete", "restore what was lost".to_owned()),
            (_, false) => (
                "of another chain",
                format!("restore the old settings, keep the state: rivulet state keep {stage}"),
            ),
            _ => return None,
        };
        Some(format!(
            "the state of {stage} is {cause}, so it does not start\n  help: {help}, or start with \
             an empty state: rivulet state reset {stage}"
        ))
    }
}

impl StoredStates {
    /// The chains that made parts of the state, except that of the file.
    fn others(&self) -> BTreeSet<&str> {
        self.sensors
            .iter()
            .map(|sensor| sensor.chain.as_str())
            .filter(|chain| *chain != self.chain)
            .collect()
    }

    fn head(&self) -> Vec<String> {
        // Which operators of another chain keep state is unknown.
        let states = if self.others().is_empty() {
            self.keepers.clone()
        } else {
            vec!["states".to_owned()]
        };
        let last = self.inputs.iter().map(|input| format!("last of {input}"));
        ["partition", "sensor"]
            .map(str::to_owned)
            .into_iter()
            .chain(states)
            .chain(last)
            .collect()
    }

    fn row(&self, sensor: &StoredSensor) -> Vec<String> {
        let states = if self.others().is_empty() {
            sensor.descriptions.clone()
        } else {
            vec![sensor.descriptions.join(" | ")]
        };
        let last = self.inputs.iter().map(|input| {
            sensor
                .offsets
                .get(input)
                .map_or("-".to_owned(), i64::to_string)
        });
        [sensor.partition.to_string(), sensor.name.clone()]
            .into_iter()
            .chain(states)
            .chain(last)
            .collect()
    }

    /// The number of sensors and partitions, as text.
    pub(super) fn count(&self) -> String {
        if self.sensors.is_empty() {
            return "empty".to_owned();
        }
        let partitions: BTreeSet<i32> =
            self.sensors.iter().map(|sensor| sensor.partition).collect();
        let count = |count: usize, noun| plural(count, noun);
        format!(
            "{} in {}",
            count(self.sensors.len(), "sensor"),
            count(partitions.len(), "partition")
        )
    }
}

impl fmt::Display for StoredStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.sensors.is_empty() {
            let rows: Vec<Vec<String>> = std::iter::once(self.head())
                .chain(self.sensors.iter().map(|sensor| self.row(sensor)))
                .collect();
            f.write_str(&aligned(&rows))?;
        }
        write!(f, "{}", self.count())?;
        let others = self.others();
        if !others.is_empty() {
            let others: Vec<_> = others.into_iter().map(plain).collect();
            write!(
                f,
                ", made by `{}`, but the stage in the file is `{}`",
                others.join("` and `"),
                self.chain
            )?;
        } else if !self.sensors.is_empty() {
            write!(f, ", made by `{}`", self.chain)?;
        }
        writeln!(
            f,
            "; {}",
            match &self.completeness {
                Completeness::Complete => "complete: it matches the committed offsets",
                Completeness::Incomplete(_) =>
                    "incomplete: it does not match the committed offsets",
                Completeness::NoMetadata =>
                    "the committed offsets have no metadata to compare it with",
                Completeness::Changing =>
                    "changing while it is read: stop the stage to see whether it is complete",
            }
        )?;
        if let Completeness::Incomplete(differences) = &self.completeness {
            differences
                .iter()
                .try_for_each(|difference| writeln!(f, "  {difference}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for StoredPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = self.position.to_string();
        let position = plain_json(&position);
        write!(f, "position {position}, commit {}", self.commit)
    }
}

impl fmt::Display for StageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kept {
            Stored::States(states) => states.fmt(f),
            Stored::Position(Some(position)) => writeln!(f, "{position}"),
            Stored::Position(None) => writeln!(f, "empty: the source starts from the beginning"),
        }
    }
}

#[cfg(test)]
mod tests;
