//! Reads the last topic, and remembers when each reading arrived: [`Follower`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::Message;

use crate::outcome::Outcome;
use crate::readings::{self, Received};
use crate::running::Running;

/// A reading that arrived: its number, and when.
pub(crate) type Arrival = (u64, Instant);

/// A thread that reads committed records as soon as they can be read.
pub(crate) struct Follower {
    count: Arc<AtomicU64>,
    last: Arc<Mutex<Option<Instant>>>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Vec<Arrival>>>,
}

impl Follower {
    /// Starts at the first record of a topic.
    pub(crate) fn start(
        brokers: &str,
        topic: &str,
        partitions: i32,
        sensors: u64,
    ) -> Outcome<Self> {
        let client = readings::reader(brokers, topic, partitions, &[("fetch.wait.max.ms", "10")])?;
        let count = Arc::new(AtomicU64::new(0));
        let last = Arc::new(Mutex::new(None));
        let is_over = Arc::new(AtomicBool::new(false));
        let (counted, seen, stop) = (count.clone(), last.clone(), is_over.clone());
        let thread = thread::spawn(move || {
            let mut arrivals = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let Some(record) = client.poll(Duration::from_millis(50)) else {
                    continue;
                };
                let record = record?;
                let now = Instant::now();
                let received = record.payload().and_then(Received::parse);
                let index = received.and_then(|received| received.index(sensors));
                arrivals.extend(index.map(|index| (index, now)));
                if let Ok(mut last) = seen.lock() {
                    *last = Some(now);
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(arrivals)
        });
        Ok(Follower {
            count,
            last,
            is_over,
            thread,
        })
    }

    /// How many records have arrived.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// When the last record arrived.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.last.lock().ok().and_then(|last| *last)
    }

    /// Waits until so many have arrived. The stages must not end meanwhile.
    pub(crate) fn wait_for(
        &self,
        count: u64,
        limit: Duration,
        stages: &mut [Running],
    ) -> Outcome<()> {
        let begun = Instant::now();
        while self.count() < count {
            for stage in &mut *stages {
                stage.check()?;
            }
            if begun.elapsed() > limit {
                let arrived = self.count();
                return Err(format!("after {limit:?} {arrived} of {count} have arrived").into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Stops, and returns all that arrived.
    pub(crate) fn stop(self) -> Outcome<Vec<Arrival>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the follower panicked")?
    }
}
