//! Sends readings at an exact rate: [`Pacer`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::producer::Producer;

use crate::outcome::Outcome;
use crate::readings;

/// A thread that sends readings, each at its time. What is late is sent at once, so the rate stays.
pub(crate) struct Pacer {
    first: u64,
    sent: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Vec<Instant>>>,
}

/// When each reading from a first one on was sent.
pub(crate) struct Sent {
    pub(crate) first: u64,
    pub(crate) times: Vec<Instant>,
}

impl Sent {
    /// How many readings there are with those before the first one.
    pub(crate) fn count(&self) -> u64 {
        self.first + self.times.len() as u64
    }

    /// When a reading was sent.
    pub(crate) fn time(&self, index: u64) -> Option<Instant> {
        let place = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.times.get(place).copied()
    }
}

impl Pacer {
    /// Starts with the reading `first`. `rate` is in readings a second.
    pub(crate) fn start(
        brokers: &str,
        topic: &str,
        sensors: u64,
        rate: u64,
        first: u64,
    ) -> Outcome<Self> {
        let producer = readings::producer(brokers, 0)?;
        let topic = topic.to_owned();
        let is_over = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(first));
        let (stop, progress) = (is_over.clone(), sent.clone());
        let thread = thread::spawn(move || {
            let mut times: Vec<Instant> = Vec::new();
            let mut text = String::new();
            let start = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let due = start + Duration::from_secs_f64(times.len() as f64 / rate as f64);
                let early = due.saturating_duration_since(Instant::now());
                if !early.is_zero() {
                    producer.poll(Duration::ZERO);
                    thread::sleep(early);
                }
                let index = first + times.len() as u64;
                times.push(Instant::now());
                readings::json(index, sensors, &mut text);
                readings::send(&producer, &topic, &readings::sensor(index, sensors), &text)?;
                progress.store(index + 1, Ordering::Relaxed);
            }
            producer.flush(Duration::from_mins(1))?;
            Ok(times)
        });
        Ok(Pacer {
            first,
            sent,
            is_over,
            thread,
        })
    }

    /// How many readings there are so far, with those before the first one.
    pub(crate) fn count(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops, and waits until all that was sent is acknowledged.
    pub(crate) fn stop(self) -> Outcome<Sent> {
        self.is_over.store(true, Ordering::Relaxed);
        let times = self.thread.join().map_err(|_| "the pacer panicked")??;
        let first = self.first;
        Ok(Sent { first, times })
    }
}
