//! How a tool reaches the cluster.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;

use crate::tool_client::{DEADLINE, LastError};

/// How long to wait for the first answer if no broker takes a connection: one may be starting.
const REFUSED: Duration = Duration::from_millis(1500);
/// How long a try lasts before the errors of the brokers are looked at.
const TRY: Duration = Duration::from_millis(250);

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

    /// The answer to the first request of a client, which is repeated until there is one.
    pub(crate) fn first_answer<T>(
        &self,
        client: &BaseConsumer<LastError>,
        request: impl Fn(Duration) -> KafkaResult<T>,
    ) -> KafkaResult<T> {
        let begun = Instant::now();
        loop {
            let error = match request(TRY) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // What happened to the connections is in the client's queue.
            let enough = 100;
            (0..enough).find(|_| client.poll(Duration::ZERO).is_none());
            let patience = match self.timeout {
                Some(timeout) => timeout,
                None if client.context().is_down() => REFUSED,
                None => DEADLINE,
            };
            if begun.elapsed() >= patience {
                return Err(error);
            }
            thread::sleep(TRY / 10);
        }
    }
}
