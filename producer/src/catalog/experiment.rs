//! `experiment`: experiments that a course's consumers watch.

use std::path::PathBuf;

use rivulet_core::component::Component;
use rivulet_core::error::Result as OrError;
use serde::Deserialize;

use super::{SourceContext, SourceSettings};
use crate::experiment::hash::SecretKey;
use crate::experiment::plan::{
    ExperimentPlan, MOST_SAMPLE_RATE, MOST_SAMPLES, MOST_SENSORS, PlanOptions, read_load,
};
use crate::experiment::{ExperimentOptions, ExperimentSource};
use crate::setting::Count;
use crate::source::Source;

/// Experiments that consumers watch: the messages of a course's experiment producer, and the truth
/// about them. Each sends its configuration, brings its temperature from `start-temperature` to the
/// middle of its range in a straight line, carries out a random walk from there, and ends. At each
/// sample every sensor sends a message, and their mean is the average of the sample.
///
/// The messages are Avro object container files, with the experiment's UUID as their key and the
/// header `record_name`. A time is that of the schedule, in seconds: a message that is late has the
/// time at which it was due. Lesson 14 in docs/lessons shows
/// a run.
///
/// Everything random follows from `seed`, except for the nonces of the hashes. A restart goes on
/// with the same experiments at the next message. Their schedule pauses while no process is there.
/// Another `config-file` or other options need `--from-start`.
///
/// With `truth-log` the source writes what the experiments really were to a file a day, before it
/// sends it. `rivulet truth` reads these files and compares them with the topic.
///
/// ```
/// use std::time::Duration;
///
/// use rivulet_pipeline::ComponentConfig;
/// use rivulet_producer::catalog::{SourceContext, read};
/// use rivulet_producer::source::Next;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path().to_owned();
/// # let context = SourceContext { folder, ..SourceContext::default() };
/// std::fs::write(context.folder.join("key"), "0123456789abcdefghijklmnopqrstuv\n").unwrap();
/// let config = "experiment = { secret-key-file = \"key\", num-sensors = 4 }";
/// let mut source = read(&ComponentConfig::parse(config)?).unwrap().open(&context)?;
/// let Next::Record(first) = source.next(Duration::ZERO)? else { panic!("there are some") };
/// let header = ("record_name".to_owned(), Some(b"experiment_configured".to_vec()));
/// assert_eq!(first.headers, [header]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Table")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(with = "Table")
)]
pub struct Experiment {
    config_file: Option<PathBuf>,
    plan: ExperimentPlan,
    secret_key_file: PathBuf,
    topic: Option<String>,
    document_topic: Option<String>,
    truth_log: Option<PathBuf>,
    seed: Option<u64>,
}

/// The settings as they are written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Table {
    /// A file with the 32 characters that the measurement hashes are encrypted with. Relative to
    /// the pipeline file's folder.
    secret_key_file: PathBuf,
    /// A JSON array of experiments, which run at the same time; it replaces the options of a single
    /// one, from `researcher` on.
    config_file: Option<PathBuf>,
    /// The topic of the messages; each of the stage's unless it is set.
    topic: Option<String>,
    /// The topic of a document of each experiment, sent at its end; none unless it is set.
    document_topic: Option<String>,
    /// The ground truth log, such as `/var/lib/rivulet/producer.json.log`. The name of each file
    /// ends with its day.
    truth_log: Option<PathBuf>,
    /// Another number gives other experiments; a random one unless it is set.
    seed: Option<u64>,
    /// Who the experiment belongs to; `researcher` unless it is set.
    researcher: Option<String>,
    /// How many sensors measure; 2 unless it is set.
    num_sensors: Option<Count<MOST_SENSORS>>,
    /// How many milliseconds are between two samples; 1000 unless it is set.
    sample_rate: Option<Count<MOST_SAMPLE_RATE>>,
    /// How many samples there are until the middle of the range is reached; 2 unless it is set.
    stabilization_samples: Option<Count<MOST_SAMPLES, 0>>,
    /// How many samples there are from there on; 20 unless it is set.
    carry_out_samples: Option<Count<MOST_SAMPLES, 0>>,
    /// The temperature before the first sample; 16 unless it is set.
    start_temperature: Option<f32>,
    /// The lowest temperature in the range; 25.5 unless it is set.
    lower_threshold: Option<f32>,
    /// The highest temperature in the range; 26.5 unless it is set.
    upper_threshold: Option<f32>,
}

impl Table {
    /// The options of a single experiment.
    fn single(&self) -> PlanOptions {
        PlanOptions {
            researcher: self.researcher.clone(),
            sensors: self.num_sensors.map(|count| count.0),
            sample_rate: self.sample_rate.map(|count| count.0),
            stabilization_samples: self.stabilization_samples.map(|count| count.0),
            carry_out_samples: self.carry_out_samples.map(|count| count.0),
            start_temperature: self.start_temperature,
            lower_threshold: self.lower_threshold,
            upper_threshold: self.upper_threshold,
        }
    }
}

impl TryFrom<Table> for Experiment {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let single = table.single();
        if single != PlanOptions::default() && table.config_file.is_some() {
            return Err(
                "`config-file` has the experiments; leave out `researcher`, `num-sensors`, \
                 `sample-rate` and what follows them"
                    .to_owned(),
            );
        }
        if table.document_topic.is_some() && table.topic.is_none() {
            return Err("documents have a topic of their own; set `topic` for the messages".into());
        }
        Ok(Experiment {
            config_file: table.config_file,
            plan: single.plan()?,
            secret_key_file: table.secret_key_file,
            topic: table.topic,
            document_topic: table.document_topic,
            truth_log: table.truth_log,
            seed: table.seed,
        })
    }
}

impl Component for Experiment {
    const NAME: &'static str = "experiment";
    const ABOUT: &'static str = "experiments that a course's consumers watch, with a truth log";
    const EXAMPLE: &'static str =
        "experiment = { secret-key-file = \"secret-key\", config-file = \"loads/2.json\" }";
}

impl SourceSettings for Experiment {
    fn open(&self, context: &SourceContext) -> OrError<Box<dyn Source>> {
        let path = |path: &PathBuf| context.folder.join(path);
        let plans = match &self.config_file {
            Some(file) => read_load(&path(file))?,
            None => vec![self.plan.clone()],
        };
        Ok(Box::new(ExperimentSource::new(ExperimentOptions {
            plans,
            key: SecretKey::read(&path(&self.secret_key_file))?,
            topic: self.topic.clone(),
            document_topic: self.document_topic.clone(),
            truth_log: self.truth_log.as_ref().map(path),
            seed: self.seed,
        })?))
    }

    fn has_records(&self) -> bool {
        true
    }

    fn ends(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
