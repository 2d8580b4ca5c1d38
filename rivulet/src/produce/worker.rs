//! One producer with all that it sends: [`Worker`].

use std::fmt::Write;
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rivulet_core::error::{Error, Result};
use rivulet_core::log::ProducerRecord;
use rivulet_core::shutdown::Shutdown;
use rivulet_core::text::plain;
use rivulet_kafka::{DeliveryReport, Producer};
use rivulet_producer::pace::Pace;

use super::input::Input;
use super::keys::Keys;
use super::tally::ProducedCounts;
use super::{ProduceOptions, Say};
use crate::text::plural;

/// How long it takes at most until a stop is seen in a pause.
const TICK: Duration = Duration::from_millis(20);
/// The longest pause, so that its end is a time that the clock has.
const LONGEST_PAUSE: Duration = Duration::from_hours(1_000_000);

/// One producer, which sends the records of an input.
pub(super) struct Worker<'w> {
    options: &'w ProduceOptions,
    /// What begins its lines: its name, if there are several.
    prefix: String,
    producer: Producer,
    keys: Keys,
    /// Decides which transactions are aborted.
    chance: Xoshiro256PlusPlus,
    pace: Pace,
    /// How many records are in the open transaction, if one is open.
    open: Option<u64>,
    counts: ProducedCounts,
    /// Whether the producer has failed.
    is_broken: bool,
    /// Why nobody can read what is printed.
    unsaid: Option<Error>,
    say: Say<'w>,
    shutdown: &'w Shutdown,
}

