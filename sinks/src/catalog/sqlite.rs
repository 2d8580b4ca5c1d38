//! `sqlite`: keeps readings in a SQLite database, each exactly once.

mod schema;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, ffi,
    params,
};
use serde::Deserialize;
use stream::catalog::Component;
use stream::error::{Error, Result};
use stream::reading::Unit;

use super::{MOST_HELD, SinkContext, SinkSettings};
use crate::place;
use crate::positions::{SinkOffset, SinkOffsets};
use crate::sink::{Delivery, Failure, Sink};

/// Keeps each reading in the table `readings` of a SQLite database.
///
/// Readings and positions (up to which offset each partition is kept) are in one database and go
/// there in one transaction, which is on the disk before the offsets are committed in Kafka.
/// Whatever dies in between, the readings that come again are below their partition's position and
/// are skipped: none is lost, none is there twice.
///
/// | table | column | holds |
/// | --- | --- | --- |
/// | `readings` | `topic`, `partition`, `offset` | where it was read: the primary key |
/// | | `timestamp` | when it entered the pipeline, in milliseconds since the epoch; null if that is unknown |
/// | | `sensor` | who measured; '' in a format without sensors |
/// | | `seq` | its number at the sensor; from 2^63 on less 2^64, as SQLite's integers are signed |
/// | | `time` | when it was measured, in milliseconds since the epoch |
/// | | `value`, `unit` | what was measured; the unit is null in a format without units |
/// | `positions` | `topic`, `partition` | a partition: the primary key |
/// | | `next` | the offset to go on with: what is below it is kept, or was and has been deleted |
/// | | `latest` | the latest timestamp below it |
///
/// Any program may read the database meanwhile. One that locks it makes the stage wait, as a full
/// disk does. Move or delete it only while the stage is stopped, and then with its `-wal` file.
///
/// A partition that comes back after another machine's instance has had it goes on at the group's
/// committed offset: each database holds what its instance kept. When an instance dies between
/// keeping and committing and another takes its partitions over, the last readings are in both
/// databases, with the same topic, partition and offset. Instances on one machine may share one.
///
/// ```no_run
/// use sinks::catalog::{SinkContext, read};
/// use stream::pipeline::ComponentConfig;
///
/// let settings = read(&ComponentConfig::parse(r#"sqlite = { path = "readings.db" }"#).unwrap(), &[]).unwrap();
/// let mut sink = settings.open(SinkContext::new("config", "keep", vec!["temperatures_ewma".to_owned()]))?;
/// // sqlite3 config/readings.db "SELECT sensor, avg(value) FROM readings GROUP BY sensor"
/// # Ok::<(), stream::error::Error>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sqlite {
    /// Relative to the pipeline file's folder; the file is made if it is not there, its folder is
    /// not.
    pub path: PathBuf,
}

impl Component for Sqlite {
    const NAME: &'static str = "sqlite";
    const ABOUT: &'static str = "keeps each reading exactly once in a SQLite database";
    const EXAMPLE: &'static str = r#"sqlite = { path = "readings.db" }"#;
}

impl SinkSettings for Sqlite {
    fn open(self: Box<Self>, context: SinkContext) -> Result<Box<dyn Sink>> {
        let path = context.folder.join(&self.path);
        let connection = match connect(&path) {
            Ok(connection) => Some(connection),
            // The first flush tries again, and waits.
            Err(Failure::Passing(_)) => None,
            Err(Failure::Lasting(error)) => return Err(error),
        };
        Ok(Box::new(SqliteSink {
            path,
            connection,
            rows: Vec::new(),
            bytes: 0,
        }))
    }
}

/// How long another program may lock the database before the stage says that it waits.
const LOCKED: Duration = Duration::from_secs(1);

/// Opens the database, which is made if it is not there; its folder is not.
fn connect(path: &Path) -> Result<Connection, Failure> {
    place::check(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| failure("opening", path, &error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(LOCKED).map_err(failed)?;
    if connection.is_readonly("main").map_err(failed)? {
        let error = Error::new(format!("opening {}", path.display()), "it can only be read");
        return Err(error.help(place::MAY_NOT).into());
    }
    schema::upgrade(&mut connection, path)?;
    // A write-ahead log: a commit writes and syncs one file, and readers need not wait. FULL: it is
    // synced at every commit. 256 KiB of cache: rows are added behind those of their partition.
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -256")
        .and_then(|()| connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())))
        .map_err(failed)?;
    Ok(connection)
}

