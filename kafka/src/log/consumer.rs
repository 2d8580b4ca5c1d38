//! The stage's consumer: its membership of the group, its assignment and its errors.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};
use rivulet_core::error::{Error, Kind};
use rivulet_core::log::{Event, Fault, OffsetAndMetadata, TopicPartition};
use rivulet_core::metrics::TroubleKind;

use super::{HAS_CONSUMER, KafkaLog};
use crate::error_class::{NO_TOPIC, has_fatal_error};
use crate::monitor::{ClientMonitor, Rebalance};
use crate::waits::{CALL_TIMEOUT, close};

/// How often the consumer is polled while the stage restores its state or waits.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(100);

impl KafkaLog {
    /// Subscribes a consumer. It joins the group when it is polled.
    pub(super) fn subscribe(&self, consumer: &BaseConsumer<ClientMonitor>) -> Result<(), Fault> {
        let topics: Vec<&str> = self.inputs.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| {
            Fault::Fatal(Error::new(
                format!("subscribing to {}", topics.join(", ")),
                error,
            ))
        })
    }

    /// Unassigns all partitions. A fenced consumer is replaced.
    pub(super) fn drop_assignment(&mut self) -> Result<(), Fault> {
        self.records = None;
        if self.is_fenced.take() {
            self.monitor.close();
            if let Some(fenced) = self.consumer.take() {
                close(fenced, CALL_TIMEOUT);
            }
            self.monitor.reopen();
            let consumer = self.clients.consumer(&self.monitor).map_err(Fault::Fatal)?;
            self.subscribe(&consumer)?;
            self.consumer = Some(consumer);
        }
        match &self.consumer {
            Some(consumer) if !has_fatal_error(consumer) => consumer
                .unassign()
                .map_err(|error| Fault::Abortable(Error::new("unassigning partitions", error))),
            _ => Ok(()),
        }
    }

    pub(super) fn consumer(&self) -> &BaseConsumer<ClientMonitor> {
        self.consumer.as_ref().expect(HAS_CONSUMER)
    }

    /// The next rebalance that the stage has yet to answer.
    pub(super) fn next_rebalance<R>(&self) -> Option<Event<R>> {
        Some(match self.monitor.next_rebalance()? {
            Rebalance::Assign(partitions) => Event::Assigned(
                partitions
                    .into_iter()
                    .filter_map(|(topic, partition)| self.partition(&topic, partition))
                    .collect(),
            ),
            Rebalance::Revoke => Event::Revoked {
                lost: self.consumer().assignment_lost(),
            },
        })
    }

    pub(super) fn partition(&self, topic: &str, partition: i32) -> Option<TopicPartition> {
        let topic = self.inputs.iter().position(|input| input == topic)?;
        Some(TopicPartition { topic, partition })
    }

    pub(super) fn list(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in partitions {
            list.add_partition_offset(&self.inputs[partition.topic], partition.partition, offset)
                .expect("offsets of records are valid");
        }
        list
    }

    /// Polls the consumer once: for events of the group, and for errors.
    pub(super) fn poll_consumer(&self, wait: Duration) -> Result<(), Fault> {
        match self.consumer().poll(wait) {
            None => Ok(()),
            Some(Err(error)) => self.consumer_error(error),
            // It would be the first of several, which must not overtake one another.
            Some(Ok(_)) => Err(Fault::Abortable(Error::new(
                format!("reading {}", self.inputs.join(", ")),
                "a record came before its partition was assigned",
            ))),
        }
    }

    /// Handles an error that the consumer returns in place of a record.
    pub(super) fn consumer_error(&self, error: KafkaError) -> Result<(), Fault> {
        match error {
            // Fenced, but perhaps not by another process:
            //
            // - When a session ends, librdkafka drops the member id, but sends heartbeats until the
            //   partitions are unassigned. If the broker was unreachable, the session still lasts
            //   there, and the broker fences a heartbeat without the id (librdkafka's issue 3437).
            // - A heartbeat with the old id may have waited for its broker, and be answered after
            //   the consumer has rejoined with a new id.
            // - A consumer that was still joining has been seen fenced while a broker died.
            //
            // If another process has in fact replaced this one, rejoining fences that process. It
            // fences this one in return, and then this process ends.
            KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId)
                if self.monitor.may_be_fenced_by_itself(self.clients.session()) =>
            {
                tracing::warn!("removed from the consumer group, rejoining");
                self.is_fenced.set(true);
                Ok(())
            }
            KafkaError::MessageConsumptionFatal(code) => {
                let fatal = Error::new(format!("reading {}", self.inputs.join(", ")), code).help(
                    "another process with the same stage and instance name has taken this one's \
                     place: give each its own --instance",
                )
                .of_kind(Kind::Conflict);
                Err(Fault::Fatal(fatal))
            }
            KafkaError::MessageConsumption(
                code @ (RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed),
            ) => Err(Fault::Fatal(
                Error::new(format!("reading {}", self.inputs.join(", ")), code)
                    .help(
                        "allow this user to read the topics and to use the consumer group with the \
                     stage's name",
                    )
                    .of_kind(Kind::Unauthorized),
            )),
            KafkaError::MessageConsumption(code @ RDKafkaErrorCode::UnknownTopicOrPartition) => {
                let error = format!("reading {}: {code}", self.inputs.join(", "));
                self.monitor.report(TroubleKind::Topic, &error);
                self.monitor
                    .warn(&error, &format!("if the topic was deleted, {NO_TOPIC}"));
                Ok(())
            }
            // The stage finds out which records were deleted when it looks up its offsets.
            KafkaError::MessageConsumption(code @ RDKafkaErrorCode::AutoOffsetReset) => {
                Err(Fault::Abortable(Error::new(
                    format!("reading {}", self.inputs.join(", ")),
                    code,
                )))
            }
            other => {
                self.monitor.client_error(&other);
                Ok(())
            }
        }
    }

    /// Polls a consumer that does not read, so that the group does not remove it. As no partition
    /// is assigned, only events can come.
    pub(super) fn poll_group(&self) -> Result<(), Fault> {
        let Some(consumer) = self.consumer.as_ref().filter(|_| self.records.is_none()) else {
            return Ok(());
        };
        while let Some(polled) = consumer.poll(Duration::ZERO) {
            if let Err(error) = polled {
                self.consumer_error(error)?;
            }
        }
        Ok(())
    }

    /// A function to call during a long operation. It polls the consumer from time to time, so that
    /// the group does not remove it. It fails if the group revokes the partitions.
    pub(super) fn keep_alive(&self, doing: &str) -> impl Fn() -> Result<(), Fault> {
        let last = Cell::new(Instant::now());
        move || {
            if last.get().elapsed() < KEEP_ALIVE_INTERVAL {
                return Ok(());
            }
            last.set(Instant::now());
            self.poll_group()?;
            if self.is_fenced.get() || self.monitor.has_rebalance() {
                return Err(Fault::Abortable(Error::new(
                    doing,
                    "the group rebalances, partitions revoked",
                )));
            }
            Ok(())
        }
    }

    /// The committed offset of a partition; `None` if there is none.
    pub(super) fn offset_and_metadata(
        &self,
        element: &TopicPartitionListElem<'_>,
    ) -> Option<OffsetAndMetadata> {
        let partition = self.partition(element.topic(), element.partition())?;
        let Offset::Offset(offset) = element.offset() else {
            return None;
        };
        Some(OffsetAndMetadata {
            partition,
            offset,
            metadata: element.metadata().to_owned(),
        })
    }

    pub(super) fn committed_offsets(
        &self,
        list: TopicPartitionList,
    ) -> Result<TopicPartitionList, KafkaError> {
        let committed = self.consumer().committed_offsets(list, CALL_TIMEOUT)?;
        for element in committed.elements() {
            element.error()?;
        }
        Ok(committed)
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        // Rebalances are answered at once from here on: nobody is left to commit.
        self.monitor.close();
        self.records = None;
        if let Some(consumer) = self.consumer.take() {
            if has_fatal_error(&consumer) {
                return close(consumer, CALL_TIMEOUT);
            }
            // A static member does not leave its group when it closes, so that a restart keeps its
            // partitions. An orderly shutdown unsubscribes first to leave. Partitions that were
            // never assigned, because their state could not be restored, would keep it from
            // leaving.
            let _ = consumer.assign(&TopicPartitionList::new());
            consumer.unsubscribe();
            let _ = consumer.unassign();
            let until = Instant::now() + CALL_TIMEOUT;
            while consumer
                .subscription()
                .is_ok_and(|topics| topics.count() > 0)
                && Instant::now() < until
            {
                let _ = consumer.poll(Duration::from_millis(10));
            }
            close(consumer, CALL_TIMEOUT);
        }
    }
}
