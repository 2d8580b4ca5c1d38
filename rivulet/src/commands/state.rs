//! What stages remember at a terminal: shown, checked, kept and forgotten.

use std::fmt::Display;
use std::io::IsTerminal;

use rivulet::state::{self, Forget, ForgetSelection, Keep, Reset, Resume};
use stream::cli::BoxError;
use stream::pipeline::{Pipeline, Stage};

use super::confirmed;
use crate::args::StateCommand;

pub(super) fn run(pipeline: &Pipeline, command: &StateCommand) -> Result<(), BoxError> {
    match command {
        StateCommand::Show { stage: None, .. } => {
            let overview = state::overview(pipeline)?;
            print!("{overview}");
            all_right(&overview.faults)
        }
        StateCommand::Show {
            stage: Some(stage),
            sensor,
            json,
        } => {
            let shown = state::show(pipeline, state::keeper(pipeline, stage)?)?;
            let fault = shown.fault();
            let shown = if let Some(sensor) = sensor {
                shown.only(sensor)?
            } else {
                shown
            };
            if *json {
                println!("{}", serde_json::to_string_pretty(&shown)?);
            } else {
                print!("{shown}");
            }
            all_right(fault.as_slice())
        }
        StateCommand::Check { stages } => {
            let named = stages
                .iter()
                .map(|name| pipeline.stage(name))
                .collect::<Result<Vec<&Stage>, _>>()?;
            let stages = if named.is_empty() {
                state::keepers(pipeline).collect()
            } else {
                named
            };
            let checked = state::check(pipeline, &stages)?;
            print!("{checked}");
            all_right(&checked.faults())
        }
        StateCommand::Keep {
            stage,
            yes,
            dry_run,
        } => {
            let keep = Keep::plan(pipeline, state::keeper(pipeline, stage)?)?;
            if !keep.is_needed() {
                print!("{keep}");
            } else if agreed(&keep, "Keep it?", *yes, *dry_run)? {
                keep.carry_out()?;
                println!("done: {stage} goes on with what it remembers");
            }
            Ok(())
        }
        StateCommand::Forget {
            stage,
            sensor,
            idle,
            yes,
            dry_run,
        } => {
            let named = || ForgetSelection::Named(sensor.iter().cloned().collect());
            let which = idle.map_or_else(named, ForgetSelection::Idle);
            let forget = Forget::plan(pipeline, state::keeper(pipeline, stage)?, which)?;
            if forget.is_empty() {
                print!("{forget}");
            } else if agreed(&forget, "Forget them?", *yes, *dry_run)? {
                forget.carry_out()?;
                println!("done: {stage} goes on without them");
            }
            Ok(())
        }
        StateCommand::Resume {
            stage,
            yes,
            dry_run,
        } => {
            let resume = Resume::plan(pipeline, pipeline.stage(stage)?)?;
            if resume.is_empty() {
                print!("{resume}");
            } else if agreed(&resume, "Go on there?", *yes, *dry_run)? {
                resume.carry_out()?;
                println!("done: {stage} goes on where it was");
            }
            Ok(())
        }
        StateCommand::Reset {
            stage,
            from_start,
            yes,
            dry_run,
        } => {
            let reset = Reset::plan(pipeline, pipeline.stage(stage)?, *from_start)?;
            if agreed(&reset, "Forget it?", *yes, *dry_run)? {
                reset.carry_out()?;
                println!("done: {stage} begins with an empty state");
            }
            Ok(())
        }
    }
}

fn all_right(faults: &[String]) -> Result<(), BoxError> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\nerror: ").into())
    }
}

/// Shows what will be done, and tells whether to do it.
///
/// # Errors
/// If somebody should have said yes and has not.
fn agreed(plan: &impl Display, question: &str, yes: bool, dry_run: bool) -> Result<bool, BoxError> {
    print!("{plan}");
    if dry_run {
        println!("nothing was changed");
        return Ok(false);
    }
    if !yes && !std::io::stdin().is_terminal() {
        return Err(
            "nothing was changed: there is no terminal to ask at\n  help: say --yes".into(),
        );
    }
    if !yes && !confirmed(question)? {
        return Err("nothing was changed\n  help: answer yes, or say --yes".into());
    }
    Ok(true)
}
