//! Sending records to any topic: the lines of a file, the elements of a JSON array, or what a
//! person types.
//!
//! [`produce`] does what [`ProduceOptions`] say. Each producer is a [`Producer`] in a thread of its
//! own. An input of any size is read piece by piece.

mod elements;
mod field;
mod input;
mod keys;
mod rules;
mod standard_input;
mod tally;
mod worker;

use std::io;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::shutdown::Shutdown;
use rivulet_kafka::{Admin, Cluster, Connection, DEFAULT_MAX_MESSAGE, Producer, ProducerSettings};

pub use self::field::FieldPath;
pub use self::input::{InputFormat, InputSource};
pub use self::keys::{KeyChoice, KeyRange};
pub use self::tally::{Produced, ProducedCounts};

use self::worker::Worker;

/// Prints text, whole lines of it. Several threads call it.
pub type Say<'s> = &'s (dyn Fn(&str) -> io::Result<()> + Sync);

/// What to send, where and how.
#[derive(Debug, Clone, PartialEq)]
pub struct ProduceOptions {
    /// The topics. Several get the records in turn.
    pub topics: Vec<String>,
    /// Where the records come from.
    pub input: InputSource,
    /// How they are in it. `None` if its first byte tells.
    pub format: Option<InputFormat>,
    /// Which keys they get.
    pub keys: KeyChoice,
    /// The partition of all records. `None` lets the keys decide.
    pub partition: Option<i32>,
    /// Names and values of the headers of each record.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// How many producers send the whole input at once, each with its name as its key unless
    /// [`keys`](Self::keys) says otherwise. `None` is one without a name.
    pub producers: Option<NonZeroUsize>,
    /// How fast.
    pub pace: PaceOptions,
    /// How many records each producer sends at most.
    pub limit: Option<u64>,
    /// Whether to print a line for each delivery.
    pub reports: bool,
    /// Whether and how records are in transactions.
    pub transactions: Option<TransactionOptions>,
    /// Decides all that is random. The same seed gives the same keys and the same aborts.
    pub seed: u64,
}

/// How fast a producer sends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PaceOptions {
    /// How many records a second at most, above 0. `None` is no limit.
    pub rate: Option<f64>,
    /// How long to wait after some records.
    pub pause: Option<Duration>,
    /// After how many records. 0 is the same as 1.
    pub pause_every: u64,
    /// After how many records to wait until all are delivered. `None` is at the end only.
    pub flush_every: Option<u64>,
}

/// How records are in transactions.
#[derive(Debug, Clone, PartialEq)]
pub struct TransactionOptions {
    /// How many records a transaction has.
    pub records: u64,
    /// How long it stays open after the last of them.
    pub hold: Duration,
    /// The chance that it is aborted, from 0 to 1.
    pub abort: f64,
    /// The transactional id. With several producers the number of each follows.
    pub id: String,
}

impl ProduceOptions {
    /// How many producers there are.
    #[must_use]
    pub fn producer_count(&self) -> usize {
        self.producers.map_or(1, NonZeroUsize::get)
    }

    fn topic_names(&self) -> Vec<&str> {
        self.topics.iter().map(String::as_str).collect()
    }

    /// Whether the seed matters.
    #[must_use]
    pub fn is_random(&self) -> bool {
        let transactions = self.transactions.as_ref();
        matches!(self.keys, KeyChoice::Random(_))
            || transactions.is_some_and(|options| options.abort > 0.0 && options.abort < 1.0)
    }

    /// The `client.id` of a producer.
    fn name(&self, number: usize) -> String {
        match self.producers {
            Some(_) => format!("producer{number}"),
            None => "rivulet".to_owned(),
        }
    }

    /// Which keys a producer's records get.
    fn key(&self, number: usize) -> KeyChoice {
        match (&self.keys, self.producers) {
            (KeyChoice::None, Some(_)) => KeyChoice::Text(self.name(number)),
            (keys, _) => keys.clone(),
        }
    }

    /// The transactional id of a producer.
    fn transactional_id(&self, number: usize) -> Option<String> {
        let TransactionOptions { id, .. } = self.transactions.as_ref()?;
        Some(match self.producer_count() {
            1 => id.clone(),
            _ => format!("{id}-{number}"),
        })
    }

    fn check(&self) -> Result<()> {
        let usage = |cause: &str, help: &str| {
            let error = Error::new("sending records", cause).of_kind(Kind::Usage);
            Err(error.help(help))
        };
        if self.topics.is_empty() {
            return usage("no topic is given", "name one");
        }
        if self.producer_count() > 1 && self.input == InputSource::Standard {
            return usage(
                "each producer sends the whole input, and standard input can be read only once",
                "give a file",
            );
        }
        Ok(())
    }
}

