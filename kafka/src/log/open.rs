//! Opening a stage's log: topics are found, the predecessor is fenced, the group is joined.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use rdkafka::consumer::Consumer;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::log::Fault;
use rivulet_core::metrics::Metrics;
use rivulet_core::shutdown::Shutdown;
use rivulet_native::RecordSender;

use super::KafkaLog;
use crate::config::Clients;
use crate::log_config::LogConfig;
use crate::monitor::ClientMonitor;
use crate::reader::Reader;
use crate::trust::Trust;
use crate::waits::CALL_TIMEOUT;

impl KafkaLog {
    /// Connects a stage: waits for a broker, checks that the stage's topics exist, fences an older
    /// process of the same instance and joins the group. What it waits for is in the metrics.
    ///
    /// # Errors
    /// If librdkafka rejects a property, a topic does not exist, or the stage is asked to stop
    /// while it waits.
    pub fn open(
        config: &LogConfig,
        shutdown: &Shutdown,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Fault> {
        let clients = Clients::new(config);
        let topic = config.topics.first().cloned().unwrap_or_default();
        let asking = clients.clone();
        let monitor = ClientMonitor::new(
            &config.stage,
            config.brokers(),
            Trust::new(|name| config.properties.get(name).cloned()),
            move |monitor| {
                let client = asking.observer(monitor).ok();
                let answer = client
                    .and_then(|client| client.fetch_metadata(Some(&topic), CALL_TIMEOUT).ok());
                answer.is_some_and(|answer| !answer.brokers().is_empty())
            },
            shutdown.clone(),
            metrics.clone(),
        );
        let mut log = KafkaLog {
            clients,
            inputs: config.inputs.clone(),
            topics: config.topics.clone(),
            missing_since: Cell::new(None),
            guarantee: config.guarantee,
            shutdown: shutdown.clone(),
            monitor,
            consumer: None,
            records: None,
            is_fenced: Cell::new(false),
            producer: OnceCell::new(),
            reader: None,
            in_transaction: Cell::new(false),
            may_have_repeated: Cell::new(false),
            sent_since_poll: Cell::new(0),
        };
        if log.guarantee == Guarantee::ExactlyOnce && !log.inputs.is_empty() {
            log.clients.warn_of_long_transactions();
        }
        // All clients connect at the same time, while the first of them looks up the topics.
        if !log.inputs.is_empty() {
            log.consumer = Some(log.clients.consumer(&log.monitor).map_err(Fault::Fatal)?);
        }
        if !log.inputs.is_empty() || config.has_changelog {
            log.reader = Some(Reader::new(&log.clients, &log.monitor, shutdown)?);
        }
        let producer = if config.has_outputs {
            Some(log.clients.producer(&log.monitor).map_err(Fault::Fatal)?)
        } else {
            None
        };
        log.wait_for_topics(producer.as_deref())?;
        if let Some(producer) = producer {
            log.producer = OnceCell::from(RecordSender::new(log.initialise(producer)?));
        }
        if let Some(consumer) = &log.consumer {
            log.subscribe(consumer)?;
        }
        Ok(log)
    }
}
