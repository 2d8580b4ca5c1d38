//! The stage's producer: initialised, replaced, and its failed deliveries.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rivulet_core::error::Error;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::log::Fault;
use rivulet_core::metrics::TroubleKind;
use rivulet_core::reminder::{Reminder, lasting};
use rivulet_native::RecordSender;

use super::KafkaLog;
use crate::error_class::{self, is_retriable};
use crate::monitor::{ClientMonitor, FailedDelivery, StageProducer};
use crate::waits::{CALL_TIMEOUT, flush};

/// How long one attempt to initialise transactions waits before its failure is looked into.
const INIT_TIMEOUT: Duration = Duration::from_millis(20);
/// How long to wait for acknowledgements before it is looked whether any can come. A delivery that
/// has failed is noticed after this.
const FLUSH: Duration = Duration::from_millis(50);
/// The first wait for the coordinator to end a transaction.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

impl KafkaLog {
    pub(super) fn producer(&self) -> Result<&RecordSender<ClientMonitor>, Fault> {
        if let Some(producer) = self.producer.get() {
            return Ok(producer);
        }
        let producer = self.make_producer()?;
        Ok(self.producer.get_or_init(|| RecordSender::new(producer)))
    }

    /// A producer that is ready to send. A transactional one has fenced its predecessor.
    pub(super) fn make_producer(&self) -> Result<StageProducer, Fault> {
        self.initialise(self.clients.producer(&self.monitor).map_err(Fault::Fatal)?)
    }

    pub(super) fn initialise(&self, mut producer: StageProducer) -> Result<StageProducer, Fault> {
        if self.guarantee == Guarantee::AtLeastOnce {
            return Ok(producer);
        }
        let _waiting = self.monitor.waiting();
        let mut since = Instant::now();
        let mut reminder = Reminder::new();
        let mut pause = FIRST_PAUSE;
        loop {
            match producer.init_transactions(INIT_TIMEOUT) {
                Ok(()) => {
                    self.monitor.solved(TroubleKind::Coordinator);
                    return Ok(producer);
                }
                Err(error) if is_retriable(&error) => {
                    producer.poll(Duration::ZERO);
                    self.shutdown.check()?;
                    self.poll_group()?;
                    self.probe_brokers_with(Some(&producer));
                    if since.elapsed() > CALL_TIMEOUT * 5
                        && !self.monitor.has_unreachable_address()
                        && let Some(lasted) = reminder.due(&(), Instant::now())
                        && !self.warn_of_missing_coordinator(&producer, &error, lasted)
                    {
                        // No broker is reachable, so this is not about transactions.
                        since = Instant::now();
                        reminder.clear();
                    }
                    if self.monitor.take_concurrent_transaction() {
                        // The coordinator is still ending the transaction of the previous process.
                        // This client would retry after librdkafka's half a second. A new one asks
                        // at once.
                        drop(producer);
                        std::thread::sleep(pause);
                        pause = (pause * 2).min(CALL_TIMEOUT);
                        producer = self.clients.producer(&self.monitor).map_err(Fault::Fatal)?;
                    }
                }
                Err(error) => {
                    let error = error_class::of(
                        "initialising transactions",
                        &error,
                        &self.clients.identity(),
                    )
                    .or_help(
                        "if the cluster has no transactions, choose guarantee = \"at-least-once\"",
                    );
                    return Err(Fault::Fatal(error));
                }
            }
        }
    }

    /// Replaces a producer whose last commit may still be in flight for a second time. librdkafka
    /// repeats a commit when its connection breaks, and the request does not name its transaction,
    /// so the first copy could commit the next one. Initialising a new producer raises the epoch,
    /// and the brokers then reject requests with the old one.
    ///
    /// # Errors
    /// [Abortable](Fault::Abortable) for a stage without inputs. No group tells it that another
    /// process has replaced it, and a new producer would fence that process.
    pub(super) fn replace_if_repeated(&mut self) -> Result<(), Fault> {
        let Some(producer) = self.producer.get() else {
            return Ok(());
        };
        poll_all(producer);
        if !(self.may_have_repeated.take() || producer.client().context().may_have_repeated()) {
            return Ok(());
        }
        if self.inputs.is_empty() {
            return Err(Fault::Abortable(Error::new(
                "committing",
                "the request may have been sent twice",
            )));
        }
        tracing::debug!("the commit may have been sent twice, replacing the producer");
        self.producer = OnceCell::new();
        Ok(())
    }

