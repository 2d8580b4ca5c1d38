//! Components: operators, sources, sinks and formats, which a pipeline file names.

use serde::de::DeserializeOwned;

/// A component of a catalog: a type whose fields are its settings in a pipeline file.
pub trait Component: DeserializeOwned + 'static {
    /// The name in pipeline files.
    const NAME: &'static str;
    /// What it does, in one line.
    const ABOUT: &'static str;
    /// An example from a pipeline file.
    const EXAMPLE: &'static str;
}
