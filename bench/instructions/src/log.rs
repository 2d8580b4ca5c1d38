//! A log in memory that costs next to nothing: [`MemoryLog`].

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use rivulet_core::log::{
    ConsumerRecord, Event, Fault, Header, Log, OffsetAndMetadata, ProducerRecord, Record,
    RestoreCallback, TopicPartition, Watermarks,
};

const SENSORS: u64 = 10;
/// How many different records there are. They come again and again.
const DIFFERENT: u64 = 1000;
const PARTITION: TopicPartition = TopicPartition {
    topic: 0,
    partition: 0,
};

/// One partition with many records. What is sent is dropped.
pub(crate) struct MemoryLog {
    contents: Vec<Content>,
    end: i64,
    is_assigned: Cell<bool>,
    next: Cell<i64>,
    /// The time goes on only while the stage waits.
    now: Cell<Instant>,
}

/// A key and a value.
struct Content {
    key: String,
    value: String,
}

/// A record of the log.
pub(crate) struct MemoryRecord<'a> {
    content: &'a Content,
    offset: i64,
}

impl MemoryLog {
    /// A log of this many records.
    pub(crate) fn new(records: i64) -> Self {
        MemoryLog {
            contents: (0..DIFFERENT).map(content).collect(),
            end: records,
            is_assigned: Cell::new(false),
            next: Cell::new(0),
            now: Cell::new(Instant::now()),
        }
    }

    fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }
}

/// A reading with as many digits as a sensor's noise has.
fn content(index: u64) -> Content {
    // The multiplier of Knuth's MMIX spreads the values.
    let spread = index.wrapping_mul(6_364_136_223_846_793_005) >> 11;
    let value = -20.0 + 60.0 * spread as f64 / (1_u64 << 53) as f64;
    let key = format!("sensor{}", index % SENSORS);
    let (seq, time) = (index / SENSORS, 1_325_376_000_000 + index);
    Content {
        value: format!(
            r#"{{"sensor":"{key}","seq":{seq},"time":{time},"value":{value},"unit":"celsius"}}"#
        ),
        key,
    }
}

impl Record for MemoryRecord<'_> {
    fn fields(&self) -> ConsumerRecord<'_> {
        ConsumerRecord {
            topic: PARTITION.topic,
            partition: PARTITION.partition,
            offset: self.offset,
            // At full speed about a hundred records enter in a millisecond.
            timestamp: self.offset / 100,
            key: Some(self.content.key.as_bytes()),
            value: Some(self.content.value.as_bytes()),
            headers: &(),
        }
    }

    fn headers(&self) -> Vec<Header> {
        Vec::new()
    }
}

impl Log for MemoryLog {
    type Record<'a> = MemoryRecord<'a>;

    fn poll(&self, wait: Duration) -> Result<Event<MemoryRecord<'_>>, Fault> {
        if !self.is_assigned.replace(true) {
            return Ok(Event::Assigned(vec![PARTITION]));
        }
        let offset = self.next.get();
        if offset == self.end {
            self.pass(wait);
            return Ok(Event::Timeout);
        }
        self.next.set(offset + 1);
        // Offsets are not negative.
        let index = offset.unsigned_abs() % DIFFERENT;
        Ok(Event::Record(MemoryRecord {
            content: &self.contents[index as usize],
            offset,
        }))
    }

    fn assign(&mut self, _: &[(TopicPartition, i64)]) -> Result<(), Fault> {
        Ok(())
    }

    fn unassign(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn send(&self, record: &ProducerRecord<'_>) -> Result<(), Fault> {
        black_box(record);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn flush_unless_transactional(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn commit(&mut self, offsets: &[OffsetAndMetadata]) -> Result<(), Fault> {
        black_box(offsets);
        Ok(())
    }

    fn abort(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn committed(&mut self, _: &[TopicPartition]) -> Result<Vec<OffsetAndMetadata>, Fault> {
        Ok(Vec::new())
    }

    fn watermarks(&mut self, _: &str, partitions: &[i32]) -> Result<Vec<Watermarks>, Fault> {
        let watermarks = |partition: &i32| Watermarks {
            partition: *partition,
            low: 0,
            high: self.end,
            partition_count: 1,
        };
        Ok(partitions.iter().map(watermarks).collect())
    }

    fn restore(&mut self, _: &str, _: &[i32], _: RestoreCallback<'_>) -> Result<(), Fault> {
        Ok(())
    }

    fn at_end(&mut self, _: &[(TopicPartition, Option<i64>)]) -> Result<bool, Fault> {
        Ok(self.next.get() == self.end)
    }

    fn now(&self) -> Instant {
        self.now.get()
    }

    fn sleep(&self, time: Duration) {
        self.pass(time);
    }
}
