//! `rivulet state`.

use std::fmt::Display;
use std::io::IsTerminal;

use crate::CheckedPipeline;
use crate::print;
use crate::state::{self, Forget, ForgetSelection, Keep, Reset, Resume};
use rivulet_node::cli::BoxError;
use rivulet_pipeline::Stage;

use super::confirmed;
use crate::args::StateCommand;

pub(super) fn run(pipeline: &CheckedPipeline<'_>, command: &StateCommand) -> Result<(), BoxError> {
    match command {
        StateCommand::Show { stage: None, .. } => {
            let overview = state::overview(pipeline)?;
            print::text(&overview)?;
            fail_with(&overview.faults)
        }
        StateCommand::Show {
            stage: Some(stage),
            sensor,
            json,
        } => {
            let shown = state::show(pipeline, state::stateful_stage(pipeline, stage)?)?;
            let fault = shown.fault();
            let shown = match sensor {
                Some(sensor) => shown.only(sensor)?,
                None => shown,
            };
            if *json {
                print::json(&shown)?;
            } else {
                print::text(&shown)?;
            }
            fail_with(fault.as_slice())
        }
        StateCommand::Check { stages } => {
            let named = stages
                .iter()
                .map(|name| pipeline.stage(name))
                .collect::<Result<Vec<&Stage>, _>>()?;
            let stages = if named.is_empty() {
                state::stateful_stages(pipeline).collect()
            } else {
                named
            };
            let checked = state::check(pipeline, &stages)?;
            print::text(&checked)?;
            fail_with(&checked.faults())
        }
        StateCommand::Keep {
            stage,
            yes,
            dry_run,
        } => {
            let keep = Keep::plan(pipeline, state::stateful_stage(pipeline, stage)?)?;
            if !keep.is_needed() {
                print::text(&keep)?;
            } else if agreed(&keep, "Keep it?", *yes, *dry_run)? {
                keep.execute()?;
                print::line(format_args!("done: {stage} continues with its state"))?;
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
            let which = idle.map_or_else(
                || ForgetSelection::Named(sensor.iter().cloned().collect()),
                ForgetSelection::Idle,
            );
            let forget = Forget::plan(pipeline, state::stateful_stage(pipeline, stage)?, which)?;
            if forget.is_empty() {
                print::text(&forget)?;
            } else if agreed(&forget, "Forget them?", *yes, *dry_run)? {
                forget.execute()?;
                print::line(format_args!("done: {stage} continues without them"))?;
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
                print::text(&resume)?;
            } else if agreed(&resume, "Resume there?", *yes, *dry_run)? {
                resume.execute()?;
                print::line(format_args!("done: {stage} continues at these offsets"))?;
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
            if agreed(&reset, "Reset it?", *yes, *dry_run)? {
                reset.execute()?;
                print::line(format_args!("done: {stage} starts with an empty state"))?;
            }
            Ok(())
        }
    }
}

fn fail_with(faults: &[String]) -> Result<(), BoxError> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\nerror: ").into())
    }
}

/// Prints the plan and returns whether to execute it.
///
/// # Errors
/// If the plan was not confirmed.
pub(super) fn agreed(
    plan: &impl Display,
    question: &str,
    yes: bool,
    dry_run: bool,
) -> Result<bool, BoxError> {
    print::text(plan)?;
    if dry_run {
        print::line("nothing was changed")?;
        return Ok(false);
    }
    if !yes && !std::io::stdin().is_terminal() {
        return Err(
            "nothing was changed: there is no terminal to ask at\n  help: pass --yes".into(),
        );
    }
    if !yes && !confirmed(question)? {
        return Err("nothing was changed\n  help: answer yes, or pass --yes".into());
    }
    Ok(true)
}
