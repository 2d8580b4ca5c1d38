//! What is known of the stages of a pipeline at one time: [`PipelineFigures`].

use rivulet_pipeline::{Pipeline, Stage};

use crate::groups::{LagReport, PartitionReport};

/// What is known of the stages of a pipeline at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PipelineFigures {
    /// When, in milliseconds since the epoch. 0 before the first look.
    pub time: i64,
    /// The stages, in the order of the data flow.
    pub stages: Vec<StageFigures>,
    /// Why nothing is known of the consumer groups.
    pub error: Option<String>,
    /// What else whoever looks should know, such as that no process was asked.
    pub notes: Vec<String>,
}

/// What is known of one stage.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageFigures {
    /// Its name in the pipeline file.
    pub stage: String,
    /// The table that it is in: `producer`, `operator` or `sink`.
    pub kind: &'static str,
    /// Its source, its steps or its sink.
    pub does: String,
    /// The topics that it reads, by their names in the file.
    pub from: Vec<String>,
    /// The topics that it writes.
    pub to: Vec<String>,
    /// Where its processes run: nodes, or addresses of group members.
    pub nodes: Vec<String>,
    /// How it is.
    pub state: StageCondition,
    /// What it does, or why it is not as it should be. Plain text.
    pub sentence: String,
    /// Records read in a second, or readings of a source.
    pub rate_in: Option<f64>,
    /// Records written in a second.
    pub rate_out: Option<f64>,
    /// Whether the rates are those of offsets: those include transaction markers.
    pub is_estimate: bool,
    /// The lag of all its partitions together. A producer has none.
    pub lag: Option<LagReport>,
    /// The partitions of its inputs.
    pub partitions: Vec<PartitionReport>,
    /// From a record's entry into the pipeline to the commit of its results here: the median of
    /// the last seconds, in seconds.
    pub p50: Option<f64>,
    /// The same of the slowest hundredth.
    pub p99: Option<f64>,
    /// Commits in a second.
    pub commits: Option<f64>,
    /// The memory of its processes, in bytes.
    pub memory: Option<f64>,
    /// Whether its process runs other stages, too, so that the memory is that of all.
    pub shares_process: bool,
    /// The rates of the last minute, the latest last: those out, or in for a sink.
    pub history: Vec<f64>,
}

/// How a stage is. What is greater is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum StageCondition {
    /// Nothing is known.
    #[default]
    Unknown,
    /// It has come to its end, as a source of a file does.
    Ended,
    /// It does its work.
    Running,
    /// It connects, joins its group or restores its state.
    Starting,
    /// It runs and does not do its work.
    NotReady,
    /// No process of it is there.
    Down,
}

impl StageCondition {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StageCondition::Unknown => "unknown",
            StageCondition::Running => "running",
            StageCondition::Ended => "ended",
            StageCondition::Starting => "starting",
            StageCondition::NotReady => "not ready",
            StageCondition::Down => "down",
        }
    }

    /// Whether somebody should look after it.
    #[must_use]
    pub fn is_trouble(self) -> bool {
        matches!(self, StageCondition::NotReady | StageCondition::Down)
    }
}

impl StageFigures {
    /// Nothing yet of a stage.
    pub(super) fn new(pipeline: &Pipeline, stage: &Stage) -> Self {
        let in_file = |topics: &[String]| {
            let names = topics
                .iter()
                .map(|topic| pipeline.in_file(topic).to_owned());
            names.collect()
        };
        let does = stage.kind.components();
        StageFigures {
            stage: stage.name.clone(),
            kind: stage.kind.table(),
            does: does.join(", "),
            from: in_file(&stage.from),
            to: in_file(&stage.to),
            ..StageFigures::default()
        }
    }

    /// Its rate: out, or in if it writes no topic.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        if self.to.is_empty() {
            self.rate_in
        } else {
            self.rate_out
        }
    }
}
