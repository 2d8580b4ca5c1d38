//! What one experiment is to do: [`ExperimentPlan`].

use std::path::Path;

use rivulet_core::error::{Error, Kind, Result};
use serde::Deserialize;

use super::range::TemperatureRange;
use crate::setting::Count;

/// The most sensors of an experiment.
pub const MOST_SENSORS: u64 = 100_000;
/// The most samples of each stage. With the longest time between two samples their times still fit
/// into an i64 of microseconds.
pub const MOST_SAMPLES: u64 = 10_000_000;
/// The most milliseconds between two samples: a day.
pub const MOST_SAMPLE_RATE: u64 = 86_400_000;
/// The most seconds between the launch and the start of an experiment.
pub const MOST_START: u64 = 1_000_000_000;
/// The most experiments of a source: each has a part in its position, which is a record.
const MOST_EXPERIMENTS: usize = 1000;

/// What one experiment is to do.
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentPlan {
    /// When it starts, in seconds after the launch.
    pub start: u64,
    /// Who it belongs to.
    pub researcher: String,
    /// How many sensors it has, at least one.
    pub sensors: usize,
    /// How many milliseconds are between two samples, at least one.
    pub sample_rate: u64,
    /// How many samples there are while it stabilizes.
    pub stabilization_samples: u64,
    /// How many samples there are while it is carried out.
    pub carry_out_samples: u64,
    /// The temperature before the first sample.
    pub start_temperature: f32,
    /// Which temperatures it is to keep.
    pub range: TemperatureRange,
}

impl Default for ExperimentPlan {
    /// The experiment of a producer without options.
    fn default() -> Self {
        ExperimentPlan {
            start: 0,
            researcher: "researcher".to_owned(),
            sensors: 2,
            sample_rate: 1000,
            stabilization_samples: 2,
            carry_out_samples: 20,
            start_temperature: 16.0,
            range: usual_range(),
        }
    }
}

impl ExperimentPlan {
    /// How many samples it has.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.stabilization_samples + self.carry_out_samples
    }
}

/// The options of a single experiment. `None` is that of [`ExperimentPlan::default`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanOptions {
    /// See [`ExperimentPlan::researcher`].
    pub researcher: Option<String>,
    /// See [`ExperimentPlan::sensors`].
    pub sensors: Option<u64>,
    /// See [`ExperimentPlan::sample_rate`].
    pub sample_rate: Option<u64>,
    /// See [`ExperimentPlan::stabilization_samples`].
    pub stabilization_samples: Option<u64>,
    /// See [`ExperimentPlan::carry_out_samples`].
    pub carry_out_samples: Option<u64>,
    /// See [`ExperimentPlan::start_temperature`].
    pub start_temperature: Option<f32>,
    /// The lowest temperature in the range.
    pub lower_threshold: Option<f32>,
    /// The highest temperature in the range.
    pub upper_threshold: Option<f32>,
}

impl PlanOptions {
    /// The experiment.
    ///
    /// # Errors
    /// If the thresholds are exchanged.
    pub fn plan(self) -> Result<ExperimentPlan, String> {
        let usual = ExperimentPlan::default();
        let sensors = self.sensors.map(usize::try_from);
        Ok(ExperimentPlan {
            start: 0,
            researcher: self.researcher.unwrap_or(usual.researcher),
            sensors: sensors.map_or(usual.sensors, |count| count.unwrap_or(usize::MAX)),
            sample_rate: self.sample_rate.unwrap_or(usual.sample_rate),
            stabilization_samples: self
                .stabilization_samples
                .unwrap_or(usual.stabilization_samples),
            carry_out_samples: self.carry_out_samples.unwrap_or(usual.carry_out_samples),
            start_temperature: self.start_temperature.unwrap_or(usual.start_temperature),
            range: TemperatureRange::new(
                self.lower_threshold.unwrap_or(usual.range.lower()),
                self.upper_threshold.unwrap_or(usual.range.upper()),
            )?,
        })
    }
}

/// The range of an experiment that does not say its own.
fn usual_range() -> TemperatureRange {
    TemperatureRange::new(25.5, 26.5).unwrap_or_else(|why| unreachable!("{why}"))
}

