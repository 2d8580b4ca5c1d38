//! A chain put into the stage loop.

use stream::cli::BoxError;
use stream::pipeline::Work;
use stream::process::Process;
use stream::processing::Processing;

use crate::Chain;

/// Runs an operator stage until it is asked to stop.
///
/// # Errors
/// Mistakes in the stage's steps, or what the stage loop cannot go on from.
pub fn run(process: &Process<'_>) -> Result<(), BoxError> {
    let Work::Operator { steps } = &process.stage.work else { return Err(process.wrong_program().into()) };
    let chain = Chain::build(steps).map_err(|mistakes| process.mistakes(mistakes))?;
    let Some(mut log) = process.open_log()? else { return Ok(()) };
    let counters = &process.counters;
    let mut work = Processing::new(process.pipeline, process.stage, Box::new(chain), counters.clone());
    stream::stage::run(&mut log, &mut work, process.pipeline.commit, &process.shutdown, counters)?;
    tracing::info!(
        "{} stops: {} read, {} written, {} dead letters, {} commits",
        process.stage.name,
        counters.read.get(),
        counters.written.get(),
        counters.dead.get(),
        counters.commits.get()
    );
    Ok(())
}
