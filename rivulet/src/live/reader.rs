//! Reads the topics that are watched: [`read`].

use std::collections::BTreeMap;
use std::time::Duration;

use rivulet_core::error::{Kind, Result};
use rivulet_core::format::Format;
use rivulet_core::shutdown::Shutdown;
use rivulet_kafka::{Connection, OwnedRecord, ReadFrom, Tail};

use super::readings::LiveReadings;
use super::{Live, pause};

/// How long to wait for a record before a stop is looked for.
const TICK: Duration = Duration::from_millis(100);
/// How long to wait until the cluster is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// How many records are added at once, so that those who look do not wait for long.
const BATCH: usize = 256;

/// Reads topics until it is asked to stop. A topic that does not exist and brokers that are away
/// are said where everybody looks, and asked for again.
pub(super) fn read(connection: &Connection, live: &Live, from: ReadFrom, shutdown: &Shutdown) {
    let mut reader = Reader {
        connection,
        formats: live.take_formats(),
        live,
        from,
        next: BTreeMap::new(),
    };
    while !shutdown.is_stopping() {
        let Err(error) = reader.follow(shutdown) else {
            return;
        };
        if error.kind() == Kind::Missing {
            // The next topic of this name is another one.
            reader.next.clear();
            live.readings().clear();
        }
        live.set_reading_error(Some(error.to_string()));
        pause(PAUSE, shutdown);
    }
}

struct Reader<'r> {
    connection: &'r Connection,
    /// By topic.
    formats: Vec<Box<dyn Format>>,
    live: &'r Live,
    from: ReadFrom,
    /// The offset after the last record that was read, by topic and partition. What is read again
    /// after an outage is known.
    next: BTreeMap<(usize, i32), i64>,
}

impl Reader<'_> {
    fn follow(&mut self, shutdown: &Shutdown) -> Result<()> {
        let topics: Vec<String> = {
            let readings = self.live.readings();
            let topics = readings.topics().iter();
            topics.map(|topic| topic.in_kafka.clone()).collect()
        };
        let mut tail = Tail::new(self.connection, &topics, self.from)?;
        self.live.set_reading_error(None);
        // From now on nothing is left out.
        if self.from == ReadFrom::Latest {
            self.from = ReadFrom::Since(jiff::Timestamp::now().as_millisecond());
        }
        let mut batch = Vec::with_capacity(BATCH);
        while !shutdown.is_stopping() {
            let mut wait = TICK;
            while batch.len() < BATCH
                && let Some(record) = tail.next(wait)?
            {
                batch.push(record);
                wait = Duration::ZERO;
            }
            let mut readings = self.live.readings();
            for record in batch.drain(..) {
                self.take(&record, &mut readings)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, record: &OwnedRecord, readings: &mut LiveReadings) -> Result<()> {
        let record = record.fields();
        let next = self
            .next
            .entry((record.topic, record.partition))
            .or_default();
        if record.offset < *next {
            return Ok(());
        }
        readings.take(&record, &*self.formats[record.topic])?;
        *next = record.offset + 1;
        Ok(())
    }
}