/// An experiment as a load file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    start_time: Count<MOST_START, 0>,
    researcher: String,
    #[serde(default = "two")]
    num_sensors: Count<MOST_SENSORS>,
    #[serde(default = "a_second")]
    sample_rate: Count<MOST_SAMPLE_RATE>,
    #[serde(default = "usual_range")]
    temp_range: TemperatureRange,
    #[serde(default = "two_samples")]
    stabilization_samples: Count<MOST_SAMPLES, 0>,
    #[serde(default = "twenty_samples")]
    carry_out_samples: Count<MOST_SAMPLES, 0>,
    /// Unlike that of the options, the default is 0.
    #[serde(default)]
    start_temperature: f32,
}

fn two() -> Count<MOST_SENSORS> {
    Count(2)
}

fn a_second() -> Count<MOST_SAMPLE_RATE> {
    Count(1000)
}

fn two_samples() -> Count<MOST_SAMPLES, 0> {
    Count(2)
}

fn twenty_samples() -> Count<MOST_SAMPLES, 0> {
    Count(20)
}

impl From<Entry> for ExperimentPlan {
    fn from(entry: Entry) -> Self {
        ExperimentPlan {
            start: entry.start_time.0,
            researcher: entry.researcher,
            sensors: usize::try_from(entry.num_sensors.0).unwrap_or(usize::MAX),
            sample_rate: entry.sample_rate.0,
            stabilization_samples: entry.stabilization_samples.0,
            carry_out_samples: entry.carry_out_samples.0,
            start_temperature: entry.start_temperature,
            range: entry.temp_range,
        }
    }
}

/// Reads a load file: a JSON array of experiments, which run at the same time.
///
/// # Errors
/// If the file cannot be read, or an experiment in it is not possible: the line and the column.
pub fn read_load(path: &Path) -> Result<Vec<ExperimentPlan>> {
    let doing = || format!("reading the experiments of {}", path.display());
    let text = std::fs::read(path).map_err(|error| Error::caused_by(doing(), error))?;
    let wrong = |cause: String| {
        Error::new(doing(), cause).of_kind(Kind::Usage).help(
            "it is a JSON array of objects with start_time and researcher, and if you like \
             num_sensors, sample_rate, stabilization_samples, carry_out_samples, \
             start_temperature and temp_range",
        )
    };
    let entries: Vec<Entry> =
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    match entries.len() {
        0 => Err(wrong("there is no experiment in it".to_owned())),
        1..=MOST_EXPERIMENTS => Ok(entries.into_iter().map(ExperimentPlan::from).collect()),
        many => Err(wrong(format!(
            "there are {many} experiments in it, and {MOST_EXPERIMENTS} at most can run at once"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::folder;

    fn load(text: &str) -> Result<Vec<ExperimentPlan>> {
        let folder = folder("load.json", text);
        read_load(&folder.path().join("load.json"))
    }

    #[test]
    fn an_experiment_has_defaults() {
        let plans = load(r#"[{"start_time": 3, "researcher": "ada"}]"#).unwrap();
        let expected = ExperimentPlan {
            start: 3,
            researcher: "ada".to_owned(),
            start_temperature: 0.0,
            ..ExperimentPlan::default()
        };
        assert_eq!(plans, [expected]);
    }

    #[test]
    fn what_no_experiment_can_be_is_an_error_with_its_place() {
        let entry =
            |fields: &str| format!("[{{\"start_time\":0,\"researcher\":\"a\",\n{fields}}}]");
        for (text, words) in [
            (
                entry("\"num_sensors\":0"),
                "0 is out of range; give a whole number from 1",
            ),
            (entry("\"sample_rate\":-5"), "-5 is out of range"),
            (entry("\"sample_rate\":0"), "0 is out of range"),
            (entry("\"sampel_rate\":5"), "unknown field `sampel_rate`"),
            (
                entry("\"temp_range\":{\"lower_threshold\":3,\"upper_threshold\":2}"),
                "the lower threshold 3 is above the upper threshold 2",
            ),
            (entry("\"num_sensors\":2.5"), "invalid type: floating point"),
        ] {
            let error = load(&text).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("line 2"), "{error}");
        }
        for (text, words) in [
            (
                r#"[{"start_time":-1,"researcher":"a"}]"#,
                "-1 is out of range",
            ),
            (r#"[{"researcher":"a"}]"#, "missing field `start_time`"),
            ("[]", "no experiment"),
            ("{}", "invalid type: map"),
            ("[{", "EOF"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(
                error.contains(words) && error.contains("load.json"),
                "{error}"
            );
        }
        let many = vec![r#"{"start_time":0,"researcher":"a"}"#; MOST_EXPERIMENTS + 1].join(",");
        let error = load(&format!("[{many}]")).unwrap_err().to_string();
        assert!(error.contains("1001 experiments"), "{error}");
    }
}
