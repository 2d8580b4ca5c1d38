//! A line for each stage from time to time, if there is no terminal.

use std::time::{Duration, Instant};

use rivulet_core::metrics::Metrics;

use super::stages::DemoStages;
use crate::print;

/// How often the lines are printed.
const INTERVAL: Duration = Duration::from_secs(5);

/// Prints the progress of the stages.
#[derive(Debug)]
pub(super) struct Progress {
    start: Instant,
    printed: Instant,
}

impl Progress {
    pub(super) fn new() -> Self {
        let start = Instant::now();
        let printed = start;
        Progress { start, printed }
    }

    /// Prints the metrics of each stage, whether it runs, and the last line of its output, if it is
    /// time.
    pub(super) fn print(&mut self, stages: &DemoStages<'_, '_>) {
        let now = Instant::now();
        if now.duration_since(self.printed) < INTERVAL {
            return;
        }
        self.printed = now;
        let width = stages.all.iter().map(|stage| stage.stage.name.len()).max();
        let width = width.unwrap_or_default();
        let lines: Vec<String> = stages
            .all
            .iter()
            .map(|stage| {
                let Metrics {
                    read,
                    written,
                    dead,
                    ..
                } = &*stage.metrics;
                let mark = if stage.running.is_some() {
                    '▶'
                } else {
                    '✔'
                };
                let dead = if dead.get() > 0 {
                    format!(" {} dead", dead.get())
                } else {
                    String::new()
                };
                format!(
                    "{mark} {:width$} {:>7} in {:>7} out{dead}   {}",
                    stage.stage.name,
                    read.get(),
                    written.get(),
                    stage.output.last_line()
                )
            })
            .collect();
        let seconds = self.start.elapsed().as_secs_f64();
        print::aside(format_args!("after {seconds:.0} s\n{}", lines.join("\n")));
    }
}
