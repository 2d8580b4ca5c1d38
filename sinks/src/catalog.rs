//! The catalog: all sinks, one file each.
//!
//! To add a sink, write a file beside the others and add a line to the list below. The file has a
//! type whose fields are the settings, and which implements [`SinkSettings`] and
//! [`Component`](rivulet_core::component::Component), and the [`Sink`] that it opens.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use rivulet_core::error::Result;
use rivulet_core::limits::Limits;
use rivulet_pipeline::catalog::{Catalog, CatalogRole};
use rivulet_pipeline::{ComponentConfig, Diagnostic, Diagnostics};

use crate::sink::Sink;

/// How many bytes of readings a sink holds in memory before it writes them.
const LARGEST_BATCH: usize = 1_000_000;

/// The valid settings of a sink.
pub trait SinkSettings: fmt::Debug + Send {
    /// Checks the topics that the stage reads.
    ///
    /// # Errors
    /// If a topic is missing, or the sink does not use one.
    fn check(&self, topics: &[String]) -> Result<(), Diagnostic> {
        let _ = topics;
        Ok(())
    }

    /// Opens the sink.
    ///
    /// # Errors
    /// If the file or database cannot be opened.
    fn open(self: Box<Self>, context: SinkContext) -> Result<Box<dyn Sink>>;
}

/// What a sink needs beside its settings.
pub struct SinkContext {
    /// The folder of the pipeline file. Paths in the file are relative to it.
    pub folder: PathBuf,
    /// The stage's name.
    pub stage: String,
    /// The topics that the stage reads, by their names in Kafka, in the order of the pipeline file.
    pub topics: Vec<String>,
    /// The same topics by their names in the pipeline file, which settings use.
    pub names: Vec<String>,
    /// The limits of the process.
    pub limits: Limits,
    /// Where the sink shows readings.
    pub output: Box<dyn Write + Send>,
}

impl SinkContext {
    /// A context with the default limits, whose output is standard output. The topics have the same
    /// names in Kafka and in the pipeline file.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, stage: impl Into<String>, topics: Vec<String>) -> Self {
        SinkContext {
            folder: folder.into(),
            stage: stage.into(),
            names: topics.clone(),
            topics,
            limits: Limits::default(),
            output: Box::new(std::io::stdout()),
        }
    }

    /// The name in Kafka of a topic that a setting names.
    #[must_use]
    pub fn in_kafka(&self, name: &str) -> String {
        let mut both = self.names.iter().zip(&self.topics);
        let found = both.find(|(in_file, _)| *in_file == name);
        found.map_or(name, |(_, in_kafka)| in_kafka).to_owned()
    }
}

impl fmt::Debug for SinkContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkContext")
            .field("folder", &self.folder)
            .field("stage", &self.stage)
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

rivulet_pipeline::catalog! { "sink", dyn SinkSettings:
    compare::Compare,
    console::Console,
    file::File,
    sqlite::Sqlite,
}

impl<T: SinkSettings + 'static> CatalogRole<T> for dyn SinkSettings {
    fn boxed(component: T) -> Box<Self> {
        Box::new(component)
    }
}

/// Reads the settings of one of the built-in sinks: see [`read_from`].
///
/// # Errors
/// Those of [`read_from`].
pub fn read(
    sink: &ComponentConfig,
    topics: &[String],
) -> Result<Box<dyn SinkSettings>, Diagnostics> {
    read_from(&built_in(), sink, topics)
}

/// Reads the settings of the sink that a pipeline file names. `topics` are the topics that the
/// stage reads. Nothing is opened: a pipeline file can be checked on any machine.
///
/// # Errors
/// An unknown name, every error in the settings, or topics that the sink cannot work with, with the
/// place in the file.
pub fn read_from(
    catalog: &Catalog<dyn SinkSettings>,
    sink: &ComponentConfig,
    topics: &[String],
) -> Result<Box<dyn SinkSettings>, Diagnostics> {
    let settings = catalog.read(sink)?;
    settings
        .check(topics)
        .map_err(|diagnostic| sink.errors([diagnostic]))?;
    Ok(settings)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn every_example_opens_its_sink() {
        let folder = tempfile::tempdir().unwrap();
        let topics = ["temperatures_ewma", "temperatures_moving_average"]
            .map(str::to_owned)
            .to_vec();
        for row in built_in().entries() {
            let config = ComponentConfig::parse(row.example).unwrap();
            assert_eq!(config.name(), row.name);
            assert!(!row.about.is_empty());
            let settings = read(&config, &topics)
                .unwrap_or_else(|diagnostic| panic!("{}: {diagnostic:?}", row.example));
            let output = Box::new(std::io::sink());
            let context = SinkContext {
                output,
                ..SinkContext::new(folder.path(), "stage", topics.clone())
            };
            let mut sink = settings
                .open(context)
                .unwrap_or_else(|error| panic!("{}: {error}", row.example));
            sink.finish().unwrap();
        }
    }

    #[test]
    fn an_unknown_sink_is_an_error_with_the_nearest_name() {
        let diagnostic = read(&ComponentConfig::parse("consle = {}").unwrap(), &[]).unwrap_err();
        assert!(
            format!("{diagnostic:?}").contains("did you mean `console`?"),
            "{diagnostic:?}"
        );
    }
}
