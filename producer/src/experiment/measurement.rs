//! What all sensors of an experiment measure at one moment: [`Measurement`].

use super::hash::NONCE_LENGTH;
use super::range::RangeEvent;

/// One measurement of all sensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// A UUID.
    pub id: String,
    /// Its time in seconds since the epoch.
    pub timestamp: f64,
    /// The average.
    pub temperature: f32,
    /// What the average means for the range.
    pub event: Option<RangeEvent>,
    /// See [`SecretKey::hash`].
    pub hash: String,
    /// The nonce of the hash.
    pub nonce: [u8; NONCE_LENGTH],
}
