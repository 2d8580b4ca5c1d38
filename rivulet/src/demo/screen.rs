//! A line for each stage: live at a terminal, otherwise from time to time.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::print;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rivulet_core::metrics::Metrics;
use rivulet_pipeline::Stage;

/// How often the lines are printed without a terminal.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Shows the progress of the stages.
#[derive(Debug)]
pub(super) struct Screen {
    names: Vec<String>,
    width: usize,
    /// One for each stage at a terminal, otherwise none.
    lines: Vec<ProgressBar>,
    /// Draws the lines until it is dropped.
    _all: MultiProgress,
    printed: Instant,
    start: Instant,
}

impl Screen {
    pub(super) fn new(stages: &[&Stage]) -> Self {
        let names: Vec<String> = stages.iter().map(|stage| stage.name.clone()).collect();
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{wide_msg}").expect("a valid template");
        let lines = if std::io::stderr().is_terminal() {
            names
                .iter()
                .map(|_| all.add(ProgressBar::new_spinner().with_style(style.clone())))
                .collect()
        } else {
            Vec::new()
        };
        let width = names.iter().map(String::len).max().unwrap_or_default();
        Screen {
            names,
            width,
            lines,
            _all: all,
            printed: Instant::now(),
            start: Instant::now(),
        }
    }

    /// Shows the metrics of each stage, whether it runs, and the last line of its output.
    pub(super) fn draw<'c>(&mut self, stages: impl Iterator<Item = (&'c Metrics, bool, String)>) {
        let now = Instant::now();
        let is_log = self.lines.is_empty();
        if is_log && now.duration_since(self.printed) < LOG_INTERVAL {
            return;
        }
        self.printed = now;
        let width = self.width;
        let shown: Vec<String> = self
            .names
            .iter()
            .zip(stages)
            .map(|(name, (metrics, runs, last))| {
                let Metrics {
                    read,
                    written,
                    dead,
                    ..
                } = metrics;
                let mark = if runs { '▶' } else { '✔' };
                let dead = if dead.get() > 0 {
                    format!(" {} dead", dead.get())
                } else {
                    String::new()
                };
                format!(
                    "{mark} {name:width$} {:>7} in {:>7} out{dead}   {last}",
                    read.get(),
                    written.get()
                )
            })
            .collect();
        if is_log {
            print::aside(format_args!(
                "after {:.0} s\n{}",
                self.start.elapsed().as_secs_f64(),
                shown.join("\n")
            ));
        }
        for (line, shown) in self.lines.iter().zip(shown) {
            line.set_message(shown);
            line.tick();
        }
    }

    /// Ends drawing. The last lines remain.
    pub(super) fn close(&self) {
        for line in &self.lines {
            line.abandon();
        }
    }
}
