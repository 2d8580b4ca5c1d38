//! All stages of a pipeline in one process, until everything is processed: [`DemoStages`].

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use rivulet_core::metrics::Metrics;
use rivulet_core::shutdown::Shutdown;
use rivulet_node::cli::BoxError;
use rivulet_node::observe::ObservedStage;
use rivulet_pipeline::{Stage, StageKind};

use crate::CheckedPipeline;
use crate::run::Running;

/// All stages, in the order of the data flow.
pub(super) struct DemoStages<'scope, 'p> {
    pub(super) all: Vec<DemoStage<'scope, 'p>>,
    failure: Option<BoxError>,
}

/// A stage.
pub(super) struct DemoStage<'scope, 'p> {
    pub(super) stage: &'p Stage,
    pub(super) metrics: Arc<Metrics>,
    /// What it prints, if it is a sink.
    pub(super) output: KeptOutput,
    /// `None` after its end.
    pub(super) running: Option<Running<'scope, 'p>>,
}

impl<'scope, 'p: 'scope> DemoStages<'scope, 'p> {
    /// Starts all stages. `is_observed`: somebody reads their metrics.
    pub(super) fn start(
        scope: &'scope Scope<'scope, '_>,
        pipeline: &'p CheckedPipeline<'p>,
        instance: &str,
        is_observed: bool,
    ) -> Self {
        let all = pipeline.in_order().into_iter().map(|stage| {
            let output = KeptOutput::default();
            let written = Box::new(output.clone());
            let running = Running::start(scope, pipeline, stage, instance, is_observed, written);
            DemoStage {
                stage,
                metrics: running.metrics.clone(),
                output,
                running: Some(running),
            }
        });
        let (all, failure) = (all.collect(), None);
        DemoStages { all, failure }
    }

    /// What an observer sees of the stages.
    pub(super) fn observed(
        &self,
        pipeline: &CheckedPipeline<'_>,
        instance: &str,
    ) -> Vec<ObservedStage> {
        let running = self.all.iter().filter_map(|stage| stage.running.as_ref());
        let observed = running.map(|running| {
            let Running {
                stage,
                metrics,
                shutdown,
                ..
            } = running;
            ObservedStage::new(pipeline, stage, instance, metrics, shutdown)
        });
        observed.collect()
    }

    /// Lets a stage drain and stop after those before it, or all stop if one has failed or the
    /// process is asked to. Returns whether some still run.
    pub(super) fn go_on(&mut self, shutdown: &Shutdown) -> bool {
        let mut running = self.all.iter().filter_map(|stage| stage.running.as_ref());
        if shutdown.is_stopping() || self.failure.is_some() {
            running.for_each(|running| running.shutdown.stop());
        } else if let Some(first) = running.next()
            && !matches!(first.stage.kind, StageKind::Producer { .. })
        {
            // All stages before it have ended: its inputs are complete.
            first.shutdown.drain();
        }
        for stage in &mut self.all {
            if let Some(ended) = stage.running.take_if(|running| running.is_finished())
                && let Err(error) = ended.join()
            {
                self.failure.get_or_insert(error);
            }
        }
        self.all.iter().any(|stage| stage.running.is_some())
    }

    /// What each comparison has printed.
    ///
    /// # Errors
    /// That of the first stage that has failed.
    pub(super) fn compared(self) -> Result<Vec<String>, BoxError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let compares = |stage: &&DemoStage<'_, '_>| match &stage.stage.kind {
            StageKind::Sink { sink } => sink.name() == "compare",
            _ => false,
        };
        let found = self.all.iter().filter(compares);
        Ok(found.map(|stage| stage.output.text()).collect())
    }
}

/// The output of a sink.
#[derive(Debug, Clone, Default)]
pub(super) struct KeptOutput(Arc<Mutex<Vec<u8>>>);

/// How many bytes of the output are kept: all of a table, the last lines of a list of readings.
const KEPT: usize = 256 * 1024;

impl KeptOutput {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    pub(super) fn last_line(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = bytes
            .iter()
            .rposition(|byte| *byte != b'\n')
            .map_or(0, |at| at + 1);
        let start = bytes[..end]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        String::from_utf8_lossy(&bytes[start..end]).into_owned()
    }
}

impl Write for KeptOutput {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        if kept.len() > 2 * KEPT {
            let cut = kept.len() - KEPT;
            kept.drain(..cut);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
