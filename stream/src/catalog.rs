//! Catalogs: what operators, sources and sinks there are, one file each.
//!
//! The crates that hold one list its files with [`catalog!`](crate::catalog!). An entry is a type
//! whose fields are its settings, as they stand in a pipeline file.

use crate::pipeline::{ComponentConfig, Diagnostic};

/// How an entry of a catalog introduces itself.
pub trait Component {
    /// The name in pipeline files.
    const NAME: &'static str;
    /// What it does, in one line.
    const ABOUT: &'static str;
    /// An example, as it stands in a pipeline file.
    const EXAMPLE: &'static str;
}

/// An entry's row in a catalog of `B`s.
#[derive(Debug)]
pub struct Registration<B: ?Sized> {
    /// See [`Component::NAME`].
    pub name: &'static str,
    /// See [`Component::ABOUT`].
    pub about: &'static str,
    /// See [`Component::EXAMPLE`].
    pub example: &'static str,
    /// Reads the settings of a part that has this entry's name.
    pub read: fn(&ComponentConfig) -> Result<Box<B>, Diagnostic>,
}

/// Reads the entry that a part of a pipeline file names, with its settings; `kind` says what the
/// catalog holds.
///
/// # Errors
/// An unknown name, or settings that the entry refuses, with the place in the file.
pub fn read<B: ?Sized>(
    catalog: &[Registration<B>],
    kind: &str,
    part: &ComponentConfig,
) -> Result<Box<B>, Diagnostic> {
    match catalog.iter().find(|row| row.name == part.name()) {
        Some(row) => (row.read)(part),
        None => Err(part.unknown(
            kind,
            &catalog.iter().map(|row| row.name).collect::<Vec<_>>(),
        )),
    }
}

/// Declares the modules of a catalog and the constant `CATALOG` that lists their entries.
///
/// One line an entry, `file::Type`: a file without its line is not compiled, and a line without its
/// file does not compile.
#[macro_export]
macro_rules! catalog {
    (dyn $role:path: $($file:ident :: $entry:ident),* $(,)?) => {
        $(pub mod $file;)*

        /// Every entry there is.
        pub const CATALOG: &[$crate::catalog::Registration<dyn $role>] = &[$($crate::catalog::Registration {
            name: <$file::$entry as $crate::catalog::Component>::NAME,
            about: <$file::$entry as $crate::catalog::Component>::ABOUT,
            example: <$file::$entry as $crate::catalog::Component>::EXAMPLE,
            read: |part| Ok(Box::new(part.settings::<$file::$entry>()?)),
        }),*];
    };
}
