//! `rivulet dlq`.

use std::io::IsTerminal;

use crate::CheckedPipeline;
use crate::dlq::{DeadLetterQuery, Plan, ReadProgress, Resolved, ShowOptions, execute};
use crate::print;
use rivulet_core::shutdown::{EndProcess, Shutdown};
use rivulet_node::cli::BoxError;
use rivulet_node::signals;

use super::{bar, confirmed};
use crate::args::{Confirmation, DlqCommand};

pub(super) fn run(
    pipeline: &CheckedPipeline<'_>,
    command: &DlqCommand,
    end: EndProcess,
) -> Result<(), BoxError> {
    let (DlqCommand::Ls { which, .. }
    | DlqCommand::Show { which, .. }
    | DlqCommand::Replay { which, .. }
    | DlqCommand::Drop { which, .. }) = command;
    let query = DeadLetterQuery::new(pipeline, which.stage.as_deref(), which.selection())?;
    match command {
        DlqCommand::Ls { json, .. } => {
            let listing = with_progress(|progress| query.list(progress))??;
            if *json {
                print::json(&listing)?;
            } else {
                print::text(&listing)?;
            }
            Ok(())
        }
        DlqCommand::Show { handled, full, .. } => {
            let options = ShowOptions {
                resolved: *handled,
                full: *full,
            };
            let shown = query.show(options, &mut std::io::stdout().lock(), &mut |_| ())?;
            if shown == 0 {
                print::aside(format_args!(
                    "no dead letters are open{}",
                    if *handled { " or resolved" } else { "" }
                ));
            }
            Ok(())
        }
        DlqCommand::Replay { confirmation, .. } => {
            resolve(&query, Resolved::Replayed, confirmation, end)
        }
        DlqCommand::Drop { confirmation, .. } => {
            resolve(&query, Resolved::Dropped, confirmation, end)
        }
    }
}

fn resolve(
    query: &DeadLetterQuery<'_>,
    resolved: Resolved,
    confirmation: &Confirmation,
    end: EndProcess,
) -> Result<(), BoxError> {
    let plan = with_progress(|progress| query.plan(resolved, progress))??;
    print::text(&plan)?;
    let count = plan.count();
    let (verb, question) = match resolved {
        Resolved::Replayed => ("replay", format!("Replay {count}?")),
        Resolved::Dropped => ("drop", format!("Drop {count}?")),
    };
    if count == 0 {
        print::line(format_args!("nothing to {verb}"))?;
        return Ok(());
    }
    if confirmation.dry_run {
        print::line("nothing was done: --dry-run")?;
        return Ok(());
    }
    if !confirmation.yes {
        let nothing = format!("nothing was {}", resolved.name());
        if !std::io::stdin().is_terminal() {
            let cause = "there is no terminal to ask at\n  help: pass --yes";
            return Err(format!("{nothing}: {cause}").into());
        }
        if !confirmed(&question)? {
            return Err(format!("{nothing}\n  help: answer yes, or pass --yes").into());
        }
    }
    execute_plan(&plan, resolved, end)
}

fn execute_plan(plan: &Plan<'_>, resolved: Resolved, end: EndProcess) -> Result<(), BoxError> {
    // Only now: during the question Ctrl-C ends the program at once.
    let shutdown = Shutdown::new();
    signals::watch(&shutdown, end)?;
    let bar = bar()?;
    bar.set_length(plan.count());
    let counts = execute(plan, &shutdown, &mut |count| bar.set_position(count));
    bar.finish_and_clear();
    let counts = counts?;
    print::line(format_args!("{} {}", resolved.name(), counts.resolved))?;
    if counts.gone > 0 {
        print::line(format_args!(
            "{} more were resolved by another process or deleted by retention meanwhile",
            counts.gone
        ))?;
    }
    Ok(())
}

/// Shows the progress of reading at a terminal.
fn with_progress<T>(
    read: impl FnOnce(&mut dyn FnMut(ReadProgress<'_>)) -> T,
) -> Result<T, BoxError> {
    let bar = bar()?;
    let result = read(&mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        let waiting = if progress.waiting {
            " (waiting for an open transaction)"
        } else {
            ""
        };
        bar.set_message(format!("reading {}{waiting}", progress.topic));
    });
    bar.finish_and_clear();
    Ok(result)
}