/// The failure of something that was asked of the database.
fn failure(doing: &str, path: &Path, error: &rusqlite::Error) -> Failure {
    let code = error
        .sqlite_error()
        .map(|error| (error.code, error.extended_code));
    let error = Error::new(format!("{doing} {}", path.display()), error);
    match code {
        Some((ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _)) => Failure::Passing(
            error.help("another program has locked it; the stage waits and goes on by itself"),
        ),
        // The second is what the index of the write-ahead log makes of the first.
        Some((ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE)) => {
            Failure::Passing(error.help(place::FULL))
        }
        Some((ErrorCode::NotADatabase, _)) => error
            .help("something else wrote it: name another file, or move this one away")
            .into(),
        Some((ErrorCode::DatabaseCorrupt, _)) => error
            .help("see what sqlite3's .recover can save, then move it away with its -wal and -shm")
            .into(),
        Some((ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied, _)) => {
            error.help(place::MAY_NOT).into()
        }
        _ => error.help(place::BROKEN).into(),
    }
}

/// What was taken waits in memory until the flush; a commit's size bounds it, and [`MOST_HELD`]. So
/// the database is locked no longer than it takes to write, and nothing but the database knows the
/// positions.
#[derive(Debug)]
struct SqliteSink {
    path: PathBuf,
    connection: Option<Connection>,
    rows: Vec<Row>,
    /// About how much memory they take, in bytes.
    bytes: usize,
}

#[derive(Debug)]
struct Row {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: i64,
    sensor: String,
    seq: u64,
    time: i64,
    value: f64,
    unit: Option<Unit>,
}

impl Sink for SqliteSink {
    fn write(&mut self, delivery: &Delivery<'_>) -> Result<(), Failure> {
        let Delivery {
            topic,
            partition,
            offset,
            timestamp,
            reading,
            ..
        } = *delivery;
        self.rows.push(Row {
            topic: topic.to_owned(),
            partition,
            offset,
            timestamp,
            sensor: reading.sensor.clone().into_owned(),
            seq: reading.seq,
            time: reading.time,
            value: reading.value,
            unit: reading.unit,
        });
        self.bytes += size_of::<Row>() + topic.len() + reading.sensor.len();
        // A commit's size bounds records, not bytes. What is kept before its commit is skipped if
        // it comes again.
        if self.bytes >= MOST_HELD {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.path)?,
        };
        // Whatever fails, the database is opened anew.
        let skipped = store(&mut connection, &self.rows, &self.path)?;
        self.connection = Some(connection);
        self.rows.clear();
        self.bytes = 0;
        if skipped > 0 {
            tracing::info!(
                "skipped {skipped} readings that {} has already",
                self.path.display()
            );
        }
        Ok(())
    }

    fn rollback(&mut self) {
        self.rows.clear();
        self.bytes = 0;
    }
}

/// Keeps what is behind the positions, and moves these, in one transaction; gives the number of
/// rows that are not.
fn store(connection: &mut Connection, rows: &[Row], path: &Path) -> Result<u64, Failure> {
    let failed = |error| failure("writing", path, &error);
    let transaction =
        Transaction::new(connection, TransactionBehavior::Immediate).map_err(failed)?;
    let (mut positions, mut skipped) = (SinkOffsets::default(), 0);
    let mut insert = transaction
        .prepare("INSERT INTO readings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
        .map_err(failed)?;
    for row in rows {
        let read = || read_position(&transaction, &row.topic, row.partition);
        let position = positions
            .find(&row.topic, row.partition, read)
            .map_err(failed)?;
        if !position.pass(row.offset, row.timestamp, path)? {
            skipped += 1;
            continue;
        }
        let timestamp = Some(row.timestamp).filter(|timestamp| *timestamp >= 0);
        let (seq, unit) = (row.seq.cast_signed(), row.unit.map(Unit::name));
        let Row {
            topic,
            partition,
            offset,
            sensor,
            time,
            value,
            ..
        } = row;
        insert
            .execute(params![
                topic, partition, offset, timestamp, sensor, seq, time, value, unit
            ])
            .map_err(failed)?;
    }
    drop(insert);
    for SinkOffset {
        topic,
        partition,
        next,
        latest,
    } in positions.iter()
    {
        transaction
            .execute(
                "INSERT OR REPLACE INTO positions VALUES (?1, ?2, ?3, ?4)",
                params![topic, partition, next, latest],
            )
            .map_err(failed)?;
    }
    transaction.commit().map_err(failed)?;
    Ok(skipped)
}

fn read_position(
    transaction: &Transaction<'_>,
    topic: &str,
    partition: i32,
) -> rusqlite::Result<Option<SinkOffset>> {
    transaction
        .query_row(
            "SELECT next, latest FROM positions WHERE topic = ?1 AND partition = ?2",
            params![topic, partition],
            |row| {
                Ok(SinkOffset {
                    topic: topic.to_owned(),
                    partition,
                    next: row.get(0)?,
                    latest: row.get(1)?,
                })
            },
        )
        .optional()
}

#[cfg(test)]
mod tests;
