//! Runs a chain in the stage loop.

use rivulet_core::processing::Processing;
use rivulet_node::cli::BoxError;
use rivulet_node::process::Process;
use rivulet_pipeline::StageKind;

use crate::registry::OperatorRegistry;

/// Runs an operator stage until it is asked to stop.
///
/// # Errors
/// Errors in the stage's steps, or what the stage loop cannot go on from.
pub fn run(registry: &OperatorRegistry, process: &Process<'_>) -> Result<(), BoxError> {
    let StageKind::Operator { steps } = &process.stage.kind else {
        return Err(process.wrong_program().into());
    };
    let chain = registry
        .chain(process.pipeline, process.stage, steps)
        .map_err(|diagnostics| process.diagnostics(diagnostics))?;
    let Some(log) = process.open_log()? else {
        return Ok(());
    };
    let metrics = &process.metrics;
    let task = Processing::new(
        process
            .pipeline
            .processing_config(process.stage, &registry.formats)?,
        Box::new(chain),
        metrics.clone(),
    );
    rivulet_core::stage::run(
        log,
        task,
        process.pipeline.commit_policy(process.stage),
        &process.shutdown,
        metrics,
    )?;
    tracing::info!(
        stage = process.stage.name,
        read = metrics.read.get(),
        written = metrics.written.get(),
        skipped = metrics.skipped.get(),
        dead_letters = metrics.dead.get(),
        commits = metrics.commits.get(),
        "stage stopped"
    );
    Ok(())
}
