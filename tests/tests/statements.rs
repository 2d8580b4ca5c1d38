//! The statements about a log, checked on Kafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rivulet_core::log::Fault;
use rivulet_core::shutdown::Shutdown;
use rivulet_kafka::KafkaLog;
use rivulet_node::log_config;
use rivulet_pipeline::Pipeline;
use rivulet_simulation::statements::Broker;
use rivulet_tests::Kafka;
use rivulet_tests::records::{self, Record};

/// The broker that all tests share.
struct ApacheKafka {
    suffix: String,
}

impl ApacheKafka {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Not the suffix of a scenario on the same broker.
        ApacheKafka {
            suffix: format!(
                "-stated-{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            ),
        }
    }
}

impl Broker for ApacheKafka {
    type Log = KafkaLog;

    fn settings(&self) -> String {
        // Dead members are removed soon.
        format!(
            "[kafka]\nbrokers = \"{}\"\n\"session.timeout.ms\" = 6000\n\"max.poll.interval.ms\" = \
             6000\n\
             \"heartbeat.interval.ms\" = 500\n\"transaction.timeout.ms\" = 5000",
            Kafka::shared()
        )
    }

    fn suffix(&self) -> String {
        self.suffix.clone()
    }

    fn make_topics(&self, pipeline: &Pipeline) {
        for (name, topic) in &pipeline.topics {
            let settings = topic
                .config
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            records::create_topic_with(Kafka::shared(), name, topic.partitions, settings);
        }
    }

    fn open(&self, pipeline: &Pipeline, instance: &str) -> Result<KafkaLog, Fault> {
        let config = log_config(pipeline, &pipeline.stages[0], instance);
        KafkaLog::open(&config, &Shutdown::new(), &Arc::default())
    }

    fn write(&self, topic: &str, value: &str) {
        records::produce(Kafka::shared(), topic, &[Record::of(value)]);
    }

    fn read(&self, topic: &str, at_least: usize) -> Vec<String> {
        let text = |record: Record| {
            String::from_utf8(record.value.unwrap_or_default()).expect("it was text")
        };
        records::read(Kafka::shared(), topic, at_least)
            .into_iter()
            .map(text)
            .collect()
    }

    fn delete_records(&self, topic: &str, before: i64) {
        records::delete_records(Kafka::shared(), topic, 0, before);
    }

    fn kill(&self, log: KafkaLog) {
        // Nothing is closed. To the broker the process hangs, which is worse than dead.
        std::mem::forget(log);
    }
}

rivulet_simulation::statements!(ApacheKafka::new());
