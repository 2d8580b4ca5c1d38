//! What a Kafka client reports of itself: [`ClientStatistics`].

/// A Kafka client of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// It reads the stage's inputs.
    Consumer,
    /// It writes outputs, state and dead letters.
    Producer,
}

impl Client {
    /// Both.
    pub const ALL: [Client; 2] = [Client::Consumer, Client::Producer];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Client::Consumer => "consumer",
            Client::Producer => "producer",
        }
    }
}

/// What a client has reported last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientStatistics {
    /// The brokers that it knows.
    pub brokers: Vec<BrokerConnection>,
    /// Records that wait to be sent.
    pub queued_records: u64,
    /// Their size in bytes.
    pub queued_bytes: u64,
    /// Bytes sent to all brokers.
    pub sent_bytes: u64,
    /// Bytes received from all brokers.
    pub received_bytes: u64,
    /// Requests that failed or timed out.
    pub request_errors: u64,
}

/// A client's connection to a broker.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerConnection {
    /// The broker's address, such as `10.42.0.250:9092`.
    pub address: String,
    /// Whether it is connected.
    pub is_up: bool,
    /// The average time between a request and its answer, in seconds. `None` if there was none.
    pub round_trip: Option<f64>,
}
