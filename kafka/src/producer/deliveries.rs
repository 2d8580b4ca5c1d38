//! What a tool's producer learns of its records: [`Deliveries`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use crate::tool_client::LastError;

/// Where a record is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
}

/// A record that was not delivered.
#[derive(Debug, Clone)]
pub(super) struct Undelivered {
    /// The number of the record among those that were sent, from 1.
    pub number: usize,
    /// The bytes of its key and value.
    pub size: usize,
    pub topic: String,
    pub code: RDKafkaErrorCode,
    pub cause: String,
}

impl Undelivered {
    /// Whether it was dropped because of something that failed before.
    pub(super) fn is_purged(&self) -> bool {
        use RDKafkaErrorCode as Code;
        matches!(self.code, Code::PurgeQueue | Code::PurgeInflight)
    }
}

/// The context of a producer: it collects what the reports of the deliveries say.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    pub(super) seen: LastError,
    collects: bool,
    failed: AtomicU64,
    first: Mutex<Option<Undelivered>>,
    reports: Mutex<Vec<DeliveryReport>>,
}

impl Deliveries {
    /// Keeps the reports of successful deliveries if `collects` is true.
    pub(super) fn new(seen: LastError, collects: bool) -> Self {
        Deliveries {
            seen,
            collects,
            ..Self::default()
        }
    }

    /// How many records were not delivered.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// The first record that was not delivered.
    pub(super) fn first_failure(&self) -> Option<Undelivered> {
        lock(&self.first).clone()
    }

    /// The reports since the last call.
    pub(super) fn take_reports(&self) -> Vec<DeliveryReport> {
        std::mem::take(&mut *lock(&self.reports))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.seen.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.seen.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    /// The record's number.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(message) if self.collects => lock(&self.reports).push(DeliveryReport {
                key: message.key().map(<[u8]>::to_vec),
                topic: message.topic().to_owned(),
                partition: message.partition(),
                offset: message.offset(),
            }),
            Ok(_) => {}
            Err((error, message)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                lock(&self.first).get_or_insert_with(|| Undelivered {
                    number,
                    size: message.key_len() + message.payload_len(),
                    topic: message.topic().to_owned(),
                    code: error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
                    cause: error.to_string(),
                });
            }
        }
    }
}
