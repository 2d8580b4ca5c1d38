//! Reading a source's position back.

use rivulet_core::error::{Error, Kind, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a position that [`Source::position`](crate::source::Source::position) returned earlier.
///
/// # Errors
/// If the position belongs to another kind of source.
pub fn read<T: DeserializeOwned>(position: &Value) -> Result<T> {
    T::deserialize(position).map_err(|_| {
        unusable(format!(
            "{position} is not a position of this kind of source"
        ))
    })
}

/// The error of a source that cannot resume at a position.
#[must_use]
pub fn unusable(cause: String) -> Error {
    Error::new("resuming at the position that is committed in Kafka", cause)
        .of_kind(Kind::Conflict)
        .help("restore the source as it was, or start at its first reading with --from-start")
}
