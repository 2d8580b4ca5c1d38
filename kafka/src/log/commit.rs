//! A commit: the outputs acknowledged, then the offsets, in a transaction or without one.

use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::TopicPartitionList;
use rivulet_core::error::Error;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::log::Fault;

use super::KafkaLog;
use crate::commit::commit;
use crate::error_class::{self, ErrorClass, is_retriable};
use crate::waits::CALL_TIMEOUT;

/// librdkafka may have repeated a request that takes longer.
const CLEAN_COMMIT: Duration = Duration::from_secs(1);

impl KafkaLog {
    pub(super) fn begin(&self) -> Result<(), Fault> {
        if self.guarantee == Guarantee::ExactlyOnce && !self.in_transaction.get() {
            let begun = self.producer()?.begin_transaction();
            begun.map_err(|error| self.fault("beginning a transaction", "", &error))?;
            self.in_transaction.set(true);
        }
        Ok(())
    }

    pub(super) fn commit_transaction(&self, offsets: &TopicPartitionList) -> Result<(), Fault> {
        self.begin()?;
        let group = if offsets.count() > 0 {
            let group = self.consumer().group_metadata();
            Some(group.ok_or_else(|| {
                let cause = "the consumer is not a member of its group";
                Fault::Abortable(Error::new("committing", cause))
            })?)
        } else {
            None
        };
        commit(
            self.producer()?,
            group.as_ref().map(|group| (offsets, group)),
            CALL_TIMEOUT,
            |doing, request| self.request(doing, request),
            || self.wait_for_deliveries(),
        )?;
        self.in_transaction.set(false);
        Ok(())
    }

    /// Makes a request of a commit, and notes whether it may have been made twice.
    fn request(&self, doing: &str, call: &dyn Fn() -> KafkaResult<()>) -> Result<(), Fault> {
        let start = Instant::now();
        self.monitor.committing(true);
        let answered = self.retry_while_unreachable(doing, call);
        self.monitor.committing(false);
        if start.elapsed() > CLEAN_COMMIT {
            self.may_have_repeated.set(true);
        }
        answered
    }

    pub(super) fn commit_offsets(&self, offsets: &TopicPartitionList) -> Result<(), Fault> {
        self.wait_for_deliveries()?;
        if offsets.count() == 0 {
            return Ok(());
        }
        self.monitor.committing(true);
        let commit = self.consumer().commit(offsets, CommitMode::Sync);
        self.monitor.committing(false);
        commit.map_err(|error| Fault::Abortable(Error::new("committing the offsets", error)))
    }

    /// Retries `call` for as long as the transaction may be open. Each call waits at most
    /// [`CALL_TIMEOUT`].
    fn retry_while_unreachable(
        &self,
        doing: &str,
        call: &dyn Fn() -> KafkaResult<()>,
    ) -> Result<(), Fault> {
        let begun = Instant::now();
        loop {
            match call() {
                Ok(()) => return Ok(()),
                Err(error)
                    if is_retriable(&error)
                        && begun.elapsed() < self.clients.transaction_timeout() =>
                {
                    self.may_have_repeated.set(true);
                    self.monitor.broker_unreachable(&error.to_string());
                    if let Some(producer) = self.producer.get() {
                        producer.poll(Duration::ZERO);
                    }
                    self.check_shutdown()?;
                }
                Err(error) => return Err(self.fault(doing, "", &error)),
            }
        }
    }

    /// Fails if the stage was asked to stop: what is not committed is left to the next start.
    pub(super) fn check_shutdown(&self) -> Result<(), Fault> {
        self.shutdown
            .check()
            .inspect_err(|_| self.shutdown.mark_undone())
    }

    /// The fault of a call that failed. `topic` is empty for a commit.
    pub(super) fn fault(
        &self,
        doing: impl Into<String>,
        topic: &str,
        failed: &KafkaError,
    ) -> Fault {
        let error = error_class::of(doing, failed, &self.clients.identity());
        match failed
            .rdkafka_error_code()
            .map_or(ErrorClass::Retriable, ErrorClass::of)
        {
            ErrorClass::Unauthorized => Fault::Fatal(error),
            ErrorClass::UnknownTopic if !topic.is_empty() => {
                self.missing_topic(topic).unwrap_or(Fault::Abortable(error))
            }
            ErrorClass::Record(rejection) => Fault::Rejected(rejection, error),
            ErrorClass::UnknownTopic | ErrorClass::Retriable => Fault::Abortable(error),
        }
    }
}
