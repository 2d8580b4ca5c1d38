//! What a tool's producer is for: [`ProducerSettings`].

use std::time::Duration;

use rdkafka::config::ClientConfig;

use crate::connection::Connection;
use crate::tool_client;
use crate::waits::CALL_TIMEOUT;

/// How long a record may take to be delivered: a broker that restarts is back by then.
const DELIVERY: Duration = Duration::from_secs(30);
/// How long a transaction may be open, besides the time that it is held open on purpose.
const TRANSACTION: Duration = Duration::from_mins(1);
/// The least memory of the queue of records that are not delivered yet, in KiB.
const QUEUE_KIB: usize = 32 * 1024;
/// Kafka's default of a topic's `max.message.bytes`, in bytes.
pub const DEFAULT_MAX_MESSAGE: usize = 1_048_588;
/// The room for what a batch has besides its records, in bytes.
const BATCH_OVERHEAD: usize = 100;

/// What a [`Producer`](super::Producer) is for.
#[derive(Debug, Clone, Default)]
pub struct ProducerSettings {
    /// Its `client.id`.
    pub client_id: String,
    /// Its `transactional.id`, if it has transactions.
    pub transactional_id: Option<String>,
    /// How long a transaction is held open on purpose. Adds to `transaction.timeout.ms`.
    pub hold: Duration,
    /// Whether to keep the report of each delivery until
    /// [`take_reports`](super::Producer::take_reports) takes it.
    pub reports: bool,
    /// The smallest and the largest `max.message.bytes` of the topics, in bytes, if they are known.
    pub message_bytes: Option<(usize, usize)>,
}

impl ProducerSettings {
    /// The properties of the client. Those of the connection override the defaults of a tool.
    pub(super) fn config(&self, connection: &Connection) -> ClientConfig {
        let default = (DEFAULT_MAX_MESSAGE, DEFAULT_MAX_MESSAGE);
        let (smallest, largest) = self.message_bytes.unwrap_or(default);
        let delivery = connection.timeout.unwrap_or(DELIVERY).max(CALL_TIMEOUT);
        let transaction = TRANSACTION.max(delivery) + self.hold;
        // The limits are those of librdkafka.
        let defaults = [
            ("message.timeout.ms", delivery.as_millis().to_string()),
            // Keys map to the same partitions as in Java clients.
            ("partitioner", "murmur2_random".to_owned()),
            // By default the pause before the next connection grows to 10 s.
            ("reconnect.backoff.max.ms", "500".to_owned()),
            (
                "queue.buffering.max.kbytes",
                QUEUE_KIB.max(2 * largest / 1024).to_string(),
            ),
            (
                "message.max.bytes",
                largest.clamp(1000, 1_000_000_000).to_string(),
            ),
            // A broker rejects a batch that is larger than the topic's max.message.bytes.
            (
                "batch.size",
                smallest
                    .saturating_sub(BATCH_OVERHEAD)
                    .clamp(1, 1_000_000)
                    .to_string(),
            ),
        ];
        let mut config = tool_client::config(connection);
        tool_client::set_defaults(&mut config, connection, defaults);
        if self.transactional_id.is_some() {
            let transaction = transaction.as_millis().to_string();
            let timeout = [("transaction.timeout.ms", transaction)];
            tool_client::set_defaults(&mut config, connection, timeout);
        }
        config
            .set("client.id", &self.client_id)
            .set("enable.idempotence", "true")
            .set("acks", "all");
        // Reports of successful deliveries cost as much as the sends.
        let only_errors = if self.reports { "false" } else { "true" };
        config.set("delivery.report.only.error", only_errors);
        if let Some(id) = &self.transactional_id {
            config.set("transactional.id", id);
        }
        config
    }
}
