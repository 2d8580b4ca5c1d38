//! Running a producer stage.

use stream::cli::BoxError;
use stream::counters::Counters;
use stream::pipeline::{Diagnostic, Pipeline, Stage, StageKind, Unread};
use stream::process::Process;
use stream::stage::Step;

use crate::buffer;
use crate::catalog::SourceContext;
use crate::source::Progress;
use crate::source_loop::SourceLoop;

/// Checks the source of a stage that is a producer; see [`CheckStage`].
///
/// [`CheckStage`]: stream::pipeline::CheckStage
#[must_use]
pub fn check(_: &Pipeline, unread: &Unread, stage: &Stage) -> Vec<Diagnostic> {
    match &stage.kind {
        StageKind::Producer { source, spool, .. } if !unread.has(&stage.table(), "source") => {
            buffer::read(source, spool.as_ref())
                .err()
                .into_iter()
                .flatten()
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Runs a producer stage until its source ends or it is asked to stop. `from_start` forgets the
/// position of an earlier run; `watch` is told now and then how far the source is.
///
/// # Errors
/// Errors in the source's settings, what the source cannot go on from, or what Kafka refuses.
pub fn run(
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
    let settings = buffer::read(source, spool.as_ref())?;
    let folder = process.pipeline.text.folder().to_owned();
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
    )?;
    let Some(log) = process.open_log()? else {
        return Ok(());
    };
    let counters = &process.counters;
    let mut producer = SourceLoop::new(
        log,
        source,
        process.pipeline,
        process.stage,
        process.shutdown.clone(),
        counters.clone(),
    )
    .on(&process.instance);
    producer.resume(from_start)?;
    while producer.step(watch)? == Step::Continue {}
    let Counters { written, dead, .. } = &**counters;
    tracing::info!(
        topics = process.stage.to.join(", "),
        readings = written.get(),
        dead_letters = dead.get(),
        "producer stopped"
    );
    Ok(())
}
