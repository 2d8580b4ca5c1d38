//! `rivulet groups`.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use rivulet_core::error::{Error, Kind};
use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::BoxError;
use rivulet_node::signals;
use rivulet_pipeline::Stage;

use super::compare::Screen;
use crate::args::{GroupsArgs, LagOption};
use crate::groups::{self, GroupWatch, GroupsReport, GroupsTable, LagGoal};
use crate::{CheckedPipeline, print};

pub(super) fn run(
    pipeline: &CheckedPipeline<'_>,
    args: &GroupsArgs,
    end: EndProcess,
) -> Result<(), BoxError> {
    let stages = groups::readers(pipeline, &args.stages)?;
    let mut watch = GroupWatch::new(pipeline, &stages);
    match args.watch {
        Some(every) => look_again(&mut watch, &stages, args, every, end),
        None => look_once(&mut watch, &stages, args),
    }
}

fn table<'r>(report: &'r GroupsReport, args: &GroupsArgs) -> GroupsTable<'r> {
    GroupsTable {
        report,
        partitions: args.partitions,
        directions: args.watch.is_some(),
    }
}

/// Shows the groups once they are as they should be, or the time is over.
fn look_once(
    watch: &mut GroupWatch<'_>,
    stages: &[&Stage],
    args: &GroupsArgs,
) -> Result<(), BoxError> {
    let (goal, failure) = match args.lag {
        LagOption::Zero => (LagGoal::Zero, "not all consumer groups have caught up"),
        LagOption::Any => (LagGoal::Steady, "not all consumer groups keep up"),
    };
    let limit = Duration::from_secs(args.wait);
    let waiting = ProgressBar::new_spinner();
    let found = groups::wait(watch, goal, limit, &mut |unmet| {
        waiting.set_message(unmet.join("; "));
        waiting.tick();
    });
    waiting.finish_and_clear();
    let (snapshot, unmet) = found?;
    let report = GroupsReport::new(stages, watch, &snapshot);
    if args.json {
        print::json(&report)?;
    } else {
        print::text(table(&report, args))?;
    }
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
fn look_again(
    watch: &mut GroupWatch<'_>,
    stages: &[&Stage],
    args: &GroupsArgs,
    every: Duration,
    end: EndProcess,
) -> Result<(), BoxError> {
    signals::end_at_once(end)?;
    let mut screen = Screen::new();
    // A topic that does not exist is an error; a broker that leaves later is not.
    let mut seen = Ok(watch.look()?);
    // An outage is said once: the words of each error differ.
    let mut said: Option<Kind> = None;
    let mut next = Instant::now() + every;
    loop {
        let (report, error) = match &seen {
            Ok(snapshot) => (GroupsReport::new(stages, watch, snapshot), None),
            Err(error) => (GroupsReport::without_groups(stages, error), Some(error)),
        };
        if args.json {
            print::json_line(&report)?;
        } else if error.is_none() {
            let after = if screen.is_terminal { "" } else { "\n" };
            print::write(&mut screen, format_args!("{}{after}", table(&report, args)))?;
            screen.flush()?;
        } else if let Some(error) = error
            && said != Some(error.kind())
        {
            print::aside(format_args!("{error}\n  watching goes on"));
        }
        said = error.map(Error::kind);
        thread::sleep(next.saturating_duration_since(Instant::now()));
        seen = watch.look();
        next = (next + every).max(Instant::now());
    }
}
