//! `rivulet groups`.

use std::io::{IsTerminal, Write};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::BoxError;
use rivulet_node::signals;
use rivulet_pipeline::Stage;

use super::compare::Screen;
use crate::args::{GroupsArgs, LagOption};
use crate::groups::{
    self, GroupWatch, GroupsReport, GroupsTable, LagGoal, ProcessAnswers, ProcessTargets, Snapshot,
};
use crate::{CheckedPipeline, print};

pub(super) fn run(
    pipeline: &CheckedPipeline<'_>,
    args: &GroupsArgs,
    end: EndProcess,
) -> Result<(), BoxError> {
    let targets = args.targets.as_deref().map(ProcessTargets::read);
    let shown = Shown {
        pipeline,
        args,
        // A producer has no group, but processes.
        stages: if args.targets.is_some() {
            groups::stages(pipeline, &args.stages)?
        } else {
            groups::readers(pipeline, &args.stages)?
        },
        targets: targets.transpose()?,
    };
    let readers = shown.stages.iter().copied();
    let readers: Vec<&Stage> = readers.filter(|stage| !stage.from.is_empty()).collect();
    let mut watch = GroupWatch::new(pipeline, &readers);
    match args.watch {
        Some(every) => shown.again_and_again(&mut watch, every, end),
        None => shown.once(&mut watch),
    }
}

/// What is shown of which stages.
struct Shown<'p> {
    pipeline: &'p CheckedPipeline<'p>,
    args: &'p GroupsArgs,
    stages: Vec<&'p Stage>,
    targets: Option<ProcessTargets>,
}

impl Shown<'_> {
    /// Looks at the groups, and asks the processes meanwhile.
    fn look<T>(&self, look: impl FnOnce() -> T) -> (T, Option<ProcessAnswers>) {
        let Some(targets) = &self.targets else {
            return (look(), None);
        };
        thread::scope(|scope| {
            let asking = scope.spawn(|| targets.ask(self.pipeline));
            (look(), Some(asking.join().unwrap_or_default()))
        })
    }

    fn report(
        &self,
        watch: &GroupWatch<'_>,
        seen: Result<&Snapshot, &Error>,
        answers: Option<ProcessAnswers>,
    ) -> GroupsReport {
        let report = match seen {
            Ok(snapshot) => GroupsReport::new(&self.stages, watch, snapshot),
            Err(error) => GroupsReport::without_groups(&self.stages, error),
        };
        match answers {
            Some(answers) => report.with(answers),
            None => report,
        }
    }

    fn table<'r>(&self, report: &'r GroupsReport) -> GroupsTable<'r> {
        let is_terminal = std::io::stdout().is_terminal();
        let width = is_terminal.then(terminal_size::terminal_size).flatten();
        GroupsTable {
            report,
            partitions: self.args.partitions,
            directions: self.args.watch.is_some(),
            width: width.map(|(width, _)| usize::from(width.0)),
        }
    }

    /// Shows the groups once they are as they should be, or the time is over.
    fn once(&self, watch: &mut GroupWatch<'_>) -> Result<(), BoxError> {
        let (goal, failure) = match self.args.lag {
            LagOption::Zero => (LagGoal::Zero, "not all consumer groups have caught up"),
            LagOption::Any => (LagGoal::Steady, "not all consumer groups keep up"),
        };
        let limit = Duration::from_secs(self.args.wait);
        let waiting = ProgressBar::new_spinner();
        let found = groups::wait(watch, goal, limit, &mut |unmet| {
            waiting.set_message(unmet.join("; "));
            waiting.tick();
        });
        waiting.finish_and_clear();
        let answers = self
            .targets
            .as_ref()
            .map(|targets| targets.ask(self.pipeline));
        // Processes say why they are not ready even if no broker does.
        if found.is_ok() || answers.is_some() {
            let seen = found.as_ref().map(|(snapshot, _)| snapshot);
            let report = self.report(watch, seen, answers);
            if self.args.json {
                print::json(&report)?;
            } else {
                print::text(self.table(&report))?;
            }
        }
        let (_, unmet) = found?;
        if unmet.is_empty() {
            return Ok(());
        }
        let waited = if limit.is_zero() {
            String::new()
        } else {
            format!(" after {} s", limit.as_secs())
        };
        Err(format!(
            "{failure}{waited}\n  {}\n  help: start the stages without members; wait with --wait \
             SECONDS; choose stages with --stages",
            unmet.join("\n  ")
        )
        .into())
    }

    /// Shows the groups until Ctrl-C.
    fn again_and_again(
        &self,
        watch: &mut GroupWatch<'_>,
        every: Duration,
        end: EndProcess,
    ) -> Result<(), BoxError> {
        signals::end_at_once(end)?;
        let mut screen = Screen::new();
        // An outage is said once: the words of each error differ.
        let mut said: Option<Kind> = None;
        let mut next = Instant::now();
        for look in 0.. {
            let (seen, answers) = self.look(|| watch.look());
            let report = self.report(watch, seen.as_ref(), answers);
            match seen {
                // A topic that does not exist is an error; a broker that leaves later is not.
                Err(error) if look == 0 && self.targets.is_none() => return Err(error.into()),
                _ if self.args.json => print::json_line(&report)?,
                Err(error) if self.targets.is_none() => {
                    if said != Some(error.kind()) {
                        print::aside(format_args!("{error}\n  watching goes on"));
                    }
                    said = Some(error.kind());
                }
                seen => {
                    let after = if screen.is_terminal { "" } else { "\n" };
                    let error = seen
                        .err()
                        .map(|error| format!("{error}\n"))
                        .unwrap_or_default();
                    let table = self.table(&report);
                    print::write(&mut screen, format_args!("{table}{error}{after}"))?;
                    screen.flush()?;
                    said = None;
                }
            }
            next = (next + every).max(Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }
}
