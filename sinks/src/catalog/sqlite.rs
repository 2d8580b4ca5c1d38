//! `sqlite`: stores each reading exactly once in a SQLite database.

mod schema;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rivulet_core::component::Component;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::unit::Unit;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, ffi,
    params,
};
use serde::Deserialize;

use super::{LARGEST_BATCH, SinkContext, SinkSettings};
use crate::offsets::{SinkOffset, SinkOffsets};
use crate::sink::{Delivery, Failure, Sink};
use crate::storage;

/// Stores each reading in the table `readings` of a SQLite database.
///
/// Readings and the offsets of their partitions are written in one transaction, which is on disk
/// before the offsets are committed in Kafka. After a crash in between, readings come again, are
/// below the stored offsets and are skipped: none is lost, and none is there twice.
///
/// | table | column | content |
/// | --- | --- | --- |
/// | `readings` | `topic`, `partition`, `offset` | the record it was read from: the primary key |
/// | | `timestamp` | when it entered the pipeline, in milliseconds since the epoch; null if unknown |
/// | | `sensor` | the sensor's name; '' in a format without sensors |
/// | | `seq` | its sequence number; minus 2^64 from 2^63 on, because SQLite's integers are signed |
/// | | `time` | when it was measured, in milliseconds since the epoch |
/// | | `value`, `unit` | what was measured; the unit is null in a format without units |
/// | `positions` | `topic`, `partition` | a partition: the primary key |
/// | | `next` | the next offset to store; lower ones are stored, or were and have been deleted |
/// | | `latest` | the latest timestamp below it |
///
/// Any program may read the database meanwhile. A program that locks it makes the stage wait, as a
/// full disk does. Move or delete the database only while the stage is stopped, together with its
/// `-wal` file.
///
/// If a partition was assigned to an instance on another machine in between, this instance resumes
/// at the group's committed offset: each database has the readings that its own instance stored. If
/// an instance dies between storing and committing, and its partitions are assigned to another
/// instance, the last readings are in both databases, with the same topic, partition and offset.
/// Instances on one machine may share a database.
///
/// ```no_run
/// use rivulet_sinks::catalog::{SinkContext, read};
/// use rivulet_pipeline::ComponentConfig;
///
/// let topics = vec!["temperatures_ewma".to_owned()];
/// let config = r#"sqlite = { path = "readings.db" }"#;
/// let settings = read(&ComponentConfig::parse(config).unwrap(), &topics).unwrap();
/// let mut sink = settings.open(SinkContext::new("config", "keep", topics))?;
/// // sqlite3 config/readings.db "SELECT sensor, avg(value) FROM readings GROUP BY sensor"
/// # Ok::<(), rivulet_core::error::Error>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sqlite {
    /// The file, relative to the folder of the pipeline file. It is created if it does not exist;
    /// its folder is not.
    pub path: PathBuf,
}

impl Component for Sqlite {
    const NAME: &'static str = "sqlite";
    const ABOUT: &'static str = "stores each reading exactly once in a SQLite database";
    const EXAMPLE: &'static str = r#"sqlite = { path = "readings.db" }"#;
}

