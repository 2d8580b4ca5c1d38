//! The pipeline file: all the stages and topics of one `config/*.toml`.
//!
//! Reading it collects every error instead of stopping at the first. A step, a source or a sink is
//! only a [`ComponentConfig`] here: its settings belong to the crate that has its catalog. With a
//! [`CheckStage`] those crates report their errors together with those of the file.

mod buffer;
mod check;
mod diagnostic;
mod digest;
mod part;
mod reserved;
mod rules;
#[cfg(feature = "schema")]
mod schema;
mod settings;
mod tables;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

pub use self::buffer::{ClockPolicy, SpoolSettings, WhenFull};
pub use self::diagnostic::{Diagnostic, Diagnostics, Text, suggest};
pub use self::part::{ARROW, ComponentConfig};
pub use self::rules::{OnGap, Rules};
#[cfg(feature = "schema")]
pub use self::schema::schema;
pub use self::settings::Unread;
use crate::format::{Format, FormatName};
use crate::limits::Limits;
use crate::reading::Unit;

/// A pipeline file without errors.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The file, for messages that point into it and paths that are relative to it.
    pub text: Arc<Text>,
    /// What a crash may do to the results.
    pub guarantee: Guarantee,
    /// When stages commit.
    pub commit: CommitPolicy,
    /// How much memory each process may take.
    pub limits: Limits,
    /// librdkafka properties, `bootstrap.servers` among them.
    pub kafka: BTreeMap<String, String>,
    /// Every topic that the stages name, by name.
    pub topics: BTreeMap<String, Topic>,
    /// The stages in the order of the file.
    pub stages: Vec<Stage>,
}

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

impl std::fmt::Display for Guarantee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Guarantee {
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

/// When a stage commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitPolicy {
    /// With nothing left to read, a stage commits, but no sooner than this after its last commit.
    pub least_interval: Duration,
    /// With work uncommitted, a stage commits at the latest after this.
    pub longest_interval: Duration,
    /// With this many records read, a stage commits.
    pub records: u64,
}

impl Default for CommitPolicy {
    fn default() -> Self {
        CommitPolicy {
            least_interval: Duration::from_millis(20),
            longest_interval: Duration::from_millis(100),
            records: 10_000,
        }
    }
}

/// A topic as the pipeline wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    /// How many partitions it is created with.
    pub partitions: i32,
    /// How many replicas the cluster keeps; `None` for the cluster's own default.
    pub replication: Option<i32>,
    /// How readings are written in it.
    pub format: FormatName,
    /// The unit of its values, where the format does not carry it.
    pub unit: Option<Unit>,
    /// Whether somebody outside the pipeline writes it.
    pub external: bool,
    /// Topic settings such as `retention.ms`.
    pub config: BTreeMap<String, String>,
    /// What the topic is for.
    pub role: Role,
}

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Carries readings from stage to stage.
    Readings,
    /// Holds a stage's state or a source's position: compacted.
    Changelog,
    /// Holds the dead letters of a stage.
    DeadLetters,
}

/// The topic setting that bounds a record.
pub(crate) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
/// Its value in Kafka if nobody has set another, in bytes.
pub(crate) const DEFAULT_MAX_MESSAGE: usize = 1_048_588;
/// How many bytes of a message the framing of a record and of its batch may take: a reading has no
/// headers.
const FRAMING: usize = 200;

impl Topic {
    /// How many bytes of key and value the topic takes as one reading: its `max.message.bytes`, by
    /// default Kafka's 1,048,588, less its framing.
    #[must_use]
    pub fn largest_record(&self) -> usize {
        self.largest_message().saturating_sub(FRAMING)
    }

    /// How large a message with its headers may be in the topic, in bytes.
    #[must_use]
    pub fn largest_message(&self) -> usize {
        self.largest_setting().unwrap_or(DEFAULT_MAX_MESSAGE)
    }

    fn largest_setting(&self) -> Option<usize> {
        self.config.get(MAX_MESSAGE_BYTES)?.parse().ok()
    }

    /// The topic's format, ready for use.
    #[must_use]
    pub fn build_format(&self) -> Box<dyn Format> {
        self.format.build(self.unit)
    }
}

/// A stage: one process, one consumer group, one unit.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name everywhere: consumer group, transactional id, unit, log field.
    pub name: String,
    /// Where it stands in the file.
    pub place: std::ops::Range<usize>,
    /// The topics it reads; none for a producer.
    pub from: Vec<String>,
    /// The topics it writes; none for a sink.
    pub to: Vec<String>,
    /// What it does.
    pub kind: StageKind,
    /// What it does when its input is not as it should be.
    pub rules: Rules,
}

/// What a stage does.
#[derive(Debug, Clone)]
pub enum StageKind {
    /// Brings readings in.
    Producer {
        /// One entry of the `producer` crate's catalog.
        source: ComponentConfig,
        /// Where readings wait on disk, if they do.
        spool: Option<SpoolSettings>,
        /// What becomes of readings from before the clock was set.
        clock: ClockPolicy,
    },
    /// Processes readings.
    Operator {
        /// Entries of the `operators` crate's catalog, in order.
        steps: Vec<ComponentConfig>,
    },
    /// Shows or keeps readings.
    Sink {
        /// One entry of the `sinks` crate's catalog.
        sink: ComponentConfig,
    },
}

impl StageKind {
    /// The table of the pipeline file that holds such stages.
    #[must_use]
    pub fn table(&self) -> &'static str {
        match self {
            StageKind::Producer { .. } => "producer",
            StageKind::Operator { .. } => "operator",
            StageKind::Sink { .. } => "sink",
        }
    }
}

