//! Sends records to topics by handle: [`RecordSender`].
//!
//! rdkafka names the topic of each record. librdkafka then copies the name, takes the lock of the
//! whole client and searches its topics.

use std::cell::RefCell;
use std::ffi::CString;
use std::fmt;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka_sys as sys;

/// librdkafka's `RD_KAFKA_PARTITION_UA`: the partitioner decides.
const ANY_PARTITION: i32 = -1;

/// A producer with the handles of the topics that it sends to.
pub struct RecordSender<C: ProducerContext + 'static> {
    /// A stage has few, so a search beats a map.
    topics: RefCell<Vec<(String, *mut sys::rd_kafka_topic_t)>>,
    /// Destroyed after the handles.
    producer: Arc<BaseProducer<C>>,
}

impl<C: ProducerContext + 'static> RecordSender<C> {
    /// A sender without handles yet.
    #[must_use]
    pub fn new(producer: Arc<BaseProducer<C>>) -> Self {
        RecordSender {
            topics: RefCell::default(),
            producer,
        }
    }

    /// Queues a record without headers. Without a partition the key decides. The timestamp is in
    /// milliseconds since the epoch, `None` is now.
    ///
    /// # Errors
    /// [`RDKafkaErrorCode::QueueFull`], or what makes every later record fail, too.
    pub fn send(
        &self,
        topic: &str,
        partition: Option<i32>,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), RDKafkaErrorCode> {
        let handle = self.handle(topic)?;
        let (key, key_size) = parts(key);
        let (value, value_size) = parts(value);
        // SAFETY: client and handle are valid until the drop. Each tag is followed by what
        // librdkafka reads for it: a pointer, an `int`, an `int32_t` or an `int64_t`, and pointer
        // and size of key and value. It copies both, as the flag says. A timestamp of 0 is now.
        let error = unsafe {
            use sys::rd_kafka_vtype_t as tag;
            sys::rd_kafka_producev(
                self.producer.client().native_ptr(),
                tag::RD_KAFKA_VTYPE_RKT,
                handle,
                tag::RD_KAFKA_VTYPE_PARTITION,
                partition.unwrap_or(ANY_PARTITION),
                tag::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                tag::RD_KAFKA_VTYPE_TIMESTAMP,
                timestamp.unwrap_or_default(),
                tag::RD_KAFKA_VTYPE_KEY,
                key,
                key_size,
                tag::RD_KAFKA_VTYPE_VALUE,
                value,
                value_size,
                tag::RD_KAFKA_VTYPE_END,
            )
        };
        match error {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            error => Err(error.into()),
        }
    }

    fn handle(&self, topic: &str) -> Result<*mut sys::rd_kafka_topic_t, RDKafkaErrorCode> {
        let mut topics = self.topics.borrow_mut();
        if let Some((_, handle)) = topics.iter().find(|(name, _)| name == topic) {
            return Ok(*handle);
        }
        let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        // SAFETY: the client is valid, and the name ends with a zero. Without a configuration the
        // topic has that of the client.
        let handle = unsafe {
            sys::rd_kafka_topic_new(
                self.producer.client().native_ptr(),
                name.as_ptr(),
                ptr::null_mut(),
            )
        };
        if handle.is_null() {
            return Err(RDKafkaErrorCode::InvalidTopic);
        }
        topics.push((topic.to_owned(), handle));
        Ok(handle)
    }
}

impl<C: ProducerContext + 'static> Deref for RecordSender<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for RecordSender<C> {
    fn drop(&mut self) {
        for (_, handle) in self.topics.get_mut().drain(..) {
            // SAFETY: `handle` has created it, and nobody else has it. The client still lives.
            unsafe { sys::rd_kafka_topic_destroy(handle) };
        }
    }
}

impl<C: ProducerContext + 'static> fmt::Debug for RecordSender<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = self.topics.borrow();
        let names = topics.iter().map(|(name, _)| name).collect::<Vec<_>>();
        f.debug_struct("RecordSender")
            .field("topics", &names)
            .finish_non_exhaustive()
    }
}

fn parts(bytes: Option<&[u8]>) -> (*const u8, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()))
}
