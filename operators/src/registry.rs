//! What the pipelines of a program can name: [`OperatorRegistry`].

use rivulet_core::component::Component;
use rivulet_core::format::FormatSettings;
use rivulet_core::operator::Operator;
use rivulet_pipeline::catalog::{Catalog, Formats};

use crate::catalog;

/// The operators and formats that a pipeline file can name.
///
/// The default is everything that comes with rivulet. A program of your own adds to it.
#[derive(Debug)]
pub struct OperatorRegistry {
    /// The operators.
    pub operators: Catalog<dyn Operator>,
    /// The formats of topics.
    pub formats: Formats,
}

impl Default for OperatorRegistry {
    fn default() -> Self {
        OperatorRegistry {
            operators: catalog::built_in(),
            formats: rivulet_formats::catalog::built_in(),
        }
    }
}

impl OperatorRegistry {
    /// Adds an operator. It replaces one of the same name.
    #[must_use]
    pub fn operator<T: Component + Operator>(mut self) -> Self {
        self.operators = self.operators.with::<T>();
        self
    }

    /// Adds a format. It replaces one of the same name.
    #[must_use]
    pub fn format<T: Component + FormatSettings>(mut self) -> Self {
        self.formats = self.formats.with::<T>();
        self
    }
}
