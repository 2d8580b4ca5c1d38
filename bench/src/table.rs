//! The results side by side.

use std::fmt;

use rivulet_core::guarantee::Guarantee;

/// The result of one run of one subject.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Records per second.
    pub(crate) per_second: f64,
    /// CPU time per record in µs.
    pub(crate) cpu: f64,
    /// Peak memory in MB.
    pub(crate) memory: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} records/s, {:.2} µs CPU per record, {:.1} MB",
            self.per_second, self.cpu, self.memory
        )
    }
}

/// All runs: a row for each subject and guarantee, with median and range over the rounds.
#[derive(Debug, Default)]
pub(crate) struct ResultTable {
    rows: Vec<(String, Guarantee, Vec<Measured>)>,
}

impl ResultTable {
    pub(crate) fn add(&mut self, subject: &str, guarantee: Guarantee, measured: Measured) {
        let same = |row: &&mut (String, Guarantee, Vec<Measured>)| {
            (row.0.as_str(), row.1) == (subject, guarantee)
        };
        match self.rows.iter_mut().find(same) {
            Some(row) => row.2.push(measured),
            None => self
                .rows
                .push((subject.to_owned(), guarantee, vec![measured])),
        }
    }

    /// The CPU time relative to that of the relay in the same round.
    fn ratios(&self, guarantee: Guarantee, runs: &[Measured]) -> Vec<f64> {
        let relay = self
            .rows
            .iter()
            .find(|row| row.0 == "relay" && row.1 == guarantee);
        relay.map_or_else(Vec::new, |relay| {
            runs.iter()
                .zip(&relay.2)
                .map(|(run, relay)| run.cpu / relay.cpu)
                .collect()
        })
    }
}

impl fmt::Display for ResultTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "median (least–most) over {} rounds",
            self.rows.first().map_or(0, |row| row.2.len())
        )?;
        let head = [
            "records/s, thousands",
            "CPU µs per record",
            "CPU, × the relay's",
            "peak MB",
        ];
        writeln!(
            f,
            "{:17} {:14} {:>22} {:>22} {:>22} {:>22}",
            "", "", head[0], head[1], head[2], head[3]
        )?;
        for (subject, guarantee, runs) in &self.rows {
            let column = |of: fn(&Measured) -> f64| runs.iter().map(of).collect::<Vec<f64>>();
            let speed = spread(column(|run| run.per_second / 1e3), 0);
            let cpu = spread(column(|run| run.cpu), 2);
            let ratio = spread(self.ratios(*guarantee, runs), 2);
            let memory = spread(column(|run| run.memory), 1);
            writeln!(
                f,
                "{subject:17} {:14} {speed:>22} {cpu:>22} {ratio:>22} {memory:>22}",
                guarantee.name()
            )?;
        }
        Ok(())
    }
}

fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => "-".to_owned(),
        sorted => {
            let (least, most, median) = (
                sorted[0],
                sorted[sorted.len() - 1],
                sorted[sorted.len() / 2],
            );
            format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
        }
    }
}
