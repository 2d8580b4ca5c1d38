//! The dead letters at a terminal: what is asked, shown and told.

use std::io::IsTerminal;

use rivulet::dlq::{Letters, ReadProgress, Resolved, ShowOptions, handle};
use stream::cli::BoxError;
use stream::pipeline::Pipeline;
use stream::shutdown::Shutdown;

use super::{bar, confirmed};
use crate::args::{DlqCommand, How};

pub(super) fn run(pipeline: &Pipeline, command: &DlqCommand) -> Result<(), BoxError> {
    let (DlqCommand::Ls { which, .. }
    | DlqCommand::Show { which, .. }
    | DlqCommand::Replay { which, .. }
    | DlqCommand::Drop { which, .. }) = command;
    let letters = Letters::new(pipeline, which.stage.as_deref(), which.selection())?;
    match command {
        DlqCommand::Ls { json, .. } => {
            let listing = reading(|progress| letters.list(progress))??;
            if *json {
                println!("{}", serde_json::to_string_pretty(&listing)?);
            } else {
                print!("{listing}");
            }
            Ok(())
        }
        DlqCommand::Show { handled, full, .. } => {
            let options = ShowOptions {
                resolved: *handled,
                full: *full,
            };
            let shown = letters.show(options, &mut std::io::stdout().lock(), &mut |_| ())?;
            if shown == 0 {
                eprintln!(
                    "no dead letters are open{}",
                    if *handled { " or handled" } else { "" }
                );
            }
            Ok(())
        }
        DlqCommand::Replay { how, .. } => change(&letters, Resolved::Replayed, how),
        DlqCommand::Drop { how, .. } => change(&letters, Resolved::Dropped, how),
    }
}

fn change(letters: &Letters<'_>, handled: Resolved, how: &How) -> Result<(), BoxError> {
    let plan = reading(|progress| letters.plan(handled, progress))??;
    print!("{plan}");
    let (verb, count) = (
        if handled == Resolved::Replayed {
            "replay"
        } else {
            "drop"
        },
        plan.count(),
    );
    if count == 0 {
        println!("nothing to {verb}");
        return Ok(());
    }
    if how.dry_run {
        println!("nothing was done: --dry-run");
        return Ok(());
    }
    if !how.yes {
        if !std::io::stdin().is_terminal() {
            return Err(format!(
                "nothing was {}: there is no terminal to ask at\n  help: say --yes",
                handled.name()
            )
            .into());
        }
        if !confirmed(&format!(
            "{} {count}?",
            if verb == "drop" { "Drop" } else { "Replay" }
        ))? {
            return Err(format!(
                "nothing was {}\n  help: answer yes, or say --yes",
                handled.name()
            )
            .into());
        }
    }
    // Only now: at the question Ctrl-C ends the program at once.
    let shutdown = Shutdown::new();
    shutdown.at_signals(crate::end)?;
    let bar = bar()?;
    bar.set_length(count);
    let done = handle(&plan, &shutdown, &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    let done = done?;
    println!("{} {}", handled.name(), done.done);
    if done.gone > 0 {
        println!(
            "{} more were dealt with by somebody else, or retention took them, meanwhile",
            done.gone
        );
    }
    Ok(())
}

/// Tells at a terminal how far the reading is.
fn reading<T>(read: impl FnOnce(&mut dyn FnMut(ReadProgress<'_>)) -> T) -> Result<T, BoxError> {
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