impl SinkSettings for Sqlite {
    fn open(self: Box<Self>, context: SinkContext) -> Result<Box<dyn Sink>> {
        let path = context.folder.join(&self.path);
        let connection = match connect(&path) {
            Ok(connection) => Some(connection),
            // The first flush retries.
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

/// How long to wait for another program's lock before the flush fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Opens the database, and creates it if it does not exist. Does not create its folder.
fn connect(path: &Path) -> Result<Connection, Failure> {
    storage::check(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| failure("opening", path, &error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    if connection.is_readonly("main").map_err(failed)? {
        let error = Error::new(format!("opening {}", path.display()), "it is read-only")
            .of_kind(Kind::Unauthorized);
        return Err(error.help(storage::PERMISSION).into());
    }
    schema::upgrade(&mut connection, path)?;
    // With a write-ahead log a commit writes and syncs one file, and readers need not wait. FULL
    // syncs it at every commit. 256 KiB of cache are enough, because rows are appended to those of
    // their partition.
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -256")
        .and_then(|()| connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())))
        .map_err(failed)?;
    Ok(connection)
}

/// The failure for an error of SQLite.
fn failure(doing: &str, path: &Path, error: &rusqlite::Error) -> Failure {
    let code = error
        .sqlite_error()
        .map(|error| (error.code, error.extended_code));
    let error = Error::new(format!("{doing} {}", path.display()), error);
    match code {
        Some((ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _)) => Failure::Passing(
            error.help("another program has locked it; the stage waits and goes on by itself"),
        ),
        // The second is a full disk while the index of the write-ahead log is written.
        Some((ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE)) => {
            Failure::Passing(error.help(storage::FULL))
        }
        Some((ErrorCode::NotADatabase, _)) => error
            .help("something else wrote it: give another file, or move this one away")
            .into(),
        Some((ErrorCode::DatabaseCorrupt, _)) => error
            .help("recover it with sqlite3's .recover, then move it away with its -wal and -shm")
            .into(),
        Some((ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied, _)) => {
            error.help(storage::PERMISSION).into()
        }
        _ => error.help(storage::BROKEN).into(),
    }
}

/// Readings wait in memory until the flush. The size of a commit and [`LARGEST_BATCH`] limit them.
/// The database is only locked while it is written, and the offsets are only in the database.
#[derive(Debug)]
struct SqliteSink {
    path: PathBuf,
    connection: Option<Connection>,
    rows: Vec<Row>,
    /// The approximate size of `rows` in bytes.
    bytes: usize,
}

#[derive(Debug)]
struct Row {
    topic: String,
    partition: i32,
    offset: i64,
    /// Which of the record's readings, from 0.
    number: i64,
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
            readings,
            ..
        } = *delivery;
        for (reading, number) in readings.iter().zip(0..) {
            self.rows.push(Row {
                topic: topic.to_owned(),
                partition,
                offset,
                number,
                timestamp,
                sensor: reading.sensor.clone().into_owned(),
                seq: reading.seq,
                time: reading.time,
                value: reading.value,
                unit: reading.unit,
            });
            self.bytes += size_of::<Row>() + topic.len() + reading.sensor.len();
        }
        // The size of a commit limits records, not bytes. Readings that are stored before their
        // commit are skipped if they come again.
        if self.bytes >= LARGEST_BATCH {
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
        // After an error the database is opened again.
        let skipped = store(&mut connection, &self.rows, &self.path)?;
        self.connection = Some(connection);
        self.rows.clear();
        self.bytes = 0;
        if skipped > 0 {
            tracing::info!(
                file = %self.path.display(),
                readings = skipped,
                "skipped readings that are already stored"
            );
        }
        Ok(())
    }

    fn rollback(&mut self) {
        self.rows.clear();
        self.bytes = 0;
    }
}

/// Stores the rows that are not stored yet, and the offsets, in one transaction. Returns how many
/// rows are skipped.
fn store(connection: &mut Connection, rows: &[Row], path: &Path) -> Result<u64, Failure> {
    let failed = |error| failure("writing", path, &error);
    let transaction =
        Transaction::new(connection, TransactionBehavior::Immediate).map_err(failed)?;
    let (mut offsets, mut skipped, mut is_new) = (SinkOffsets::default(), 0, true);
    let mut insert = transaction
        .prepare("INSERT INTO readings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")
        .map_err(failed)?;
    for row in rows {
        let read = || read_offset(&transaction, &row.topic, row.partition);
        let stored = offsets
            .find(&row.topic, row.partition, read)
            .map_err(failed)?;
        // The readings of a record are stored together.
        if row.number == 0 {
            is_new = stored.advance(row.offset, row.timestamp, path)?;
        }
        if !is_new {
            skipped += 1;
            continue;
        }
        let timestamp = Some(row.timestamp).filter(|timestamp| *timestamp >= 0);
        let (seq, unit) = (row.seq.cast_signed(), row.unit.as_ref().map(Unit::name));
        let Row {
            topic,
            partition,
            offset,
            number,
            sensor,
            time,
            value,
            ..
        } = row;
        insert
            .execute(params![
                topic, partition, offset, timestamp, sensor, seq, time, value, unit, number
            ])
            .map_err(failed)?;
    }
    drop(insert);
    for SinkOffset {
        topic,
        partition,
        next,
        latest,
    } in offsets.iter()
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

fn read_offset(
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
