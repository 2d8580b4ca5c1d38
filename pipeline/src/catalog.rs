//! Catalogs of components: operators, sources, sinks and formats, one file each.
//!
//! A crate lists the files of its catalog with [`catalog!`](crate::catalog!). A
//! [component](Component) is a type whose fields are its settings in a pipeline file. Other crates
//! can [add](Catalog::with) their own components to a catalog.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::Path;

pub use rivulet_core::component::Component;
use rivulet_core::format::FormatSettings;
use rivulet_core::operator::Operator;

use crate::component::ComponentConfig;
use crate::diagnostic::Diagnostics;
#[cfg(feature = "schema")]
use crate::schema::{self, JsonSchema, Schema};

/// The formats that the topics of a pipeline file can have.
pub type Formats = Catalog<dyn FormatSettings>;

/// The components that a pipeline file can name, by name. `B` is what they are, such as
/// `dyn Operator`.
pub struct Catalog<B: ?Sized> {
    kind: &'static str,
    entries: Vec<Entry<B>>,
}

/// A component in a catalog of `B`s.
pub struct Entry<B: ?Sized> {
    /// See [`Component::NAME`].
    pub name: &'static str,
    /// See [`Component::ABOUT`].
    pub about: &'static str,
    /// See [`Component::EXAMPLE`].
    pub example: &'static str,
    /// Reads the settings of a component with this name.
    pub read: fn(&ComponentConfig) -> Result<Box<B>, Diagnostics>,
    /// The schema of its settings, if it has one.
    #[cfg(feature = "schema")]
    pub settings: Option<fn() -> Schema>,
}

/// What the components of a catalog are, such as `dyn Operator`, if `T` is one of them.
pub trait CatalogRole<T> {
    /// The component as a trait object.
    fn boxed(component: T) -> Box<Self>;
}

impl<T: Operator + 'static> CatalogRole<T> for dyn Operator {
    fn boxed(component: T) -> Box<Self> {
        Box::new(component)
    }
}

impl<T: FormatSettings + 'static> CatalogRole<T> for dyn FormatSettings {
    fn boxed(component: T) -> Box<Self> {
        Box::new(component)
    }
}

impl<B: ?Sized> Catalog<B> {
    /// A catalog without components. `kind` is what they are, such as `operator`.
    #[must_use]
    pub fn new(kind: &'static str) -> Self {
        Catalog {
            kind,
            entries: Vec::new(),
        }
    }

    /// Adds a component. It replaces one of the same name.
    #[must_use]
    pub fn with<T: Component>(self) -> Self
    where
        B: CatalogRole<T>,
    {
        self.add(Entry {
            name: T::NAME,
            about: T::ABOUT,
            example: T::EXAMPLE,
            read: |config| Ok(B::boxed(config.settings::<T>()?)),
            #[cfg(feature = "schema")]
            settings: None,
        })
    }

    /// Adds a component with the schema of its settings. It replaces one of the same name.
    #[cfg(feature = "schema")]
    #[must_use]
    pub fn with_schema<T: Component + JsonSchema>(self) -> Self
    where
        B: CatalogRole<T>,
    {
        let mut catalog = self.with::<T>();
        if let Some(entry) = catalog.entries.last_mut() {
            entry.settings = Some(schema::settings::<T>);
        }
        catalog
    }

    fn add(mut self, entry: Entry<B>) -> Self {
        self.entries.retain(|other| other.name != entry.name);
        self.entries.push(entry);
        self
    }

    /// All components.
    #[must_use]
    pub fn entries(&self) -> &[Entry<B>] {
        &self.entries
    }

    fn entry(&self, name: &str) -> Option<&Entry<B>> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Reads the settings of the component that a pipeline file names.
    ///
    /// # Errors
    /// If the name is unknown or the component rejects its settings, with the place in the file.
    pub fn read(&self, config: &ComponentConfig) -> Result<Box<B>, Diagnostics> {
        if let Some(entry) = self.entry(config.name()) {
            return (entry.read)(config);
        }
        let known: Vec<&str> = self.entries.iter().map(|entry| entry.name).collect();
        Err(config.unknown(self.kind, &known))
    }

    /// The example of the component that a config names: what can be known of one whose settings
    /// have errors.
    #[must_use]
    pub fn example(&self, config: &ComponentConfig) -> Option<Box<B>> {
        let entry = self.entry(config.name())?;
        (entry.read)(&ComponentConfig::parse(entry.example).ok()?).ok()
    }
}

impl<B: ?Sized> fmt::Debug for Catalog<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.entries.iter().map(|entry| entry.name);
        f.debug_list().entries(names).finish()
    }
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

/// Declares the modules of a catalog, and the function `built_in` that lists its components.
///
/// Each component has one line, `file::Type`. A file without its line is not compiled, and a line
/// without its file does not compile.
#[macro_export]
macro_rules! catalog {
    ($kind:literal, dyn $role:path: $($file:ident :: $component:ident),* $(,)?) => {
        $(pub mod $file;)*

        /// The components that come with the crate.
        #[cfg(feature = "schema")]
        #[must_use]
        pub fn built_in() -> $crate::catalog::Catalog<dyn $role> {
            $crate::catalog::Catalog::new($kind)$(.with_schema::<$file::$component>())*
        }

        /// The components that come with the crate.
        #[cfg(not(feature = "schema"))]
        #[must_use]
        pub fn built_in() -> $crate::catalog::Catalog<dyn $role> {
            $crate::catalog::Catalog::new($kind)$(.with::<$file::$component>())*
        }

        #[cfg(test)]
        #[test]
        fn every_file_of_the_catalog_is_in_its_list() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalog");
            let files = $crate::catalog::files(folder.as_ref()).unwrap();
            // A file's name has no hyphens.
            let names = built_in();
            let names = names.entries().iter().map(|entry| entry.name.replace('-', "_"));
            let listed = names.collect();
            assert_eq!(files, listed);
        }
    };
}
