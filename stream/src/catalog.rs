//! Catalogs of components: operators, sources and sinks, one file each.
//!
//! A crate lists the files of its catalog with [`catalog!`](crate::catalog!). A component is a type
//! whose fields are its settings in a pipeline file.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use crate::pipeline::{ComponentConfig, Diagnostics};

/// The description of a component.
pub trait Component {
    /// The name in pipeline files.
    const NAME: &'static str;
    /// What it does, in one line.
    const ABOUT: &'static str;
    /// An example from a pipeline file.
    const EXAMPLE: &'static str;
}

/// A component in a catalog of `B`s.
#[derive(Debug)]
pub struct Registration<B: ?Sized> {
    /// See [`Component::NAME`].
    pub name: &'static str,
    /// See [`Component::ABOUT`].
    pub about: &'static str,
    /// See [`Component::EXAMPLE`].
    pub example: &'static str,
    /// Reads the settings of a component with this name.
    pub read: fn(&ComponentConfig) -> Result<Box<B>, Diagnostics>,
}

/// Reads a component config with the component of that name. `kind` is the kind of the catalog's
/// components, such as `operator`.
///
/// # Errors
/// If the name is unknown or the component rejects its settings, with the place in the file.
pub fn read<B: ?Sized>(
    catalog: &[Registration<B>],
    kind: &str,
    config: &ComponentConfig,
) -> Result<Box<B>, Diagnostics> {
    match catalog.iter().find(|row| row.name == config.name()) {
        Some(row) => (row.read)(config),
        None => Err(config.unknown(
            kind,
            &catalog.iter().map(|row| row.name).collect::<Vec<_>>(),
        )),
    }
}

/// The example of the component that a config names: what can be known of one whose settings have
/// errors.
#[must_use]
pub fn example<B: ?Sized>(catalog: &[Registration<B>], config: &ComponentConfig) -> Option<Box<B>> {
    let row = catalog.iter().find(|row| row.name == config.name())?;
    (row.read)(&ComponentConfig::parse(row.example).ok()?).ok()
}

/// The names of the files in a catalog's folder, which are those of its components.
///
/// # Errors
/// If the folder cannot be read.
pub fn files(folder: &Path) -> io::Result<BTreeSet<String>> {
    std::fs::read_dir(folder)?
        .map(|file| {
            let path = file?.path();
            Ok(path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned())
        })
        .collect()
}

/// Declares the modules of a catalog, and the constant `CATALOG` that lists its components.
///
/// Each component has one line, `file::Type`. A file without its line is not compiled, and a line
/// without its file does not compile.
#[macro_export]
macro_rules! catalog {
    (dyn $role:path: $($file:ident :: $component:ident),* $(,)?) => {
        $(pub mod $file;)*

        /// All components.
        pub const CATALOG: &[$crate::catalog::Registration<dyn $role>] = &[
            $($crate::catalog::Registration {
                name: <$file::$component as $crate::catalog::Component>::NAME,
                about: <$file::$component as $crate::catalog::Component>::ABOUT,
                example: <$file::$component as $crate::catalog::Component>::EXAMPLE,
                read: |config| Ok(Box::new(config.settings::<$file::$component>()?)),
            }),*
        ];

        #[cfg(test)]
        #[test]
        fn every_file_of_the_catalog_is_in_its_list() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalog");
            let files = $crate::catalog::files(folder.as_ref()).unwrap();
            let listed = CATALOG.iter().map(|row| row.name.to_owned()).collect();
            assert_eq!(files, listed);
        }

        /// The schema of a component of the catalog as it stands in a pipeline file.
        // Not in `CATALOG`: a program that does not call it leaves it out.
        #[cfg(feature = "schema")]
        #[must_use]
        pub fn schema() -> $crate::schema::Schema {
            let settings = [$($crate::schema::settings::<$file::$component>()),*];
            $crate::schema::component(CATALOG, settings)
        }
    };
}
