//! One stage at work: what it is, who runs it, and how it is told to stop.

use std::sync::Arc;

use crate::counters::Counters;
use crate::error::Result;
use crate::kafka::KafkaLog;
use crate::log::Fault;
use crate::pipeline::{Diagnostic, Diagnostics, Pipeline, Stage, StageKind};
use crate::shutdown::Shutdown;

/// One stage at work, in a process of its own or in a thread.
#[derive(Debug)]
pub struct Process<'p> {
    /// The pipeline it is a part of.
    pub pipeline: &'p Pipeline,
    /// The stage.
    pub stage: &'p Stage,
    /// Tells it from others that run the same stage.
    pub instance: String,
    /// How it is told to stop.
    pub shutdown: Shutdown,
    /// What it counts.
    pub counters: Arc<Counters>,
}

impl Process<'_> {
    /// Connects the stage to Kafka; nothing if it was asked to stop before a broker answered.
    ///
    /// # Errors
    /// What waiting will not mend.
    pub fn open_log(&self) -> Result<Option<KafkaLog>> {
        let mut topics: Vec<String> = self
            .stage
            .from
            .iter()
            .chain(&self.stage.to)
            .cloned()
            .collect();
        topics.push(self.stage.dead_letters());
        let has_changelog = !matches!(self.stage.kind, StageKind::Sink { .. });
        topics.extend(has_changelog.then(|| self.stage.changelog()));
        match KafkaLog::open(
            self.pipeline,
            self.stage,
            &topics,
            &self.instance,
            &self.shutdown,
        ) {
            Ok(log) => {
                tracing::info!(
                    "{} runs as {}@{}, {}",
                    self.stage.name,
                    self.stage.name,
                    self.instance,
                    self.pipeline.guarantee
                );
                Ok(Some(log))
            }
            Err(Fault::Shutdown) => Ok(None),
            Err(Fault::Fatal(error) | Fault::Rejected(_, error) | Fault::Abortable(error)) => {
                Err(error)
            }
        }
    }

    /// Mistakes of the stage's own part of the file.
    #[must_use]
    pub fn diagnostics(&self, diagnostics: Vec<Diagnostic>) -> Diagnostics {
        Diagnostics::new(self.pipeline.text.clone(), diagnostics)
    }

    /// The mistake of running a stage with the program of another kind.
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
