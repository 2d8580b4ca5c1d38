//! Reads records in batches: [`RecordQueue`].
//!
//! rdkafka returns one event for each record, which costs a lock, an allocation and six calls.
//! librdkafka can return many records in one call, but not beside events of the group, which
//! rdkafka needs. So the records of the assigned partitions get a queue of their own.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString};
use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use crate::{headers, milliseconds};

/// How many records one call takes at most.
const BATCH: usize = 128;
/// How often partitions are routed again while nothing comes.
const ROUTED: Duration = Duration::from_millis(50);

/// The records of a consumer's partitions. It ends with their assignment: what it holds by then is
/// dropped with it, and no record of an earlier assignment can come later.
pub struct RecordQueue<C: ConsumerContext + 'static> {
    queue: *mut sys::rd_kafka_queue_t,
    /// What the last call has returned, the next record at the end.
    batch: RefCell<Vec<*mut sys::rd_kafka_message_t>>,
    /// The names of the topics.
    topics: Vec<CString>,
    /// librdkafka's pointer to the topic of the last record, and the topic's index.
    last_topic: Cell<(*const sys::rd_kafka_topic_t, usize)>,
    /// The index of the topic and the number of each partition.
    partitions: Vec<(usize, i32)>,
    /// When the partitions were last routed to the queue.
    routed: Cell<Instant>,
    /// Destroyed after the queue.
    consumer: Arc<BaseConsumer<C>>,
}

impl<C: ConsumerContext + 'static> RecordQueue<C> {
    /// A queue for the records of `partitions` of these topics: the index of a topic, and a
    /// partition's number. It is made before they are assigned, so that no record of them comes to
    /// [`BaseConsumer::poll`]. That must be called as before, for the events of the group.
    pub fn new<'t>(
        consumer: Arc<BaseConsumer<C>>,
        topics: impl IntoIterator<Item = &'t str>,
        partitions: impl IntoIterator<Item = (usize, i32)>,
    ) -> Self {
        // No topic has a name with a zero byte, and an empty one gets no records.
        let name = |topic| CString::new(topic).unwrap_or_default();
        let topics: Vec<CString> = topics.into_iter().map(name).collect();
        // SAFETY: the client is not destroyed before the queue, because that keeps it.
        let queue = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let queue = RecordQueue {
            queue,
            batch: RefCell::new(Vec::with_capacity(BATCH)),
            topics,
            partitions: partitions.into_iter().collect(),
            last_topic: Cell::new((ptr::null(), 0)),
            routed: Cell::new(Instant::now()),
            consumer,
        };
        queue.route();
        queue
    }

    /// Lets the queues of the partitions forward to this one, with what they hold.
    ///
    /// librdkafka stops an earlier assignment in a thread of its own, some time later. Then it also
    /// stops the forwarding of a partition that is assigned again meanwhile. So this is repeated.
    fn route(&self) {
        self.routed.set(Instant::now());
        let client = self.consumer.client().native_ptr();
        for (topic, partition) in &self.partitions {
            let topic = self.topics[*topic].as_ptr();
            // SAFETY: client and queue are valid, and the name ends with a zero. The queue of the
            // partition is given back at once. librdkafka counts what forwards to a queue as its
            // user.
            unsafe {
                let from = sys::rd_kafka_queue_get_partition(client, topic, *partition);
                if !from.is_null() {
                    sys::rd_kafka_queue_forward(from, self.queue);
                    sys::rd_kafka_queue_destroy(from);
                }
            }
        }
    }

    /// Whether the next record is here already.
    pub fn has_next(&self) -> bool {
        !self.batch.borrow().is_empty()
    }

    /// The next record, or an error of a partition. Waits for at most `wait`. `None` if nothing
    /// came in time.
    ///
    /// # Errors
    /// What librdkafka reports in place of a record.
    pub fn next(&self, wait: Duration) -> Option<Result<BatchRecord<'_>, RDKafkaErrorCode>> {
        let mut batch = self.batch.borrow_mut();
        if batch.is_empty() {
            self.fill(&mut batch, Duration::ZERO, BATCH);
            if batch.is_empty() && !wait.is_zero() {
                if self.routed.get().elapsed() > ROUTED {
                    self.route();
                }
                // A call waits until it has as many records as it may return, or for all of its
                // time. So only one record is waited for.
                self.fill(&mut batch, wait, 1);
            }
        }
        let message = batch.pop()?;
        let record = BatchRecord {
            message,
            queue: PhantomData,
        };
        // SAFETY: librdkafka returns valid messages, and `record` destroys this one later.
        match unsafe { (*message).err } {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Some(Ok(record)),
            error => Some(Err(error.into())),
        }
    }

    /// Takes at most `count` records. `batch` is empty.
    fn fill(&self, batch: &mut Vec<*mut sys::rd_kafka_message_t>, wait: Duration, count: usize) {
        // SAFETY: the queue is valid until the drop. librdkafka writes at most `count` pointers,
        // which the vector has room for, and returns how many, or −1.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(
                self.queue,
                milliseconds(wait),
                batch.as_mut_ptr(),
                count.min(batch.capacity()),
            );
            batch.set_len(usize::try_from(taken).unwrap_or_default());
        }
        batch.reverse();
    }

    /// The index of a record's topic.
    pub fn topic(&self, record: &BatchRecord<'_>) -> usize {
        // SAFETY: the message is valid as long as the record.
        let topic = unsafe { (*record.message).rkt };
        let (last, index) = self.last_topic.get();
        if ptr::eq(last, topic) {
            return index;
        }
        // SAFETY: a record holds its topic, and a topic its name, which ends with a zero.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(topic)) };
        let known = self
            .topics
            .iter()
            .position(|topic| topic.as_c_str() == name);
        let index = known.unwrap_or_default();
        self.last_topic.set((topic, index));
        index
    }
}

