//! The outcome of a comparison, for people: [`TruthTable`].

use std::fmt;

use rivulet_core::text::plain;
use rivulet_verify::experiment::{RangeEventCounts, TruthReport, TruthRow};

use crate::table::aligned;

/// The outcome of a comparison. Displayed, it has a line for each experiment, notes, the first
/// differences, and last the verdict.
#[derive(Debug, Clone, Copy)]
pub struct TruthTable<'r>(pub &'r TruthReport);

impl fmt::Display for TruthTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TruthTable(report) = self;
        let titles = [
            "experiment",
            "measurements",
            "averages: right",
            "wrong",
            "missing",
            "Stabilized",
            "OutOfRange",
        ];
        let titles = titles.map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> = [titles]
            .into_iter()
            .chain(report.experiments.iter().map(cells))
            .collect();
        f.write_str(&aligned(&rows))?;
        for note in &report.notes {
            writeln!(f, "note: {}", plain(note))?;
        }
        for difference in &report.differences {
            writeln!(f, "{difference}")?;
        }
        let total: u64 = report.counts.values().sum();
        match total - report.differences.len() as u64 {
            0 => (),
            more => writeln!(f, "{more} more; --show COUNT shows as many as you say")?,
        }
        writeln!(f, "{}", plain(&report.verdict()))
    }
}

fn cells(row: &TruthRow) -> Vec<String> {
    let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    vec![
        row.experiment.clone(),
        row.measurements.to_string(),
        count(row.averages.map(|counts| counts.right)),
        count(row.averages.map(|counts| counts.wrong)),
        count(row.averages.map(|counts| counts.missing)),
        events(row.stabilized),
        events(row.out_of_range),
    ]
}

/// How many of the range events were found, and how many more.
fn events(counts: Option<RangeEventCounts>) -> String {
    let Some(counts) = counts else {
        return "-".to_owned();
    };
    let there = format!(
        "{} of {}",
        counts.expected - counts.missing,
        counts.expected
    );
    match counts.extra {
        0 => there,
        extra => format!("{there}, {extra} extra"),
    }
}
