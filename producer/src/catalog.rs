//! The catalog: all sources, one file each.
//!
//! To add a source, write a file beside the others and add a line to the list below. The file has a
//! type whose fields are the settings, and which implements [`SourceSettings`] and
//! [`Component`](rivulet_core::component::Component).

use std::fmt::Debug;
use std::path::PathBuf;

use rivulet_core::error::Result as OrError;
use rivulet_pipeline::catalog::CatalogRole;
use rivulet_pipeline::{ComponentConfig, Diagnostics};

use crate::source::Source;

/// The valid settings of a source.
pub trait SourceSettings: Debug {
    /// Opens the source at its first reading.
    ///
    /// # Errors
    /// If what the settings name does not exist or cannot be read.
    fn open(&self, context: &SourceContext) -> OrError<Box<dyn Source>>;

    /// Whether the source is live: it cannot read anything a second time.
    fn is_live(&self) -> bool {
        false
    }

    /// Whether it yields whole records, so that no format of a topic has to write them.
    fn has_records(&self) -> bool {
        false
    }

    /// Whether it comes to an end by itself. Nobody then expects its process to run for ever.
    fn ends(&self) -> bool {
        false
    }
}

/// What a source needs beside its settings.
#[derive(Debug, Clone, Default)]
pub struct SourceContext {
    /// The folder of the pipeline file. Relative paths start here.
    pub folder: PathBuf,
    /// The name of this machine.
    pub host: String,
}

rivulet_pipeline::catalog! { "source", dyn SourceSettings:
    experiment::Experiment,
    file::SourceFile,
    lines::Lines,
    list::List,
    records::RecordsFile,
    seasonal::Seasonal,
    simulated::Simulated,
    thermal::Thermal,
}

impl<T: SourceSettings + 'static> CatalogRole<T> for dyn SourceSettings {
    fn boxed(component: T) -> Box<Self> {
        Box::new(component)
    }
}

/// Reads the settings of one of the built-in sources. Nothing is opened yet.
///
/// # Errors
/// An unknown name, or every error in the settings, with the place in the file.
pub fn read(source: &ComponentConfig) -> Result<Box<dyn SourceSettings>, Diagnostics> {
    built_in().read(source)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_example_opens_or_says_what_to_do() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        let context = SourceContext {
            folder,
            host: "rpi0".into(),
        };
        for row in built_in().entries() {
            let config = ComponentConfig::parse(row.example).unwrap();
            assert_eq!(config.name(), row.name);
            let settings = read(&config)
                .unwrap_or_else(|diagnostic| panic!("{}: {diagnostic:?}", row.example));
            match settings.open(&context) {
                Ok(source) => drop(source),
                // Not every machine has a thermometer, and no key is everybody's.
                Err(error) => assert!(
                    ["thermal", "experiment"].contains(&row.name)
                        && error.to_string().contains("help: "),
                    "{error}"
                ),
            }
            assert!(!row.about.is_empty());
        }
    }

    #[test]
    fn a_source_says_whether_it_ends() {
        for (config, ends) in [
            ("list = { values = [1] }", true),
            ("file = { path = \"a.csv\" }", true),
            ("file = { path = \"a.csv\", repeat = \"forever\" }", false),
            ("records = { path = \"a.jsonl\" }", true),
            (
                "records = { path = \"a.jsonl\", repeat = \"forever\" }",
                false,
            ),
            ("seasonal = {}", true),
            ("seasonal = { events = \"forever\" }", false),
            ("simulated = { readings = 5 }", true),
            ("simulated = {}", false),
            ("thermal = {}", false),
        ] {
            let source = ComponentConfig::parse(config).unwrap();
            assert_eq!(read(&source).unwrap().ends(), ends, "{config}");
        }
    }

    #[test]
    fn an_unknown_source_is_an_error_with_the_nearest_name() {
        let diagnostic =
            read(&ComponentConfig::parse("flie = { path = \"a.csv\" }").unwrap()).unwrap_err();
        assert!(
            format!("{diagnostic:?}").contains("did you mean `file`?"),
            "{diagnostic:?}"
        );
    }
}
