//! An embedded broker, for demonstrations and tests without Kafka.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rivulet_core::error::{Error, Result};

/// An embedded broker: the mock cluster of librdkafka.
///
/// It has topics, groups and idempotent producers, but readers see the records of open
/// transactions. What runs on it therefore runs at-least-once.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl EmbeddedBroker {
    /// Starts a broker on a free port of the loopback interface.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start() -> Result<Self> {
        let cluster = MockCluster::new(1)
            .map_err(|error| Error::new("starting the embedded broker", error))?;
        Ok(EmbeddedBroker { cluster })
    }

    /// Its address, as HOST:PORT.
    #[must_use]
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        self.cluster
            .create_topic(name, partitions, 1)
            .map_err(|error| {
                let doing = format!("creating the topic {name} on the embedded broker");
                Error::new(doing, error)
            })
    }
}
