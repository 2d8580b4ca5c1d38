//! The stage's topics: whether they exist, and whether a broker answers for them.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::producer::{BaseProducer, Producer};
use rivulet_core::error::{Error, Kind};
use rivulet_core::log::Fault;
use rivulet_core::metrics::TroubleKind;

use super::KafkaLog;
use crate::error_class::NO_TOPIC;
use crate::monitor::ClientMonitor;
use crate::waits::{CALL_TIMEOUT, TOPIC_GRACE};

impl KafkaLog {
    /// Waits until a broker answers and all topics exist.
    pub(super) fn wait_for_topics(
        &self,
        producer: Option<&BaseProducer<ClientMonitor>>,
    ) -> Result<(), Fault> {
        let mut missing_since = None;
        for topic in &self.topics {
            loop {
                let answer = self.metadata(topic, producer, CALL_TIMEOUT);
                // Runs the callbacks about connections. Nothing is subscribed yet.
                match (&self.consumer, producer) {
                    (Some(consumer), _) => _ = consumer.poll(Duration::ZERO),
                    (None, producer) => _ = producer.map(|producer| producer.poll(Duration::ZERO)),
                }
                self.shutdown.check()?;
                let error = match &answer {
                    Ok(metadata) => metadata.topics().first().and_then(MetadataTopic::error),
                    Err(error) => {
                        self.monitor.broker_unreachable(&error.to_string());
                        continue;
                    }
                };
                self.monitor.broker_reachable();
                match error.map(RDKafkaErrorCode::from) {
                    None => {
                        self.monitor.solved(TroubleKind::Topic);
                        break;
                    }
                    Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                        let error =
                            Error::new(format!("looking for the topic {topic}"), "not authorized")
                                .help("allow this user to read and write it")
                                .of_kind(Kind::Unauthorized);
                        return Err(Fault::Fatal(error));
                    }
                    Some(code) => {
                        let since = *missing_since.get_or_insert_with(Instant::now);
                        self.monitor
                            .report(TroubleKind::Topic, &format!("the topic {topic}: {code}"));
                        if since.elapsed() > TOPIC_GRACE {
                            let error = Error::new(format!("looking for the topic {topic}"), code)
                                .help(NO_TOPIC)
                                .of_kind(Kind::Missing);
                            return Err(Fault::Fatal(error));
                        }
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            }
        }
        Ok(())
    }

    /// The metadata of a topic, fetched with the consumer or else the producer.
    pub(super) fn metadata(
        &self,
        topic: &str,
        producer: Option<&BaseProducer<ClientMonitor>>,
        wait: Duration,
    ) -> Result<Metadata, KafkaError> {
        match (&self.consumer, producer) {
            (Some(consumer), _) => consumer.fetch_metadata(Some(topic), wait),
            (None, Some(producer)) => producer.client().fetch_metadata(Some(topic), wait),
            (None, None) => Err(KafkaError::MetadataFetch(
                RDKafkaErrorCode::BrokerNotAvailable,
            )),
        }
    }

    /// Asks whether a broker answers, if there is a reason to.
    pub(super) fn probe_brokers(&self) {
        self.probe_brokers_with(self.producer.get().map(|sender| &**sender));
    }

    pub(super) fn probe_brokers_with(&self, producer: Option<&BaseProducer<ClientMonitor>>) {
        if !self.monitor.probe_due() {
            return;
        }
        // Any one existing topic will do. The metadata of all topics would cost more.
        let topic = self.topics.first().map_or("", String::as_str);
        match self.metadata(topic, producer, CALL_TIMEOUT / 2) {
            Ok(metadata) => {
                self.monitor.broker_reachable();
                let brokers = metadata.brokers().iter();
                let addresses =
                    brokers.map(|broker| format!("{}:{}", broker.host(), broker.port()));
                self.monitor
                    .check_advertised(&addresses.collect::<Vec<_>>());
            }
            Err(error) => self.monitor.broker_unreachable(&error.to_string()),
        }
    }

    /// Checks whether the stage's topics still exist. Fails if one has been missing for
    /// [`TOPIC_GRACE`].
    pub(super) fn probe_topics(&self) -> Result<(), Fault> {
        for topic in &self.topics {
            match self.metadata(
                topic,
                self.producer.get().map(|sender| &**sender),
                CALL_TIMEOUT,
            ) {
                Ok(metadata) => {
                    let error = metadata
                        .topics()
                        .first()
                        .and_then(MetadataTopic::error)
                        .map(RDKafkaErrorCode::from);
                    if error == Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
                        return self.missing_topic(topic).map_or(Ok(()), Err);
                    }
                }
                Err(error) => {
                    self.monitor.broker_unreachable(&error.to_string());
                    return Ok(());
                }
            }
        }
        self.missing_since.set(None);
        self.monitor.broker_reachable();
        self.monitor.solved(TroubleKind::Topic);
        Ok(())
    }

    /// Records that a topic is missing. `None` within [`TOPIC_GRACE`], then a fatal fault.
    pub(super) fn missing_topic(&self, topic: &str) -> Option<Fault> {
        let since = self.missing_since.get().unwrap_or_else(Instant::now);
        self.missing_since.set(Some(since));
        self.monitor.report(
            TroubleKind::Topic,
            &format!("the topic {topic} does not exist"),
        );
        if since.elapsed() <= TOPIC_GRACE {
            return None;
        }
        let error = Error::new(
            format!("sending to {topic}"),
            RDKafkaErrorCode::UnknownTopicOrPartition,
        )
        .of_kind(Kind::Missing);
        Some(Fault::Fatal(error.help(format!(
            "the topic existed when the stage started, and was deleted since; {NO_TOPIC}. \
             Uncommitted records are read again at the next start"
        ))))
    }
}
