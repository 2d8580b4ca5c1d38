//! The state of a stage, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::operator::KeyState;
use rivulet_pipeline::suggest;
use serde::Serialize;
use serde_json::Value;

use super::Completeness;
use crate::table::aligned;
use crate::topics::plural;

/// How many numbers of a state are shown. The JSON has all of them.
const NUMBERS: usize = 8;

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
    /// The state of each operator that keeps state.
    #[serde(rename = "memories")]
    pub states: Vec<KeyState>,
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
        let states: Vec<String> = sensor.states.iter().map(numbers).collect();
        let states = if self.others().is_empty() {
            states
        } else {
            vec![states.join(" | ")]
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
        let count = |count: usize, noun| plural(i64::try_from(count).unwrap_or(i64::MAX), noun);
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
            let others: Vec<&str> = others.into_iter().collect();
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
        write!(f, "position {}, commit {}", self.position, self.commit)
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

/// The last numbers of a state.
fn numbers(state: &KeyState) -> String {
    let left_out = state.len().saturating_sub(NUMBERS);
    let shown: Vec<String> = state[left_out..]
        .iter()
        .map(|number| short(*number))
        .collect();
    match left_out {
        0 if state.is_empty() => "-".to_owned(),
        0 => shown.join(" "),
        _ => format!("({left_out} more) {}", shown.join(" ")),
    }
}

/// A number with six significant digits.
fn short(number: f64) -> String {
    let rounded: f64 = format!("{number:.5e}").parse().unwrap_or(number);
    let is_plain = rounded == 0.0 || (1e-5..1e16).contains(&rounded.abs());
    if is_plain {
        rounded.to_string()
    } else {
        format!("{rounded:e}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sensor(partition: i32, name: &str, chain: &str, states: &[&[f64]]) -> StoredSensor {
        StoredSensor {
            partition,
            name: name.into(),
            chain: chain.into(),
            states: states.iter().map(|state| state.to_vec()).collect(),
            offsets: [("warm".to_owned(), 8)].into(),
            time: None,
        }
    }

    fn shown(sensors: Vec<StoredSensor>, completeness: Completeness) -> StageState {
        let states = StoredStates {
            chain: "convert(from=celsius, to=fahrenheit) → ewma(alpha=0.5) → average(window=3)"
                .into(),
            keepers: vec!["ewma(alpha=0.5)".into(), "average(window=3)".into()],
            inputs: vec!["warm".into(), "late".into()],
            partitions: 4,
            completeness,
            sensors,
        };
        StageState {
            stage: "smooth".into(),
            kept: Stored::States(states),
        }
    }

    const CHAIN: &str =
        "convert(from=celsius, to=fahrenheit) → ewma(alpha=0.5) → average(window=3)";

    #[test]
    fn every_sensor_is_a_line_and_the_last_line_is_a_summary() {
        let sensors = vec![
            sensor(0, "boston", CHAIN, &[&[62.740_625], &[1.0, 2.0, 3.0]]),
            sensor(2, "rome", CHAIN, &[&[-0.5], &[]]),
        ];
        let shown = shown(sensors, Completeness::Complete);
        let expected = "\
partition  sensor  ewma(alpha=0.5)  average(window=3)  last of warm  last of late
0          boston  62.7406          1 2 3              8             -
2          rome    -0.5             -                  8             -
2 sensors in 2 partitions, made by `convert(from=celsius, to=fahrenheit) → ewma(alpha=0.5) → \
                        average(window=3)`; \
complete: it matches the committed offsets
";
        assert_eq!(shown.to_string(), expected);
        assert_eq!(shown.fault(), None);
        let only = shown.clone().only("rome").unwrap().to_string();
        assert!(only.contains("rome") && !only.contains("boston"), "{only}");
        assert!(
            shown
                .only("bosten")
                .unwrap_err()
                .to_string()
                .contains("did you mean `boston`?")
        );
    }

    #[test]
    fn the_json_has_every_number_in_full() {
        let shown = shown(
            vec![sensor(
                0,
                "boston",
                CHAIN,
                &[&[62.740_625], &[1.0, 2.0, 3.0]],
            )],
            Completeness::Complete,
        );
        let expected = json!({
            "stage": "smooth",
            "chain": CHAIN,
            "keepers": ["ewma(alpha=0.5)", "average(window=3)"],
            "inputs": ["warm", "late"],
            "partitions": 4,
            "whole": "whole",
            "sensors": [{
                "partition": 0,
                "sensor": "boston",
                "chain": CHAIN,
                "memories": [[62.740_625], [1.0, 2.0, 3.0]],
                "offsets": {"warm": 8}
            }]
        });
        assert_eq!(json!(shown), expected);
    }

    #[test]
    fn an_empty_state_says_so() {
        let shown = shown(vec![], Completeness::Complete);
        assert_eq!(
            shown.to_string(),
            "empty; complete: it matches the committed offsets\n"
        );
        let none = StageState {
            stage: "in".into(),
            kept: Stored::Position(None),
        };
        assert_eq!(
            none.to_string(),
            "empty: the source starts from the beginning\n"
        );
    }

    #[test]
    fn a_state_of_another_chain_or_an_incomplete_one_is_a_fault() {
        let other = shown(
            vec![sensor(0, "boston", "ewma(alpha=0.3)", &[&[1.0]])],
            Completeness::Complete,
        );
        let text = other.to_string();
        assert!(
            text.contains("made by `ewma(alpha=0.3)`, but the stage in the file is `convert("),
            "{text}"
        );
        let fault = other.fault().unwrap();
        assert!(
            fault.contains("the state of smooth is of another chain"),
            "{fault}"
        );
        assert!(
            fault.contains("state keep smooth") && fault.contains("state reset smooth"),
            "{fault}"
        );
        let difference = super::super::StateDifference {
            topic: "warm".into(),
            partition: 1,
            next: 9,
            committed: 3,
            found: 0,
        };
        let lost = shown(vec![], Completeness::Incomplete(vec![difference]));
        assert!(
            lost.to_string()
                .contains("sensors in the changelog: 0, committed at offset 9 of warm/1: 3"),
            "{lost}"
        );
        let fault = lost.fault().unwrap();
        assert!(
            fault.contains("is incomplete") && fault.contains("rivulet state reset smooth"),
            "{fault}"
        );
    }

    #[test]
    fn numbers_have_six_digits_and_long_states_show_the_last() {
        let expected = [
            (62.740_625, "62.7406"),
            (1.0, "1"),
            (-1_234_567.0, "-1234570"),
            (1e-7, "1e-7"),
            (0.0, "0"),
            (2e300, "2e300"),
        ];
        for (number, text) in expected {
            assert_eq!(short(number), text);
        }
        let state: KeyState = (1..=10).map(f64::from).collect();
        assert_eq!(numbers(&state), "(2 more) 3 4 5 6 7 8 9 10");
    }
}
