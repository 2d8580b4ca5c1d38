//! Runs a sink in the stage loop.

use std::io::Write;

use rivulet_node::cli::BoxError;
use rivulet_node::process::Process;
use rivulet_pipeline::StageKind;

use crate::catalog::{self, SinkContext};
use crate::registry::SinkRegistry;
use crate::task::SinkTask;

/// Runs a sink stage until it is asked to stop; what it shows goes to `output`.
///
/// # Errors
/// Errors in the sink's settings, what it cannot show or keep, or what Kafka refuses.
pub fn run(
    registry: &SinkRegistry,
    process: &Process<'_>,
    output: Box<dyn Write + Send>,
) -> Result<(), BoxError> {
    let stage = process.stage;
    let StageKind::Sink { sink } = &stage.kind else {
        return Err(process.wrong_program().into());
    };
    let in_file = |name: &String| process.pipeline.in_file(name).to_owned();
    let names: Vec<String> = stage.from.iter().map(in_file).collect();
    let settings = catalog::read_from(&registry.sinks, sink, &names)?;
    let inputs = process.pipeline.inputs(stage, &registry.formats)?;
    let folder = process.pipeline.text.folder().to_owned();
    let sink = settings.open(SinkContext {
        folder,
        stage: stage.name.clone(),
        topics: stage.from.clone(),
        names,
        limits: process.pipeline.limits,
        output,
    })?;
    let Some(log) = process.open_log()? else {
        return Ok(());
    };
    let task = SinkTask::new(
        process.pipeline,
        stage,
        inputs,
        sink,
        process.metrics.clone(),
    );
    let mut task = rivulet_core::stage::run(
        log,
        task,
        process.pipeline.commit_policy(process.stage),
        &process.shutdown,
        &process.metrics,
    )?;
    task.finish()?;
    Ok(())
}
