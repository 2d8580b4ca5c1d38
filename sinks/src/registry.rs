//! What the pipelines of a program can name: [`SinkRegistry`].

use rivulet_core::component::Component;
use rivulet_core::format::FormatSettings;
use rivulet_pipeline::catalog::{Catalog, Formats};

use crate::catalog::{self, SinkSettings};

/// The sinks and formats that a pipeline file can name.
///
/// The default is everything that comes with rivulet. A program of your own adds to it.
#[derive(Debug)]
pub struct SinkRegistry {
    /// The sinks.
    pub sinks: Catalog<dyn SinkSettings>,
    /// The formats of topics.
    pub formats: Formats,
}

impl Default for SinkRegistry {
    fn default() -> Self {
        SinkRegistry {
            sinks: catalog::built_in(),
            formats: rivulet_formats::catalog::built_in(),
        }
    }
}

impl SinkRegistry {
    /// Adds a sink. It replaces one of the same name.
    #[must_use]
    pub fn sink<T: Component + SinkSettings>(mut self) -> Self {
        self.sinks = self.sinks.with::<T>();
        self
    }

    /// Adds a format. It replaces one of the same name.
    #[must_use]
    pub fn format<T: Component + FormatSettings>(mut self) -> Self {
        self.formats = self.formats.with::<T>();
        self
    }
}
