//! A running stage: [`Process`].

use std::sync::Arc;

use rivulet_core::error::Result;
use rivulet_core::metrics::Metrics;
use rivulet_kafka::KafkaLog;

use rivulet_core::log::Fault;
use rivulet_core::shutdown::Shutdown;
use rivulet_pipeline::{Diagnostic, Diagnostics, Pipeline, Stage};

use crate::log_config::log_config;

/// A running stage, in a process of its own or in a thread.
#[derive(Debug)]
pub struct Process<'p> {
    /// The pipeline that it is a part of.
    pub pipeline: &'p Pipeline,
    /// The stage.
    pub stage: &'p Stage,
    /// The name of this process among those that run the same stage.
    pub instance: String,
    /// Asks it to stop.
    pub shutdown: Shutdown,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// Whether somebody reads the metrics, so that the Kafka clients report theirs, too.
    pub is_observed: bool,
}

impl Process<'_> {
    /// Connects the stage to Kafka. `None` if it was asked to stop before a broker answered.
    ///
    /// # Errors
    /// Errors that do not go away by waiting.
    pub fn open_log(&self) -> Result<Option<KafkaLog>> {
        let mut config = log_config(self.pipeline, self.stage, &self.instance);
        config.has_statistics = self.is_observed;
        match KafkaLog::open(&config, &self.shutdown, &self.metrics) {
            Ok(log) => {
                tracing::info!(
                    stage = self.stage.name,
                    instance = self.instance,
                    guarantee = %self.pipeline.guarantee,
                    "stage started"
                );
                Ok(Some(log))
            }
            Err(Fault::Shutdown) => Ok(None),
            Err(Fault::Fatal(error) | Fault::Rejected(_, error) | Fault::Abortable(error)) => {
                Err(error)
            }
        }
    }

    /// Diagnostics in the stage's table of the file.
    #[must_use]
    pub fn diagnostics(&self, diagnostics: Vec<Diagnostic>) -> Diagnostics {
        Diagnostics::new(self.pipeline.text.clone(), diagnostics)
    }

    /// The diagnostic for a stage that is run with the program of another kind.
    #[must_use]
    pub fn wrong_program(&self) -> Diagnostics {
        let table = self.stage.kind.table();
        let diagnostic = Diagnostic::at(
            self.stage.place.clone(),
            format!("`{}` is in a [{table}] table", self.stage.name),
        );
        self.diagnostics(vec![
            diagnostic.help(format!("run it with rivulet-{table} {}", self.stage.name)),
        ])
    }
}
