//! What a consumer group says to a member.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use crate::tool_client::LastError;

/// What the group says to a member.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assigned(Vec<(String, i32)>),
    Revoked,
}

/// Keeps what the group says until it is polled for.
#[derive(Debug)]
pub(super) struct Rebalances {
    pub(super) errors: LastError,
    queue: Mutex<VecDeque<Rebalance>>,
    is_closed: AtomicBool,
}

impl Rebalances {
    /// With what is assigned without a group.
    pub(super) fn new(errors: LastError, assigned: Option<Rebalance>) -> Self {
        Rebalances {
            errors,
            queue: Mutex::new(assigned.into_iter().collect()),
            is_closed: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Rebalance>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, rebalance: Rebalance) {
        self.lock().push_back(rebalance);
    }

    pub(super) fn next(&self) -> Option<Rebalance> {
        self.lock().pop_front()
    }

    /// From now on partitions are given back at once.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.errors.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.errors.error(error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if self.is_closed.load(Ordering::Relaxed) {
            let _ = consumer.unassign();
            return;
        }
        self.push(match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let elements = partitions.elements();
                let places = elements.iter();
                let places = places.map(|place| (place.topic().to_owned(), place.partition()));
                Rebalance::Assigned(places.collect())
            }
            _ => Rebalance::Revoked,
        });
    }
}
