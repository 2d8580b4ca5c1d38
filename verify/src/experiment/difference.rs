//! A difference from the ground truth: [`TruthDifference`].

use std::collections::BTreeMap;
use std::fmt;

use rivulet_core::text::plain;
use serde::Serialize;

/// How something differs from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TruthDifferenceKind {
    /// It is in the log only.
    Missing,
    /// It is in the log only, at the end of an experiment without an end: the producer was stopped
    /// before it was committed.
    NotCommitted,
    /// It is not in the log.
    Extra,
    /// It is there twice.
    Doubled,
    /// It has another value.
    WrongValue,
    /// It is another range event, or one where there must be none, or none where there must be one.
    WrongEvent,
    /// It comes after something that must come after it.
    OutOfOrder,
    /// The stages of an experiment are not those that it must have, in their order.
    WrongLifeCycle,
    /// The key of a record is not its experiment.
    WrongKey,
    /// It cannot be decoded.
    Undecodable,
}

impl TruthDifferenceKind {
    /// In a word or two.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TruthDifferenceKind::Missing => "missing",
            TruthDifferenceKind::NotCommitted => "not committed",
            TruthDifferenceKind::Extra => "extra",
            TruthDifferenceKind::Doubled => "doubled",
            TruthDifferenceKind::WrongValue => "wrong value",
            TruthDifferenceKind::WrongEvent => "wrong range event",
            TruthDifferenceKind::OutOfOrder => "out of order",
            TruthDifferenceKind::WrongLifeCycle => "wrong life cycle",
            TruthDifferenceKind::WrongKey => "wrong key",
            TruthDifferenceKind::Undecodable => "undecodable",
        }
    }
}

/// Where something is that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TruthPlace {
    /// A record of the topic.
    Record {
        /// Its partition.
        partition: i32,
        /// Its offset.
        offset: i64,
    },
    /// A line of a file.
    Line {
        /// The file's name.
        file: String,
        /// The number of the line, from 1.
        line: u64,
    },
}

impl fmt::Display for TruthPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TruthPlace::Record { partition, offset } => {
                write!(f, "partition {partition} offset {offset}")
            }
            TruthPlace::Line { file, line } => write!(f, "{}:{line}", plain(file)),
        }
    }
}

/// One difference. Displayed, it is one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TruthDifference {
    /// How it differs.
    pub kind: TruthDifferenceKind,
    /// The id of the experiment.
    pub experiment: Option<String>,
    /// The id of the measurement.
    pub measurement: Option<String>,
    /// The id of the sensor.
    pub sensor: Option<String>,
    /// Where it is.
    pub place: Option<TruthPlace>,
    /// What must be there, and what is.
    pub why: String,
}

impl TruthDifference {
    pub(super) fn new(kind: TruthDifferenceKind, why: impl Into<String>) -> Self {
        TruthDifference {
            kind,
            experiment: None,
            measurement: None,
            sensor: None,
            place: None,
            why: why.into(),
        }
    }

    pub(super) fn experiment(mut self, id: &str) -> Self {
        self.experiment = Some(id.to_owned());
        self
    }

    pub(super) fn measurement(mut self, id: &str) -> Self {
        self.measurement = Some(id.to_owned());
        self
    }

    pub(super) fn sensor(mut self, id: &str) -> Self {
        self.sensor = Some(id.to_owned());
        self
    }

    pub(super) fn at(mut self, place: TruthPlace) -> Self {
        self.place = Some(place);
        self
    }
}

impl fmt::Display for TruthDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind.name())?;
        let parts = [
            ("experiment", &self.experiment),
            ("measurement", &self.measurement),
            ("sensor", &self.sensor),
        ];
        let parts = parts.into_iter().filter_map(|(name, id)| {
            let id = id.as_deref()?;
            Some(format!(" {name} {}", plain(id)))
        });
        let place = self.place.iter().map(|place| format!(" {place}"));
        let parts: Vec<String> = parts.chain(place).collect();
        let colon = if parts.is_empty() { "" } else { ":" };
        write!(f, "{}{colon} {}", parts.join(","), plain(&self.why))
    }
}

/// Counts differences, and keeps the first of them.
#[derive(Debug)]
pub(super) struct Findings {
    show: usize,
    pub(super) counts: BTreeMap<TruthDifferenceKind, u64>,
    pub(super) differences: Vec<TruthDifference>,
}

/// The same for one experiment.
pub(super) struct ExperimentFindings<'f> {
    id: &'f str,
    findings: &'f mut Findings,
}

impl ExperimentFindings<'_> {
    pub(super) fn push(&mut self, difference: TruthDifference) {
        self.findings.add(difference.experiment(self.id));
    }
}

impl Findings {
    pub(super) fn new(show: usize) -> Self {
        Findings {
            show,
            counts: BTreeMap::new(),
            differences: Vec::new(),
        }
    }

    /// Findings about one experiment.
    pub(super) fn about<'f>(&'f mut self, id: &'f str) -> ExperimentFindings<'f> {
        ExperimentFindings { id, findings: self }
    }

    pub(super) fn add(&mut self, difference: TruthDifference) {
        *self.counts.entry(difference.kind).or_default() += 1;
        if self.differences.len() < self.show {
            self.differences.push(difference);
        }
    }
}
