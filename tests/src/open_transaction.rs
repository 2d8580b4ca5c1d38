//! A transaction that somebody has left open: [`OpenTransaction`].

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::wait;

/// A transaction with a record in a topic. It is open until this is dropped, or for a quarter of an
/// hour.
pub struct OpenTransaction(BaseProducer);

impl OpenTransaction {
    /// Begins one.
    #[must_use]
    pub fn begin(brokers: &str, topic: &str) -> Self {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("transactional.id", topic)
            .set("transaction.timeout.ms", "900000")
            .create()
            .expect("the settings are valid");
        producer
            .init_transactions(wait::LONG)
            .and_then(|()| producer.begin_transaction())
            .unwrap_or_else(|error| panic!("beginning a transaction: {error}"));
        producer
            .send(BaseRecord::to(topic).key("key").payload("{}"))
            .unwrap_or_else(|(error, _)| panic!("producing to {topic}: {error}"));
        producer
            .flush(wait::LONG)
            .unwrap_or_else(|error| panic!("producing to {topic}: {error}"));
        OpenTransaction(producer)
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        let _ = self.0.abort_transaction(Duration::from_secs(10));
    }
}
