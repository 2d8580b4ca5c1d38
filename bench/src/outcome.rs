//! What everything here returns: [`Outcome`].

use std::error::Error;

/// A value, or why there is none.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;
