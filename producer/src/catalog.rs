//! The catalog: every source, one file each.
//!
//! To add one, write its file beside the others and add its line to the list below: a type whose
//! fields are the settings, with [`Settings`] and [`Entry`] for it.

use std::fmt::Debug;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use stream::error::Result as OrError;
use stream::pipeline::{Mistake, Part};

use crate::source::Source;

/// Settings that were found to be right.
pub trait Settings: Debug {
    /// Opens the source at its beginning.
    ///
    /// # Errors
    /// If what the settings name is not there or cannot be read.
    fn open(&self, context: &Context) -> OrError<Box<dyn Source>>;
}

/// What settings are relative to.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The folder of the pipeline file: relative paths start here.
    pub folder: PathBuf,
    /// This machine's name.
    pub host: String,
}

/// One entry of the catalog: a type whose fields are the settings of a source.
pub trait Entry: Settings + DeserializeOwned + 'static {
    /// The name in pipeline files.
    const NAME: &'static str;
    /// What it does, in one line.
    const ABOUT: &'static str;
    /// An example, as it stands behind `source =` in a pipeline file.
    const EXAMPLE: &'static str;
}

/// An entry's row in the [`CATALOG`].
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// See [`Entry::NAME`].
    pub name: &'static str,
    /// See [`Entry::ABOUT`].
    pub about: &'static str,
    /// See [`Entry::EXAMPLE`].
    pub example: &'static str,
    read: fn(&Part) -> Result<Box<dyn Settings>, Mistake>,
}

const fn row<E: Entry>() -> Row {
    Row { name: E::NAME, about: E::ABOUT, example: E::EXAMPLE, read: |part| Ok(Box::new(part.settings::<E>()?)) }
}

macro_rules! catalog {
    ($($file:ident :: $entry:ident),* $(,)?) => {
        $(pub mod $file;)*

        /// Every source there is.
        pub const CATALOG: &[Row] = &[$(row::<$file::$entry>()),*];
    };
}

catalog! {
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
pub fn read(source: &Part) -> Result<Box<dyn Settings>, Mistake> {
    let known: Vec<&str> = CATALOG.iter().map(|row| row.name).collect();
    match CATALOG.iter().find(|row| row.name == source.name()) {
        Some(row) => (row.read)(source),
        None => Err(source.unknown("source", &known)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_catalog_is_in_its_list() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalog")).unwrap();
        let files: BTreeSet<String> =
            folder.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(files, CATALOG.iter().map(|row| row.name.to_owned()).collect());
    }

    #[test]
    fn every_example_opens_or_says_what_to_do() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        let context = Context { folder, host: "rpi0".into() };
        for row in CATALOG {
            let part = Part::parse(row.example).unwrap();
            assert_eq!(part.name(), row.name);
            let settings = read(&part).unwrap_or_else(|mistake| panic!("{}: {mistake:?}", row.example));
            match settings.open(&context) {
                Ok(source) => drop(source),
                // Not every machine has a thermometer.
                Err(error) => assert!(row.name == "thermal" && error.to_string().contains("help: "), "{error}"),
            }
            assert!(!row.about.is_empty());
        }
    }

    #[test]
    fn a_source_that_there_is_not_is_a_mistake_with_the_nearest_name() {
        let mistake = read(&Part::parse("flie = { path = \"a.csv\" }").unwrap()).unwrap_err();
        assert!(format!("{mistake:?}").contains("did you mean `file`?"), "{mistake:?}");
    }
}
