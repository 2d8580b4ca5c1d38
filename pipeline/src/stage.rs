//! A stage of the pipeline: [`Stage`].

use rivulet_core::rules::Rules;

use crate::buffer::{ClockPolicy, SpoolSettings};
use crate::component::ComponentConfig;
use crate::prefix::Prefix;

/// A stage: one process, one consumer group, one unit.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name everywhere but in Kafka: unit, log field, command line.
    pub name: String,
    /// What stands before its name in Kafka.
    pub prefix: Prefix,
    /// Where it stands in the file.
    pub place: std::ops::Range<usize>,
    /// The topics it reads, by their names in Kafka; none for a producer.
    pub from: Vec<String>,
    /// The topics it writes, by their names in Kafka; none for a sink.
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
    /// The names of its components: of its source, of its steps in order, or of its sink.
    #[must_use]
    pub fn components(&self) -> Vec<&str> {
        match self {
            StageKind::Producer { source, .. } => vec![source.name()],
            StageKind::Operator { steps } => steps.iter().map(ComponentConfig::name).collect(),
            StageKind::Sink { sink } => vec![sink.name()],
        }
    }

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
    /// Its name in Kafka: its consumer group, and the stem of its transactional id and of its own
    /// topics.
    #[must_use]
    pub fn group(&self) -> String {
        self.prefix.with(&self.name)
    }

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
        format!("{}-changelog", self.group())
    }

    /// The topic that holds the stage's dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> String {
        format!("{}-dead-letters", self.group())
    }
}