impl Stage {
    /// Its table in the pipeline file, such as `operator.ewma`.
    #[must_use]
    pub fn table(&self) -> String {
        format!("{}.{}", self.kind.table(), self.name)
    }

    /// Whether the stage has a [changelog](Self::changelog): a sink has none.
    #[must_use]
    pub fn has_changelog(&self) -> bool {
        !matches!(self.kind, StageKind::Sink { .. })
    }

    /// The topic that holds the stage's state, or a source's position.
    #[must_use]
    pub fn changelog(&self) -> String {
        format!("{}-changelog", self.name)
    }

    /// The topic that holds the stage's dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> String {
        format!("{}-dead-letters", self.name)
    }
}

/// Checks the components of a stage, without opening any of them. The pipeline may have errors:
/// what depends on a setting that is [`Unread`] is not known, so it is no error.
pub type CheckStage = fn(&Pipeline, &Unread, &Stage) -> Vec<Diagnostic>;

fn check_no_components(_: &Pipeline, _: &Unread, _: &Stage) -> Vec<Diagnostic> {
    Vec::new()
}

impl Pipeline {
    /// Reads a pipeline file and checks it; its components with `check`.
    ///
    /// # Errors
    /// Every error in it, each with its place and what to do.
    pub fn load(path: &Path, check: CheckStage) -> Result<Self, Diagnostics> {
        let read = std::fs::read_to_string(path);
        let text = Arc::new(Text {
            path: path.to_owned(),
            text: read.as_deref().unwrap_or_default().to_owned(),
        });
        match read {
            Ok(_) => Self::parse_with(text, check),
            Err(error) => Err(Diagnostics::new(
                text,
                vec![
                    Diagnostic::nowhere(format!("cannot be read: {error}"))
                        .help("give another file with --pipeline FILE or RIVULET_PIPELINE"),
                ],
            )),
        }
    }

    /// Checks the text of a pipeline file, but not its components.
    ///
    /// # Errors
    /// Every error in it, each with its place and what to do.
    pub fn parse(text: Arc<Text>) -> Result<Self, Diagnostics> {
        Self::parse_with(text, check_no_components)
    }

    /// Checks the text of a pipeline file; its components with `check`.
    ///
    /// # Errors
    /// Every error in it, each with its place and what to do.
    pub fn parse_with(text: Arc<Text>, check: CheckStage) -> Result<Self, Diagnostics> {
        let tables::Tables {
            mut pipeline,
            unread,
            mut diagnostics,
        } = match tables::read(&text) {
            Ok(tables) => tables,
            Err(syntax) => return Err(Diagnostics::new(text, syntax)),
        };
        check::check(&mut pipeline, &unread, &mut diagnostics);
        for stage in &pipeline.stages {
            diagnostics.extend(check(&pipeline, &unread, stage));
        }
        if diagnostics.is_empty() {
            Ok(pipeline)
        } else {
            Err(Diagnostics::new(text, diagnostics))
        }
    }

    /// The stage of that name.
    ///
    /// # Errors
    /// If there is none; the error lists those that there are.
    pub fn stage(&self, name: &str) -> Result<&Stage, Diagnostics> {
        self.stages
            .iter()
            .find(|stage| stage.name == name)
            .ok_or_else(|| {
                let names: Vec<&str> = self
                    .stages
                    .iter()
                    .map(|stage| stage.name.as_str())
                    .collect();
                let diagnostic = Diagnostic::nowhere(format!("has no stage `{name}`"))
                    .help(suggest(name, &names));
                Diagnostics::new(self.text.clone(), vec![diagnostic])
            })
    }

    /// The topic of that name, which must be one that a stage names.
    ///
    /// # Panics
    /// If no stage names it.
    #[must_use]
    pub fn topic(&self, name: &str) -> &Topic {
        &self.topics[name]
    }

    /// When stages commit: what is uncommitted must fit into a process's memory.
    #[must_use]
    pub fn commit_policy(&self) -> CommitPolicy {
        CommitPolicy {
            records: self.commit.records.min(self.limits.producer_records()),
            ..self.commit
        }
    }

    /// The brokers to ask first.
    #[must_use]
    pub fn brokers(&self) -> &str {
        self.kafka
            .get("bootstrap.servers")
            .map_or("", String::as_str)
    }

    /// The stages in the order in which data flows: each after those that write what it reads.
    #[must_use]
    pub fn in_order(&self) -> Vec<&Stage> {
        let mut ordered: Vec<&Stage> = Vec::with_capacity(self.stages.len());
        let mut left: Vec<&Stage> = self.stages.iter().collect();
        while !left.is_empty() {
            let waits = |stage: &&Stage| {
                left.iter()
                    .any(|other| other.to.iter().any(|topic| stage.from.contains(topic)))
            };
            let (later, now): (Vec<&Stage>, Vec<&Stage>) =
                left.iter().partition(|stage| waits(stage));
            // A pipeline without errors has no cycle, so some stage never waits.
            if now.is_empty() {
                ordered.extend(later);
                break;
            }
            ordered.extend(now);
            left = later;
        }
        ordered
    }

    /// The stages that write a topic.
    pub fn writers<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Stage> {
        self.stages
            .iter()
            .filter(move |stage| stage.to.iter().any(|to| to == topic))
    }

    /// The stages that read a topic.
    pub fn readers<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Stage> {
        self.stages
            .iter()
            .filter(move |stage| stage.from.iter().any(|from| from == topic))
    }
}