impl<C: ConsumerContext + 'static> Drop for RecordQueue<C> {
    fn drop(&mut self) {
        for message in self.batch.get_mut().drain(..) {
            // SAFETY: messages in the batch are not destroyed yet, and nobody else has them.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
        // SAFETY: it was created in `new`. Partitions that still forward to it keep it alive.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) };
    }
}

impl<C: ConsumerContext + 'static> fmt::Debug for RecordQueue<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordQueue")
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

/// A record of a [`RecordQueue`], in librdkafka's memory.
pub struct BatchRecord<'q> {
    message: *mut sys::rd_kafka_message_t,
    /// The client is destroyed after its messages.
    queue: PhantomData<&'q ()>,
}

impl BatchRecord<'_> {
    /// Its partition's number.
    #[must_use]
    pub fn partition(&self) -> i32 {
        // SAFETY: the message is valid until the drop.
        unsafe { (*self.message).partition }
    }

    /// Its offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        // SAFETY: the message is valid until the drop.
        unsafe { (*self.message).offset }
    }

    /// Its timestamp in milliseconds since the epoch, −1 if it has none.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid until the drop, and the out-pointer is a local variable.
        unsafe { sys::rd_kafka_message_timestamp(self.message, &raw mut kind) }
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        // SAFETY: the message is valid until the drop, and keeps its key as long.
        unsafe { bytes((*self.message).key, (*self.message).key_len) }
    }

    /// Its value; `None` for a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        // SAFETY: the message is valid until the drop, and keeps its value as long.
        unsafe { bytes((*self.message).payload, (*self.message).len) }
    }

    /// All its headers, as [`headers::read`] reads them.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        self.native_headers().map(headers::all).unwrap_or_default()
    }

    /// The value of the last header of this name, as [`headers::last`] finds it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        // The headers belong to the message.
        self.native_headers()
            .and_then(|headers| headers::value_of(headers, name))
    }

    fn native_headers(&self) -> Option<*const sys::rd_kafka_headers_t> {
        let mut found = ptr::null_mut();
        // SAFETY: the message is valid until the drop, and the out-pointer is a local variable.
        let error = unsafe { sys::rd_kafka_message_headers(self.message, &raw mut found) };
        let has_some = error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        (has_some && !found.is_null()).then_some(found.cast_const())
    }
}

impl Drop for BatchRecord<'_> {
    fn drop(&mut self) {
        // SAFETY: it was taken out of the batch, so nobody else has it.
        unsafe { sys::rd_kafka_message_destroy(self.message) };
    }
}

impl fmt::Debug for BatchRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchRecord")
            .field("partition", &self.partition())
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}

/// # Safety
/// `start` is null, or points to `size` bytes that live as long as the result.
unsafe fn bytes<'m>(start: *const std::ffi::c_void, size: usize) -> Option<&'m [u8]> {
    // SAFETY: see above.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), size) })
}
