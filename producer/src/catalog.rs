//! The catalog: every source, one file each.
//!
//! To add one, write its file beside the others and add its line to the list below: a type whose
//! fields are the settings, with [`SourceSettings`] and [`Entry`](catalog::Component) for it.

use std::fmt::Debug;
use std::path::PathBuf;

use stream::catalog;
use stream::error::Result as OrError;
use stream::pipeline::{ComponentConfig, Diagnostic};

use crate::source::Source;

/// Settings that were found to be right.
pub trait SourceSettings: Debug {
    /// Opens the source at its beginning.
    ///
    /// # Errors
    /// If what the settings name is not there or cannot be read.
    fn open(&self, context: &SourceContext) -> OrError<Box<dyn Source>>;

    /// Whether what is not taken when it comes is gone: such a source cannot go back.
    fn is_live(&self) -> bool {
        false
    }
}

/// What settings are relative to.
#[derive(Debug, Clone, Default)]
pub struct SourceContext {
    /// The folder of the pipeline file: relative paths start here.
    pub folder: PathBuf,
    /// This machine's name.
    pub host: String,
}

stream::catalog! { dyn SourceSettings:
    file::File,
    lines::Lines,
    list::List,
    simulated::Simulated,
    thermal::Thermal,
}

/// Reads the settings of the source that a pipeline file names. Nothing is opened yet.
///
/// # Errors
/// An unknown name, or settings that the source refuses, with the place in the file.
pub fn read(source: &ComponentConfig) -> Result<Box<dyn SourceSettings>, Diagnostic> {
    catalog::read(CATALOG, "source", source)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_catalog_is_in_its_list() {
        let folder =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalog")).unwrap();
        let files: BTreeSet<String> = folder
            .map(|file| {
                file.unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert_eq!(
            files,
            CATALOG.iter().map(|row| row.name.to_owned()).collect()
        );
    }

    #[test]
    fn every_example_opens_or_says_what_to_do() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        let context = SourceContext {
            folder,
            host: "rpi0".into(),
        };
        for row in CATALOG {
            let part = ComponentConfig::parse(row.example).unwrap();
            assert_eq!(part.name(), row.name);
            let settings =
                read(&part).unwrap_or_else(|diagnostic| panic!("{}: {diagnostic:?}", row.example));
            match settings.open(&context) {
                Ok(source) => drop(source),
                // Not every machine has a thermometer.
                Err(error) => assert!(
                    row.name == "thermal" && error.to_string().contains("help: "),
                    "{error}"
                ),
            }
            assert!(!row.about.is_empty());
        }
    }

    #[test]
    fn a_source_that_there_is_not_is_a_mistake_with_the_nearest_name() {
        let diagnostic =
            read(&ComponentConfig::parse("flie = { path = \"a.csv\" }").unwrap()).unwrap_err();
        assert!(
            format!("{diagnostic:?}").contains("did you mean `file`?"),
            "{diagnostic:?}"
        );
    }
}
