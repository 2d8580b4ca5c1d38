//! What librdkafka calls: for logs, rebalances and deliveries.

use std::sync::atomic::Ordering;
use std::time::Instant;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, ProducerContext};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use super::delivery::FailedDelivery;
use super::message::{advertised_address, is_connect_failure, may_repeat_request, reason_of};
use super::{ClientMonitor, Rebalance, statistics};

impl ClientContext for ClientMonitor {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.count_event();
        if may_repeat_request(facility, message) {
            self.producer
                .may_have_repeated
                .store(true, Ordering::Relaxed);
        }
        match facility {
            // Properties of the other kind of client in the same [kafka] table. And fatal errors of
            // a client, which the stage also gets and may recover from.
            "CONFWARN" | "FATAL" => tracing::debug!("librdkafka: {message}"),
            "SESSTMOUT" => {
                tracing::debug!("librdkafka: {facility} {message}");
                self.lock().membership.session_ended();
            }
            // It may be one connection of several, or an idle one, so the brokers are probed.
            // `broker_unreachable` logs the last reason if they are unreachable.
            "FAIL" | "ERROR" => {
                let reason = reason_of(message);
                tracing::debug!("librdkafka: {facility} {message}");
                let mut lock = self.lock();
                lock.needs_probe = true;
                if let Some(address) = advertised_address(reason).map(str::to_owned) {
                    if is_connect_failure(message) {
                        lock.unreached.entry(address).or_insert_with(Instant::now);
                    } else {
                        lock.reached.insert(address);
                    }
                }
                if !reason.contains("brokers are down") {
                    reason.clone_into(&mut lock.last_failure);
                }
            }
            // Only the log says so: the call itself times out.
            "GETPID" if message.contains("concurrent operation") => {
                tracing::debug!("librdkafka: {message}");
                self.lock().concurrent_transaction = true;
            }
            _ => match level {
                RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                    tracing::error!("librdkafka: {facility} {message}");
                }
                _ => tracing::debug!("librdkafka: {facility} {message}"),
            },
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.count_event();
        statistics::note(&statistics, &self.metrics);
    }

    fn error(&self, error: KafkaError, _: &str) {
        self.count_event();
        self.client_error(&error);
    }
}

impl ConsumerContext for ClientMonitor {
    /// Queues the rebalance for the stage loop. It cannot be answered here, inside a poll, because
    /// the open transaction must be committed first.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let mut lock = self.lock();
        if lock.closed || lock.consumer != self.consumer {
            drop(lock);
            let _ = consumer.unassign();
            return;
        }
        let rebalance = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                lock.membership.partitions_assigned();
                Rebalance::Assign(
                    partitions
                        .elements()
                        .iter()
                        .map(|element| (element.topic().to_owned(), element.partition()))
                        .collect(),
                )
            }
            _ => {
                if consumer.assignment_lost() {
                    lock.membership.session_ended();
                }
                Rebalance::Revoke
            }
        };
        lock.rebalances.push_back(rebalance);
        self.has_rebalance.store(true, Ordering::Release);
    }
}

impl ProducerContext<NoCustomPartitioner> for ClientMonitor {
    type DeliveryOpaque = ();

    /// Only failures are reported: see the property `delivery.report.only.error`.
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.count_event();
        let Err((error, message)) = result else {
            return;
        };
        let failed = FailedDelivery {
            code: error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown),
            topic: message.topic().to_owned(),
            partition: message.partition(),
            count: 1,
        };
        let mut first = self.failed_delivery();
        match &mut *first {
            Some(first) if first.code == failed.code => first.count += 1,
            Some(first) if !first.is_purged() || failed.is_purged() => {}
            first => *first = Some(failed),
        }
    }
}
