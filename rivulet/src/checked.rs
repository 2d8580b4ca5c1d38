//! A pipeline whose components can be built: [`CheckedPipeline`].

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use rivulet_core::error::Result as OrError;
use rivulet_core::limits::Limits;
use rivulet_core::topic_source::ReadProgress;
use rivulet_kafka::{Connection, TopicReader};
use rivulet_node::cli::Common;
use rivulet_operators::Chain;
use rivulet_pipeline::{Diagnostics, Pipeline, Stage, StageKind, Text};

use crate::memory::MemoryLimit;
use crate::registry::Registry;

/// A pipeline without errors, with the registry that has its components.
#[derive(Debug, Clone)]
pub struct CheckedPipeline<'r> {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The registry that it was checked with.
    pub registry: &'r Registry,
    /// How long commands wait for the first answer of a broker; `None` is as by default.
    pub timeout: Option<Duration>,
    /// How much memory commands may take that keep what they read; `None` is a part of what the
    /// machine has.
    pub memory_max: Option<Limits>,
}

impl<'r> CheckedPipeline<'r> {
    /// Loads the pipeline file of the command line, and checks it.
    ///
    /// # Errors
    /// All errors in the file.
    pub fn load(common: &Common, registry: &'r Registry) -> Result<Self, Diagnostics> {
        Ok(CheckedPipeline {
            pipeline: common.load(registry)?,
            registry,
            timeout: None,
            memory_max: common.memory_max,
        })
    }

    /// Checks the text of a pipeline file.
    ///
    /// # Errors
    /// Every error in it.
    pub fn parse(text: Arc<Text>, registry: &'r Registry) -> Result<Self, Diagnostics> {
        Ok(CheckedPipeline {
            pipeline: Pipeline::parse_with(text, registry)?,
            registry,
            timeout: None,
            memory_max: None,
        })
    }

    /// The name of the pipeline file, without its folder.
    #[must_use]
    pub fn file_name(&self) -> String {
        let path = &self.text.path;
        let name = path.file_name().unwrap_or(path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// How commands reach the cluster.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection {
            properties: self.kafka.clone(),
            timeout: self.timeout,
        }
    }

    /// A reader of topics for a command that keeps what it reads. `help` is what to do if that
    /// takes too much memory.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub(crate) fn reader<'t>(
        &self,
        topics: &[String],
        help: &'static str,
        progress: &'t mut dyn FnMut(ReadProgress<'_>),
    ) -> OrError<TopicReader<'t>> {
        let limit = MemoryLimit::new(self.memory_max);
        let reader = TopicReader::new(&self.connection(), topics, progress)?;
        Ok(reader.checked(move |amount| limit.check(amount, help)))
    }

    /// The chain of an operator stage that keeps state.
    #[must_use]
    pub fn stateful_chain(&self, stage: &Stage) -> Option<Chain> {
        let StageKind::Operator { steps } = &stage.kind else {
            return None;
        };
        self.registry
            .operators
            .chain(&self.pipeline, stage, steps)
            .ok()
            .filter(Chain::is_stateful)
    }

    /// Whether a stage is a source that comes to an end by itself.
    #[must_use]
    pub fn ends(&self, stage: &Stage) -> bool {
        let StageKind::Producer { source, .. } = &stage.kind else {
            return false;
        };
        let settings = self.registry.producer.sources.read(source);
        settings.is_ok_and(|settings| settings.ends())
    }
}

impl Deref for CheckedPipeline<'_> {
    type Target = Pipeline;

    fn deref(&self) -> &Pipeline {
        &self.pipeline
    }
}

impl DerefMut for CheckedPipeline<'_> {
    fn deref_mut(&mut self) -> &mut Pipeline {
        &mut self.pipeline
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::LazyLock;

    use super::*;

    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::default);

    /// A pipeline whose components are built in.
    pub(crate) fn parse(text: impl Into<String>) -> Result<CheckedPipeline<'static>, Diagnostics> {
        let text = Text {
            path: "p.toml".into(),
            text: text.into(),
        };
        CheckedPipeline::parse(Arc::new(text), &REGISTRY)
    }
}
