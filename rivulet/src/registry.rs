//! What pipelines can name: [`Registry`].

use rivulet_core::component::Component;
use rivulet_core::format::FormatSettings;
use rivulet_core::operator::Operator;
use rivulet_pipeline::catalog::Formats;
use rivulet_pipeline::schema::{JsonSchema, Schema};
use rivulet_pipeline::{Check, Diagnostic, Pipeline, Stage, StageKind, Unread, file_schema};
use rivulet_producer::catalog::SourceSettings;
use rivulet_sinks::catalog::SinkSettings;

/// The sources, operators, sinks and formats that a pipeline file can name.
///
/// The default is everything that comes with rivulet. A program of your own adds to it.
#[derive(Debug, Default)]
pub struct Registry {
    /// What a producer stage can name.
    pub producer: rivulet_producer::ProducerRegistry,
    /// What an operator stage can name.
    pub operators: rivulet_operators::OperatorRegistry,
    /// What a sink stage can name.
    pub sinks: rivulet_sinks::SinkRegistry,
}

impl Registry {
    /// Adds a source. It replaces one of the same name.
    #[must_use]
    pub fn source<T: Component + SourceSettings + JsonSchema>(mut self) -> Self {
        self.producer.sources = self.producer.sources.with_schema::<T>();
        self
    }

    /// Adds an operator. It replaces one of the same name.
    #[must_use]
    pub fn operator<T: Component + Operator + JsonSchema>(mut self) -> Self {
        self.operators.operators = self.operators.operators.with_schema::<T>();
        self
    }

    /// Adds a sink. It replaces one of the same name.
    #[must_use]
    pub fn sink<T: Component + SinkSettings + JsonSchema>(mut self) -> Self {
        self.sinks.sinks = self.sinks.sinks.with_schema::<T>();
        self
    }

    /// Adds a format. It replaces one of the same name.
    #[must_use]
    pub fn format<T: Component + FormatSettings + JsonSchema>(mut self) -> Self {
        self.producer.formats = self.producer.formats.with_schema::<T>();
        self.operators.formats = self.operators.formats.with_schema::<T>();
        self.sinks.formats = self.sinks.formats.with_schema::<T>();
        self
    }

    /// The JSON Schema of pipeline files, with everything that is in the registry.
    #[must_use]
    pub fn schema(&self) -> Schema {
        file_schema(
            &self.producer.sources.schema(),
            &self.operators.operators.schema(),
            &self.sinks.sinks.schema(),
            &self.formats().schema(),
        )
    }
}

impl Check for Registry {
    fn formats(&self) -> &Formats {
        &self.operators.formats
    }

    fn encodes(&self, stage: &Stage) -> bool {
        match &stage.kind {
            StageKind::Producer { .. } => self.producer.encodes(stage),
            StageKind::Operator { .. } => self.operators.encodes(stage),
            StageKind::Sink { .. } => self.sinks.encodes(stage),
        }
    }

    fn check_stage(&self, pipeline: &Pipeline, unread: &Unread, stage: &Stage) -> Vec<Diagnostic> {
        match &stage.kind {
            StageKind::Producer { .. } => self.producer.check_stage(pipeline, unread, stage),
            StageKind::Operator { .. } => self.operators.check_stage(pipeline, unread, stage),
            StageKind::Sink { .. } => self.sinks.check_stage(pipeline, unread, stage),
        }
    }
}