impl<'w> Worker<'w> {
    /// The producer with this number, from 0.
    pub(super) fn new(
        options: &'w ProduceOptions,
        number: usize,
        producer: Producer,
        say: Say<'w>,
        shutdown: &'w Shutdown,
    ) -> Self {
        let prefix = match options.producers {
            Some(count) if count.get() > 1 => format!("{}: ", options.name(number)),
            _ => String::new(),
        };
        // Two random sequences: whether transactions are aborted does not change the keys.
        let seed = options.seed.wrapping_add(2 * number as u64);
        Worker {
            options,
            prefix,
            producer,
            keys: Keys::new(options.key(number), seed),
            chance: Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_add(1)),
            pace: Pace::new(options.pace.rate, Instant::now()),
            open: None,
            counts: ProducedCounts::default(),
            is_broken: false,
            unsaid: None,
            say,
            shutdown,
        }
    }

    /// Sends all records, and leaves nothing open: what was sent is delivered, and the last
    /// transaction has ended.
    ///
    /// # Errors
    /// The first of all errors.
    pub(super) fn run(mut self, input: Input, largest: usize) -> (ProducedCounts, Result<()>) {
        let options = self.options;
        let sent = input.each(options.format, largest, &mut |value| self.send(value));
        let finished = if self.is_broken {
            Ok(())
        } else {
            self.finish()
        };
        if self.is_broken {
            // Others would go on for nothing.
            self.shutdown.stop();
            self.give_up();
        }
        self.counts.sent = self.producer.delivered();
        let said = self.unsaid.map_or(Ok(()), Err);
        (self.counts, sent.and(finished).and(said))
    }

    /// Sends a record, and does what is due after it.
    fn send(&mut self, value: &[u8]) -> Result<ControlFlow<()>> {
        if self.is_enough() {
            return Ok(ControlFlow::Break(()));
        }
        let wait = self.pace.wait(Instant::now());
        self.wait(wait)?;
        if self.shutdown.is_stopping() {
            return Ok(ControlFlow::Break(()));
        }
        let options = self.options;
        let number = self.producer.sent() + 1;
        let key = self.keys.next(number, value)?;
        if options.transactions.is_some() && self.open.is_none() {
            checked(&mut self.is_broken, self.producer.begin())?;
            self.open = Some(0);
        }
        let in_turn = (number - 1) % options.topics.len() as u64;
        let topic = options
            .topics
            .get(usize::try_from(in_turn).unwrap_or_default());
        let record = ProducerRecord {
            topic: topic.map_or("", String::as_str),
            partition: options.partition,
            timestamp: None,
            key,
            value: Some(value),
            headers: &options.headers,
        };
        let sent = self.producer.send(&record, self.shutdown);
        if !checked(&mut self.is_broken, sent)? {
            return Ok(ControlFlow::Break(()));
        }
        self.pace.count_one();
        self.report();
        self.after(number)?;
        Ok(if self.is_enough() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    /// What is due after the record with this number.
    fn after(&mut self, number: u64) -> Result<()> {
        let options = self.options;
        if let (Some(open), Some(transactions)) = (&mut self.open, &options.transactions) {
            *open += 1;
            if *open >= transactions.records {
                self.end_transaction()?;
            }
        }
        let pace = &options.pace;
        let is_due = |every: u64| number.is_multiple_of(every.max(1));
        if pace.flush_every.is_some_and(is_due) {
            self.flush()?;
        }
        match pace.pause {
            Some(pause) if is_due(pace.pause_every) => self.wait(pause),
            _ => Ok(()),
        }
    }

    /// Whether no further record is to be sent.
    fn is_enough(&self) -> bool {
        let limit = self.options.limit;
        self.shutdown.is_stopping()
            || self.unsaid.is_some()
            || limit.is_some_and(|limit| self.producer.sent() >= limit)
    }

    fn finish(&mut self) -> Result<()> {
        if self.open.is_some() {
            self.end_transaction()
        } else {
            self.flush()
        }
    }

    /// Aborts what is open. That the producer has failed is the error, whatever happens here.
    fn give_up(&mut self) {
        self.report();
        if self.open.is_some() && self.producer.abort(self.shutdown).is_ok() {
            self.ended(true);
        }
    }

    fn end_transaction(&mut self) -> Result<()> {
        let Some(transactions) = &self.options.transactions else {
            return Ok(());
        };
        // While it is held open, all of its records are in their topics.
        self.flush()?;
        self.wait(transactions.hold)?;
        let is_aborted = self.chance.random_bool(transactions.abort.clamp(0.0, 1.0));
        let ended = if is_aborted {
            self.producer.abort(self.shutdown)
        } else {
            self.producer.commit(self.shutdown)
        };
        checked(&mut self.is_broken, ended)?;
        self.ended(is_aborted);
        Ok(())
    }

    fn ended(&mut self, is_aborted: bool) {
        let records = self.open.take().unwrap_or_default();
        let (how, (ended, transactions)) = if is_aborted {
            ("aborted", &mut self.counts.aborted)
        } else {
            ("committed", &mut self.counts.committed)
        };
        *ended += records;
        *transactions += 1;
        let number = self.counts.committed.1 + self.counts.aborted.1;
        let (prefix, records) = (&self.prefix, plural(records, "record"));
        let line = format!("{prefix}transaction {number}: {how} {records}\n");
        self.say(&line);
    }

    fn flush(&mut self) -> Result<()> {
        let flushed = self.producer.flush(self.shutdown);
        self.report();
        checked(&mut self.is_broken, flushed)
    }

    /// Waits, and learns of deliveries meanwhile. A stop ends it.
    fn wait(&mut self, span: Duration) -> Result<()> {
        if span.is_zero() {
            return Ok(());
        }
        let end = Instant::now() + span.min(LONGEST_PAUSE);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.shutdown.is_stopping() || self.unsaid.is_some() {
                return Ok(());
            }
            let polled = self.producer.poll(self.shutdown);
            self.report();
            checked(&mut self.is_broken, polled)?;
            thread::sleep(left.min(TICK));
        }
    }

    /// Prints the reports of deliveries so far.
    fn report(&mut self) {
        if !self.options.reports {
            return;
        }
        let reports = self.producer.take_reports();
        if !reports.is_empty() {
            self.say(&lines(&reports));
        }
    }

    /// Prints lines. If nobody can read them, what is open is ended before the command is.
    fn say(&mut self, text: &str) {
        if let Err(error) = (self.say)(text) {
            let error = Error::caused_by("writing to standard output", error);
            self.unsaid.get_or_insert(error);
        }
    }
}

/// The result of a call of the producer. Notes that it has failed.
fn checked<T>(is_broken: &mut bool, result: Result<T>) -> Result<T> {
    *is_broken |= result.is_err();
    result
}

/// A line for each report.
fn lines(reports: &[DeliveryReport]) -> String {
    let mut lines = String::new();
    for report in reports {
        let key = report.key.as_deref().map(String::from_utf8_lossy);
        let key = key.as_deref().map_or("-".into(), plain);
        let (topic, partition) = (plain(&report.topic), report.partition);
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{key}  {topic} [{partition}] @{}", report.offset);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_line_that_shows_any_key_safely() {
        let report = |key: Option<&[u8]>| DeliveryReport {
            key: key.map(<[u8]>::to_vec),
            topic: "readings".into(),
            partition: 3,
            offset: 17,
        };
        let reports = [
            report(Some(b"producer0")),
            report(None),
            report(Some(b"\n\x1b\xff")),
        ];
        assert_eq!(
            lines(&reports),
            "producer0  readings [3] @17\n-  readings [3] @17\n\\n\\u{1b}\u{fffd}  readings [3] \
             @17\n"
        );
    }
}
