//! What the pipelines of a program can name: [`ProducerRegistry`].

use rivulet_core::component::Component;
use rivulet_core::format::FormatSettings;
use rivulet_pipeline::catalog::{Catalog, Formats};

use crate::catalog::{self, SourceSettings};

/// The sources and formats that a pipeline file can name.
///
/// The default is everything that comes with rivulet. A program of your own adds to it.
#[derive(Debug)]
pub struct ProducerRegistry {
    /// The sources.
    pub sources: Catalog<dyn SourceSettings>,
    /// The formats of topics.
    pub formats: Formats,
}

impl Default for ProducerRegistry {
    fn default() -> Self {
        ProducerRegistry {
            sources: catalog::built_in(),
            formats: rivulet_formats::catalog::built_in(),
        }
    }
}

impl ProducerRegistry {
    /// Adds a source. It replaces one of the same name.
    #[must_use]
    pub fn source<T: Component + SourceSettings>(mut self) -> Self {
        self.sources = self.sources.with::<T>();
        self
    }

    /// Adds a format. It replaces one of the same name.
    #[must_use]
    pub fn format<T: Component + FormatSettings>(mut self) -> Self {
        self.formats = self.formats.with::<T>();
        self
    }
}
