//! Records as librdkafka has them.

use std::fmt;

use rdkafka::message::{Header, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::BaseRecord;
use rdkafka::util::IntoOpaque;
use rivulet_core::log::{ConsumerRecord, Headers, ProducerRecord, Record};
use rivulet_native::BatchRecord;

/// A record in librdkafka's memory.
pub struct KafkaRecord<'a> {
    topic: usize,
    record: BatchRecord<'a>,
}

impl<'a> KafkaRecord<'a> {
    /// A record of an input, by the input's index.
    pub(crate) fn new(topic: usize, record: BatchRecord<'a>) -> Self {
        KafkaRecord { topic, record }
    }
}

impl Record for KafkaRecord<'_> {
    fn fields(&self) -> ConsumerRecord<'_> {
        ConsumerRecord {
            topic: self.topic,
            partition: self.record.partition(),
            offset: self.record.offset(),
            timestamp: self.record.timestamp(),
            key: self.record.key(),
            value: self.record.value(),
            headers: self,
        }
    }

    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        self.record.headers()
    }
}

impl Headers for KafkaRecord<'_> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.record.header(name)
    }
}

impl fmt::Debug for KafkaRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}

/// A record, with the index of its topic.
#[derive(Debug)]
pub struct OwnedRecord {
    topic: usize,
    message: OwnedMessage,
}

impl OwnedRecord {
    /// A record of the topic with this index.
    pub(crate) fn new(topic: usize, message: OwnedMessage) -> Self {
        OwnedRecord { topic, message }
    }

    /// Its fields, borrowed.
    #[must_use]
    pub fn fields(&self) -> ConsumerRecord<'_> {
        fields(self.topic, &self.message, self)
    }

    /// Its headers, copied.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let headers = self.message.headers();
        headers
            .map(|headers| rivulet_native::headers::read(headers.as_borrowed()))
            .unwrap_or_default()
    }
}

impl Headers for OwnedRecord {
    fn header(&self, name: &str) -> Option<&[u8]> {
        let headers = self.message.headers();
        headers.and_then(|headers| rivulet_native::headers::last(headers.as_borrowed(), name))
    }
}

/// The fields of a record of the topic with this index.
pub(crate) fn fields<'a>(
    topic: usize,
    message: &'a impl Message,
    headers: &'a dyn Headers,
) -> ConsumerRecord<'a> {
    ConsumerRecord {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key(),
        value: message.payload(),
        headers,
    }
}

/// A record as a producer takes it.
pub(crate) fn base_record<'a>(record: &ProducerRecord<'a>) -> BaseRecord<'a, [u8], [u8]> {
    marked_record(record, ())
}

/// The same with a mark that comes back with the report of its delivery.
pub(crate) fn marked_record<'a, M: IntoOpaque>(
    record: &ProducerRecord<'a>,
    mark: M,
) -> BaseRecord<'a, [u8], [u8], M> {
    let mut message = BaseRecord::with_opaque_to(record.topic, mark);
    (message.key, message.payload) = (record.key, record.value);
    (message.partition, message.timestamp) = (record.partition, record.timestamp);
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let add = |headers: OwnedHeaders, (key, value): &(String, Option<Vec<u8>>)| {
            headers.insert(Header {
                key,
                value: value.as_ref(),
            })
        };
        message.headers = Some(record.headers.iter().fold(headers, add));
    }
    message
}
