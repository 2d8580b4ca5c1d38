//! Running a producer stage.

use std::sync::atomic::Ordering;

use rivulet_core::metrics::Metrics;
use rivulet_core::stage::Step;
use rivulet_node::cli::BoxError;
use rivulet_node::process::Process;
use rivulet_pipeline::{ClockPolicy, StageKind};

use crate::buffer;
use crate::catalog::SourceContext;
use crate::registry::ProducerRegistry;
use crate::source::Progress;
use crate::source_loop::SourceLoop;

/// Runs a producer stage until its source ends or it is asked to stop. `from_start` forgets the
/// position of an earlier run; `watch` is told now and then how far the source is.
///
/// # Errors
/// Errors in the source's settings, what the source cannot go on from, or what Kafka refuses.
pub fn run(
    registry: &ProducerRegistry,
    process: &Process<'_>,
    from_start: bool,
    watch: &mut dyn FnMut(Option<Progress>),
) -> Result<(), BoxError> {
    let StageKind::Producer {
        source,
        spool,
        clock,
    } = &process.stage.kind
    else {
        return Err(process.wrong_program().into());
    };
    let settings = buffer::read(&registry.sources, source, spool.as_ref())?;
    let outputs = process.pipeline.outputs(process.stage, &registry.formats)?;
    let folder = process.pipeline.text.folder().to_owned();
    // Only a source that measures needs the time, and one that trusts the clock takes any.
    let needs_clock = settings.is_live() && *clock != ClockPolicy::Trust;
    let metrics = &process.metrics;
    metrics.needs_clock.store(needs_clock, Ordering::Relaxed);
    // Opened before Kafka is reachable: a spool buffers readings from here on.
    let context = SourceContext {
        folder,
        host: process.instance.clone(),
    };
    let source = buffer::open(
        &*settings,
        &context,
        spool.as_ref(),
        *clock,
        from_start,
        &process.shutdown,
        metrics,
    )?;
    let Some(log) = process.open_log()? else {
        return Ok(());
    };
    let mut producer = SourceLoop::new(
        log,
        source,
        process.pipeline,
        process.stage,
        outputs,
        process.shutdown.clone(),
        metrics.clone(),
    )
    .on(&process.instance);
    producer.resume(from_start)?;
    while producer.step(watch)? == Step::Continue {}
    let Metrics { written, dead, .. } = &**metrics;
    tracing::info!(
        topics = process.stage.to.join(", "),
        readings = written.get(),
        dead_letters = dead.get(),
        "producer stopped"
    );
    if let Some(hint) = producer.resume_hint() {
        tracing::info!("{hint}");
    }
    Ok(())
}