/// Sends records until the input or a limit is reached, or the process is asked to stop. `say`
/// prints reports and the ends of transactions, and `bar` shows how much is read.
///
/// # Errors
/// If a topic or a partition does not exist, the input cannot be read, or a record is not
/// delivered. What was sent before is flushed, and comes with the error. Nothing is read before it
/// is known that the topics exist.
pub fn produce(
    connection: &Connection,
    options: &ProduceOptions,
    say: Say<'_>,
    bar: &ProgressBar,
    shutdown: &Shutdown,
) -> (Produced, Result<()>) {
    let checked = options.check().and_then(|()| {
        let admin = Admin::new(connection)?;
        let topics = options.topic_names();
        check_topics(&admin.cluster, &topics, options.partition)?;
        Ok(message_bytes(&admin, &topics))
    });
    match checked {
        Ok(message_bytes) => send_all(connection, options, message_bytes, say, bar, shutdown),
        Err(error) => (Produced::default(), Err(error)),
    }
}

/// Lets all producers send. `message_bytes` is the smallest and the largest `max.message.bytes` of
/// the topics.
fn send_all(
    connection: &Connection,
    options: &ProduceOptions,
    message_bytes: (usize, usize),
    say: Say<'_>,
    bar: &ProgressBar,
    shutdown: &Shutdown,
) -> (Produced, Result<()>) {
    let size = options.input.size().unwrap_or_default();
    bar.set_length(size.saturating_mul(options.producer_count() as u64));
    let run = |number| {
        let result = worker(connection, options, number, message_bytes, say, shutdown)
            .and_then(|worker| Ok((worker, options.input.open(bar, shutdown)?)));
        match result {
            Ok((worker, input)) => worker.run(input, message_bytes.1),
            Err(error) => (ProducedCounts::default(), Err(error)),
        }
    };
    let numbers = 0..options.producer_count();
    let results: Vec<(ProducedCounts, Result<()>)> = match options.producer_count() {
        1 => numbers.map(run).collect(),
        _ => thread::scope(|scope| {
            let threads: Vec<_> = numbers
                .map(|number| scope.spawn(move || run(number)))
                .collect();
            let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
            joined
                .map(|joined| joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        }),
    };
    let mut produced = Produced {
        topics: options.topics.clone(),
        is_transactional: options.transactions.is_some(),
        producers: Vec::new(),
    };
    let mut all = Ok(());
    for (counts, result) in results {
        produced.producers.push(counts);
        all = all.and(result);
    }
    (produced, all)
}

fn worker<'w>(
    connection: &Connection,
    options: &'w ProduceOptions,
    number: usize,
    message_bytes: (usize, usize),
    say: Say<'w>,
    shutdown: &'w Shutdown,
) -> Result<Worker<'w>> {
    let hold = options.transactions.as_ref().map(|options| options.hold);
    let settings = ProducerSettings {
        client_id: options.name(number),
        transactional_id: options.transactional_id(number),
        hold: hold.unwrap_or_default(),
        reports: options.reports,
        message_bytes: Some(message_bytes),
    };
    let producer = Producer::new(connection, &settings)?;
    Ok(Worker::new(options, number, producer, say, shutdown))
}

/// Checks that the topics and the partition exist.
pub(crate) fn check_topics(
    cluster: &Cluster,
    topics: &[&str],
    partition: Option<i32>,
) -> Result<()> {
    let found = cluster.inventory()?;
    for name in topics {
        let doing = || format!("looking for the topic {name}");
        let topic = found.topic(name, doing())?;
        topic.numbers(partition, doing())?;
    }
    Ok(())
}

/// The smallest and the largest `max.message.bytes` of the topics, in bytes. It is Kafka's default
/// where it is not known: whoever may write a topic need not be allowed to see its settings.
pub(crate) fn message_bytes(admin: &Admin, topics: &[&str]) -> (usize, usize) {
    let settings = admin.topic_settings(topics, &mut None).unwrap_or_default();
    let sizes = topics.iter().map(|name| {
        let size = settings.get(*name)?.get("max.message.bytes")?;
        size.parse().ok()
    });
    let sizes: Vec<usize> = sizes
        .map(|size| size.unwrap_or(DEFAULT_MAX_MESSAGE))
        .collect();
    let smallest = sizes.iter().min().copied();
    let largest = sizes.iter().max().copied();
    (
        smallest.unwrap_or(DEFAULT_MAX_MESSAGE),
        largest.unwrap_or(DEFAULT_MAX_MESSAGE),
    )
}

#[cfg(test)]
mod tests;
