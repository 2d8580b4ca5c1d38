//! The position as a source reads it back.

use serde::de::DeserializeOwned;
use serde_json::Value;
use stream::error::{Error, Result};

/// Reads a position that [`Source::position`](crate::source::Source::position) once gave.
///
/// # Errors
/// If it is not one of this kind of source.
pub fn read<T: DeserializeOwned>(position: &Value) -> Result<T> {
    T::deserialize(position).map_err(|_| {
        refused(format!(
            "{position} is not a position of this kind of source"
        ))
    })
}

/// The error of a source that cannot go on at a position.
#[must_use]
pub fn refused(cause: String) -> Error {
    Error::new("going on at the position that is kept in Kafka", cause)
        .help("put the source back as it was, or start it anew with --from-start")
}
