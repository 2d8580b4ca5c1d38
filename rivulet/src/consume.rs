//! Reading any topic: alone, as members of a group, or into a database.
//!
//! [`run`] reads with some members, each in a thread of its own. They share one output, which
//! shows or stores the records.

mod member;
mod output;
mod show;
mod store;
pub(crate) mod value;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rivulet_core::error::Result;
use rivulet_core::shutdown::Shutdown;
use rivulet_formats::schema_registry::SchemaRegistry;
use rivulet_kafka::{Connection, Consumer, ConsumerSettings, Position};
use rivulet_node::cli::BoxError;

use crate::text::plural;
use crate::times::TimeBound;

use self::member::{Member, Together};
use self::output::Output;
use self::store::Store;

pub use self::show::Shown;

/// What to read, and what to do with it.
#[derive(Debug)]
pub struct Consumption {
    /// What each member reads, and how. The name of a client is made from it.
    pub settings: ConsumerSettings,
    /// Where to start.
    pub start: StartAt,
    /// How many members read.
    pub members: u32,
    /// End when all records have been read.
    pub until_end: bool,
    /// End after so many records.
    pub limit: Option<u64>,
    /// Only records with this key.
    pub key: Option<Vec<u8>>,
    /// How records are shown.
    pub shown: Shown,
    /// Where records are stored.
    pub store: Option<StoreSettings>,
}

/// Where records are stored, and when their offsets are committed.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// The database.
    pub path: PathBuf,
    /// Whether the database has the offsets. Otherwise only the group has them.
    pub with_offsets: bool,
    /// The time between storing a record and committing its offset.
    pub delay: Duration,
    /// Whether the offset is committed in Kafka.
    pub commits: bool,
}

/// Where to start. As text: `earliest`, `latest`, an offset, a time, or how long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// At the first record, or where the group has committed.
    Earliest,
    /// After the last record, or where the group has committed.
    Latest,
    /// At this offset of each partition.
    Offset(i64),
    /// At the first record since this time, in milliseconds since the epoch.
    Time(i64),
}

impl FromStr for StartAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("earliest", _) => Ok(StartAt::Earliest),
            ("latest", _) => Ok(StartAt::Latest),
            (_, Ok(offset)) if offset >= 0 => Ok(StartAt::Offset(offset)),
            _ => match text.parse() {
                Ok(TimeBound(time)) => Ok(StartAt::Time(time)),
                Err(_) => Err(format!(
                    "`{text}` is no start; write earliest, latest, an offset such as 17, a time \
                     such as 2026-03-01T12:00:00Z, or how long ago, such as 2h"
                )),
            },
        }
    }
}

impl StartAt {
    /// Where a partition starts.
    fn position(self, has_group: bool) -> Position {
        match self {
            StartAt::Earliest | StartAt::Latest if has_group => Position::Committed,
            StartAt::Earliest => Position::Beginning,
            StartAt::Latest => Position::End,
            StartAt::Offset(offset) => Position::Offset(offset),
            StartAt::Time(time) => Position::Timestamp(time),
        }
    }
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consumed {
    /// How many records each member has read, and how many of them were shown.
    pub members: Vec<Counts>,
}

/// What one member has read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that were read.
    pub read: u64,
    /// Records that were shown or stored: those with the wanted key.
    pub taken: u64,
}

impl fmt::Display for Consumed {
    /// A line for each member, and the sum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = |count: u64| plural(count, "record");
        if self.members.len() > 1 {
            for (counts, number) in self.members.iter().zip(1..) {
                writeln!(f, "member {number}: {}", records(counts.taken))?;
            }
        }
        let read: u64 = self.members.iter().map(|counts| counts.read).sum();
        let taken: u64 = self.members.iter().map(|counts| counts.taken).sum();
        match (read, taken) {
            (0, 0) => write!(f, "no records"),
            (_, 0) => write!(f, "nothing with this key among {}", records(read)),
            _ if taken < read => write!(f, "{} of {}", taken, records(read)),
            _ => write!(f, "{}", records(taken)),
        }
    }
}

/// Reads until the end, the limit or a signal, and returns the counts.
///
/// `registry` has the schemas of Avro records.
///
/// # Errors
/// If the brokers are unreachable, a topic does not exist, or a record cannot be shown or stored.
pub fn run(
    connection: &Connection,
    what: &Consumption,
    registry: Option<Box<dyn SchemaRegistry>>,
    shutdown: &Shutdown,
) -> Result<Consumed, BoxError> {
    let store = what.store.as_ref().map(Store::open).transpose()?;
    let output = Mutex::new(Output::new(what.shown, store, registry));
    let together = Together::new(what.members, shutdown.clone());
    let partitions = what.settings.partitions(connection)?;
    let mut consumers = Vec::new();
    for number in 1..=what.members {
        let mut settings = what.settings.clone();
        if what.members > 1 {
            settings.client_id = format!("{}-{number}", settings.client_id);
        }
        consumers.push(Consumer::new(connection, &settings, &partitions)?);
    }
    let members: Vec<Result<Counts, BoxError>> = thread::scope(|scope| {
        let threads: Vec<_> = consumers
            .into_iter()
            .zip(1..)
            .map(|(consumer, number)| {
                let member = Member::new(number, what, consumer, &output, &together);
                scope.spawn(move || member.run())
            })
            .collect();
        let ended = threads.into_iter().map(|thread| {
            let ended = thread.join();
            ended.unwrap_or_else(|_| Err("a member has ended with a panic".into()))
        });
        ended.collect()
    });
    let mut output = output.into_inner().unwrap_or_else(PoisonError::into_inner);
    output.flush()?;
    let members = members
        .into_iter()
        .collect::<Result<Vec<Counts>, BoxError>>()?;
    Ok(Consumed { members })
}
