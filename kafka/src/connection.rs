//! How a tool reaches the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

/// How a tool reaches the cluster: the properties of its clients, and how long it waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connection {
    /// librdkafka's properties.
    pub properties: BTreeMap<String, String>,
    /// How long to wait for the first answer. By default that is ten seconds, and less than two if
    /// no broker takes a connection.
    pub timeout: Option<Duration>,
}

impl From<BTreeMap<String, String>> for Connection {
    fn from(properties: BTreeMap<String, String>) -> Self {
        Connection {
            properties,
            timeout: None,
        }
    }
}

impl Connection {
    /// The addresses of the bootstrap brokers.
    #[must_use]
    pub fn brokers(&self) -> &str {
        self.properties
            .get("bootstrap.servers")
            .map_or("", String::as_str)
    }
}
