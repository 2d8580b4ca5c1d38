//! Running stages of a pipeline in one process, one thread each.

use std::io::Write;
use std::sync::Arc;
use std::thread::{self, Scope, ScopedJoinHandle};

use crate::CheckedPipeline;
use rivulet_core::metrics::{Activity, Metrics};
use rivulet_core::shutdown::Shutdown;
use rivulet_node::cli::BoxError;
use rivulet_node::log;
use rivulet_node::observe::{ObserveArgs, ObservedStage, Observer};
use rivulet_node::process::Process;
use rivulet_pipeline::{Stage, StageKind};

/// A stage that runs in a thread.
pub struct Running<'scope, 'p> {
    /// The stage.
    pub stage: &'p Stage,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// Stops this stage alone.
    pub shutdown: Shutdown,
    thread: ScopedJoinHandle<'scope, Result<(), BoxError>>,
}

impl<'scope, 'p: 'scope> Running<'scope, 'p> {
    /// Starts a stage. A console sink writes to `output`. `is_observed`: somebody reads its
    /// metrics.
    #[must_use]
    pub fn start(
        scope: &'scope Scope<'scope, '_>,
        pipeline: &'p CheckedPipeline<'p>,
        stage: &'p Stage,
        instance: &str,
        is_observed: bool,
        output: Box<dyn Write + Send>,
    ) -> Self {
        let (metrics, shutdown) = (Arc::new(Metrics::default()), Shutdown::new());
        let process = Process {
            pipeline,
            stage,
            instance: instance.to_owned(),
            shutdown: shutdown.clone(),
            metrics: metrics.clone(),
            is_observed,
        };
        let registry = pipeline.registry;
        let thread = scope.spawn(move || {
            // All stages log to the same place: each line names its stage.
            let _named = log::span(process.stage).entered();
            let ended = match &process.stage.kind {
                StageKind::Producer { .. } => {
                    rivulet_producer::run(&registry.producer, &process, false, &mut |_| ())
                }
                StageKind::Operator { .. } => rivulet_operators::run(&registry.operators, &process),
                StageKind::Sink { .. } => rivulet_sinks::run(&registry.sinks, &process, output),
            };
            process.metrics.health.enter(Activity::Stopped);
            ended
        });
        Running {
            stage,
            metrics,
            shutdown,
            thread,
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The stage's own.
    pub fn join(self) -> Result<(), BoxError> {
        match self.thread.join() {
            Ok(result) => result.map_err(|error| format!("{}: {error}", self.stage.name).into()),
            Err(_) => Err(format!("{}: the thread panicked", self.stage.name).into()),
        }
    }
}

/// Runs stages until all have ended or the process is asked to stop. If one fails, all are stopped.
///
/// # Errors
/// Those of the stages, one on each line.
pub fn run(
    pipeline: &CheckedPipeline<'_>,
    stages: &[&Stage],
    instance: &str,
    observe: &ObserveArgs,
    shutdown: &Shutdown,
) -> Result<(), BoxError> {
    thread::scope(|scope| {
        let mut running: Vec<Running<'_, '_>> = Vec::new();
        for stage in stages {
            let started = Running::start(
                scope,
                pipeline,
                stage,
                instance,
                observe.metrics.is_some(),
                Box::new(std::io::stdout()),
            );
            let stopped = started.shutdown.clone();
            shutdown.on_exit(move || stopped.run_exit_hooks());
            running.push(started);
        }
        let observed = running.iter().map(|running| {
            let Running {
                stage,
                metrics,
                shutdown,
                ..
            } = running;
            ObservedStage::new(pipeline, stage, instance, metrics, shutdown)
        });
        let observed = observed.collect();
        // The stages share the limits of the process.
        let memory = pipeline.limits.memory().0 * stages.len() as u64;
        let started = Observer::start(observe, observed, memory);
        let mut errors: Vec<String> = started
            .err()
            .map(|error| error.to_string())
            .into_iter()
            .collect();
        while !running.is_empty() {
            if shutdown.is_stopping() || !errors.is_empty() {
                for running in &running {
                    running.shutdown.stop();
                }
            }
            let (ended, going): (Vec<_>, Vec<_>) =
                running.into_iter().partition(Running::is_finished);
            running = going;
            for ended in ended
                .iter()
                .filter(|ended| ended.shutdown.check_done().is_err())
            {
                tracing::warn!(
                    stage = ended.stage.name,
                    "shut down with uncommitted records"
                );
                shutdown.mark_undone();
            }
            errors.extend(
                ended
                    .into_iter()
                    .filter_map(|ended| ended.join().err())
                    .map(|error| error.to_string()),
            );
            thread::sleep(std::time::Duration::from_millis(20));
        }
        if errors.is_empty() {
            Ok(shutdown.check_done()?)
        } else {
            Err(errors.join("\n").into())
        }
    })
}
