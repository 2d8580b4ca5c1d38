//! What a comparison with the ground truth has found: [`TruthReport`].

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::difference::{Findings, TruthDifference, TruthDifferenceKind};
use super::verdict::Verdict;

/// What a comparison with the ground truth has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TruthReport {
    /// Whether there is no difference.
    pub is_clean: bool,
    /// What the log was compared with: a topic or a file.
    pub compared_with: String,
    /// One for each experiment of the log, sorted by id.
    pub experiments: Vec<TruthRow>,
    /// How many differences there are of each kind.
    pub counts: BTreeMap<TruthDifferenceKind, u64>,
    /// The first differences.
    pub differences: Vec<TruthDifference>,
    /// Other things that a person should know.
    pub notes: Vec<String>,
}

/// What was found of one experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TruthRow {
    /// Its id.
    pub experiment: String,
    /// How many measurements the log has.
    pub measurements: u64,
    /// Its averages; `None` if they were not compared.
    pub averages: Option<AverageCounts>,
    /// How often it stabilized; `None` if that was not compared.
    pub stabilized: Option<RangeEventCounts>,
    /// How often it went out of range; `None` if that was not compared.
    pub out_of_range: Option<RangeEventCounts>,
}

/// The averages of one experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AverageCounts {
    /// As in the log.
    pub right: u64,
    /// Another value than in the log.
    pub wrong: u64,
    /// Only in the log.
    pub missing: u64,
}

/// The range events of one kind in one experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RangeEventCounts {
    /// Those of the log.
    pub expected: u64,
    /// Those that were found or computed.
    pub found: u64,
    /// Those of the log that were not found.
    pub missing: u64,
    /// Those that were found and are not in the log.
    pub extra: u64,
}

impl TruthRow {
    /// An experiment of which nothing is known but its size.
    pub(super) fn new(experiment: &str, measurements: usize) -> Self {
        TruthRow {
            experiment: experiment.to_owned(),
            measurements: measurements as u64,
            averages: None,
            stabilized: None,
            out_of_range: None,
        }
    }

    fn events(&mut self, kind: Verdict) -> &mut RangeEventCounts {
        let counts = match kind {
            Verdict::Stabilized => &mut self.stabilized,
            Verdict::OutOfRange => &mut self.out_of_range,
        };
        counts.get_or_insert_default()
    }

    /// Counts the range events of a measurement. Whether both are the same.
    pub(super) fn judge(&mut self, expected: Option<Verdict>, found: Option<Verdict>) -> bool {
        for kind in [Verdict::Stabilized, Verdict::OutOfRange] {
            let counts = self.events(kind);
            let is = |event: Option<Verdict>| u64::from(event == Some(kind));
            counts.expected += is(expected);
            counts.found += is(found);
            counts.missing += is(expected).saturating_sub(is(found));
            counts.extra += is(found).saturating_sub(is(expected));
        }
        expected == found
    }
}

impl TruthReport {
    pub(super) fn new(compared_with: &str, rows: Vec<TruthRow>, findings: Findings) -> Self {
        TruthReport {
            is_clean: findings.counts.is_empty(),
            compared_with: compared_with.to_owned(),
            experiments: rows,
            counts: findings.counts,
            differences: findings.differences,
            notes: Vec::new(),
        }
    }

    /// The verdict in one line, such as `compared 22 measurements of 1 experiment with the topic
    /// experiment: no difference`.
    #[must_use]
    pub fn verdict(&self) -> String {
        let sum: u64 = self.experiments.iter().map(|row| row.measurements).sum();
        let total: u64 = self.counts.values().sum();
        let plural = |count: u64, noun: &str| match count {
            1 => format!("1 {noun}"),
            _ => format!("{count} {noun}s"),
        };
        let mut verdict = format!(
            "compared {} of {} with {}: ",
            plural(sum, "measurement"),
            plural(self.experiments.len() as u64, "experiment"),
            self.compared_with
        );
        if self.is_clean {
            return verdict + "no difference";
        }
        let kinds = self.counts.iter();
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{count} {}", kind.name()))
            .collect();
        let _ = write!(
            verdict,
            "{} ({})",
            plural(total, "difference"),
            kinds.join(", ")
        );
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_of_a_measurement_are_counted_by_kind() {
        let mut row = TruthRow::new("e", 3);
        let [stabilized, out] = [Verdict::Stabilized, Verdict::OutOfRange].map(Some);
        assert!(row.judge(stabilized, stabilized) && row.judge(None, None));
        assert!(!row.judge(stabilized, out) && !row.judge(out, None) && !row.judge(None, out));
        let counts = |expected, found, missing, extra| RangeEventCounts {
            expected,
            found,
            missing,
            extra,
        };
        assert_eq!(row.stabilized, Some(counts(2, 1, 1, 0)));
        assert_eq!(row.out_of_range, Some(counts(1, 2, 1, 2)));
    }
}
