//! A record that librdkafka could not deliver.

use rdkafka::error::RDKafkaErrorCode;

/// A record whose delivery failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedDelivery {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// How many records failed for the same reason.
    pub(crate) count: u64,
}

impl FailedDelivery {
    /// Whether the record was purged because something else failed.
    pub(crate) fn is_purged(&self) -> bool {
        matches!(
            self.code,
            RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight
        )
    }
}