    /// Warns that the transaction coordinator does not answer. A small cluster may be unable to
    /// create the topic `__transaction_state`. Returns whether a broker is reachable.
    fn warn_of_missing_coordinator(
        &self,
        producer: &BaseProducer<ClientMonitor>,
        error: &KafkaError,
        lasted: Duration,
    ) -> bool {
        let lasted = lasting(lasted);
        let Ok(metadata) = producer.client().fetch_metadata(None, CALL_TIMEOUT) else {
            self.monitor.broker_unreachable(&error.to_string());
            return false;
        };
        self.monitor.broker_reachable();
        let brokers = metadata.brokers().len();
        let has_topic = metadata
            .topics()
            .iter()
            .any(|topic| topic.name() == "__transaction_state");
        self.monitor.report(
            TroubleKind::Coordinator,
            &format!("transaction coordinator not available: {error}"),
        );
        if has_topic {
            tracing::warn!("transaction coordinator not available{lasted}, waiting: {error}");
        } else {
            tracing::error!(
                "the cluster cannot create the topic __transaction_state{lasted}, waiting: \
                 it has {brokers} broker(s), and transaction.state.log.replication.factor in the \
                 brokers' server.properties requires more\n  help: set \
                 transaction.state.log.replication.factor and transaction.state.log.min.isr to at \
                 most {brokers}, start more brokers, or choose guarantee = \"at-least-once\""
            );
        }
        true
    }

    /// Waits until everything that was sent is acknowledged.
    pub(super) fn wait_for_deliveries(&self) -> Result<(), Fault> {
        let Some(producer) = self.producer.get() else {
            return Ok(());
        };
        let _waiting = self.monitor.waiting();
        let mut last_probe = Instant::now();
        while !flush(producer, FLUSH) {
            self.check_delivery()?;
            self.probe_brokers();
            // Brokers that answer acknowledge what was sent, and then it is committed.
            if self.shutdown.is_stopping() && self.monitor.is_unreachable() {
                self.check_shutdown()?;
            }
            if last_probe.elapsed() > CALL_TIMEOUT {
                self.probe_topics()?;
                last_probe = Instant::now();
            }
        }
        self.check_delivery()
    }

    pub(super) fn check_delivery(&self) -> Result<(), Fault> {
        let Some(producer) = self.producer.get() else {
            return Ok(());
        };
        let failed = producer.client().context().take_failed_delivery();
        failed.map_or(Ok(()), |failed| Err(self.delivery_fault(producer, &failed)))
    }

    /// The fault of a failed delivery.
    fn delivery_fault(
        &self,
        producer: &BaseProducer<ClientMonitor>,
        failed: &FailedDelivery,
    ) -> Fault {
        let FailedDelivery {
            topic, partition, ..
        } = failed;
        let doing = format!("sending to {topic} [{partition}]");
        // Why the transaction has failed says more than that records were purged. librdkafka
        // returns it from any transactional call.
        if failed.is_purged()
            && self.in_transaction.get()
            && let Err(why) = producer.begin_transaction()
            && why.rdkafka_error_code() != Some(RDKafkaErrorCode::State)
        {
            return self.fault(doing, topic, &why);
        }
        if failed.code == RDKafkaErrorCode::MessageSizeTooLarge && failed.count > 1 {
            self.clients.halve_batches();
        }
        self.fault(doing, topic, &KafkaError::MessageProduction(failed.code))
    }
}

/// Runs all callbacks that a producer has queued. Each poll without a wait runs one.
fn poll_all(producer: &BaseProducer<ClientMonitor>) {
    let monitor = producer.client().context();
    loop {
        let count = monitor.event_count();
        producer.poll(Duration::ZERO);
        if monitor.event_count() == count {
            return;
        }
    }
}
