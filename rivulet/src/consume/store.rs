//! Records in a SQLite database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::log::Header;
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreSettings;
use super::show::bytes;

/// How long to wait for another program's lock.
const BUSY: Duration = Duration::from_secs(10);

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS records (
    topic      TEXT    NOT NULL,
    partition  INTEGER NOT NULL,
    offset     INTEGER NOT NULL,
    timestamp  INTEGER,           -- in milliseconds since the epoch
    key        BLOB,
    value      BLOB,              -- null is a tombstone
    headers    TEXT    NOT NULL   -- NAME=VALUE, one a line
) STRICT;
";
const POSITIONS: &str = "
CREATE TABLE IF NOT EXISTS positions (
    topic      TEXT    NOT NULL,
    partition  INTEGER NOT NULL,
    next       INTEGER NOT NULL,  -- what is below this offset is stored
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;
";

/// A database of records. Each record is written in a transaction of its own, with its offset if
/// the database has the offsets.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    connection: Connection,
    with_offsets: bool,
}

impl Store {
    /// Opens the database, and creates it if it does not exist.
    ///
    /// # Errors
    /// If it cannot be opened, or its records were stored in the other way.
    pub(super) fn open(settings: &StoreSettings) -> Result<Self> {
        let path = &settings.path;
        let failed = |error| failure("opening", path, &error);
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        let has = |table: &str| {
            let query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?";
            connection.query_row(query, [table], |row| row.get::<_, bool>(0))
        };
        let has_records = has("records").map_err(failed)?;
        let has_positions = has("positions").map_err(failed)?;
        if has_records && has_positions != settings.with_offsets {
            let (with, remedy) = if has_positions {
                ("with their offsets", "leave out --commit-after-store")
            } else {
                ("without their offsets", "add --commit-after-store")
            };
            let doing = format!("opening {}", path.display());
            return Err(Error::new(doing, format!("its records were stored {with}"))
                .of_kind(Kind::Conflict)
                .help(format!("{remedy}, or give another file")));
        }
        connection.execute_batch(TABLES).map_err(failed)?;
        if settings.with_offsets {
            connection.execute_batch(POSITIONS).map_err(failed)?;
        }
        connection
            .execute_batch("PRAGMA synchronous = FULL")
            .and_then(|()| {
                connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
            })
            .map_err(failed)?;
        Ok(Store {
            path: path.clone(),
            connection,
            with_offsets: settings.with_offsets,
        })
    }

    /// The next offset of a partition to store; `None` if none was stored, or the group knows.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub(super) fn next(&self, topic: &str, partition: i32) -> Result<Option<i64>> {
        if !self.with_offsets {
            return Ok(None);
        }
        let query = "SELECT next FROM positions WHERE topic = ? AND partition = ?";
        let row = self
            .connection
            .query_row(query, params![topic, partition], |row| row.get(0));
        row.optional()
            .map_err(|error| failure("reading", &self.path, &error))
    }

    /// Stores a record. It is on disk when this returns. Whether it was not stored before.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub(super) fn add(
        &mut self,
        topic: &str,
        record: &ConsumerRecord<'_>,
        headers: &[Header],
    ) -> Result<bool> {
        let (partition, offset) = (record.partition, record.offset);
        let next = self.next(topic, partition)?;
        if next.is_some_and(|next| offset < next) {
            return Ok(false);
        }
        let headers: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}={}", bytes(value.as_deref().unwrap_or_default())))
            .collect();
        let with_offsets = self.with_offsets;
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction.execute(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)",
                params![
                    topic,
                    partition,
                    offset,
                    record.stamped(),
                    record.key,
                    record.value,
                    headers.join("\n")
                ],
            )?;
            if with_offsets {
                transaction.execute(
                    "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
                    params![topic, partition, offset + 1],
                )?;
            }
            transaction.commit()
        };
        write(&mut self.connection).map_err(|error| failure("writing", &self.path, &error))?;
        Ok(true)
    }
}

fn failure(doing: &str, path: &Path, error: &rusqlite::Error) -> Error {
    use rusqlite::ErrorCode;

    let failed = Error::new(format!("{doing} {}", path.display()), error);
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => failed
            .of_kind(Kind::Conflict)
            .help("another program has locked it: close that, and start again"),
        Some(ErrorCode::DiskFull) => failed
            .of_kind(Kind::TooLarge)
            .help("free some space, and start again: it goes on after what is stored"),
        Some(ErrorCode::NotADatabase) => failed
            .of_kind(Kind::Corrupt)
            .help("something else wrote it: give another file"),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => failed
            .of_kind(Kind::Unauthorized)
            .help("you must be allowed to write it, and its folder must exist"),
        _ => failed.help("check the disk, and start again: it goes on after what is stored"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(path: PathBuf, with_offsets: bool) -> StoreSettings {
        StoreSettings {
            path,
            with_offsets,
            delay: Duration::ZERO,
            commits: false,
        }
    }

    fn record(offset: i64) -> ConsumerRecord<'static> {
        ConsumerRecord {
            topic: 0,
            partition: 1,
            offset,
            timestamp: 5,
            key: Some(b"k"),
            value: None,
            headers: &(),
        }
    }

    fn count(store: &Store) -> i64 {
        let query = "SELECT count(*) FROM records";
        store
            .connection
            .query_row(query, [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn with_offsets_no_record_is_stored_twice() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path().join("a.db"), true);
        let mut store = Store::open(&settings).unwrap();
        assert_eq!(store.next("t", 1).unwrap(), None);
        assert!(store.add("t", &record(7), &[]).unwrap());
        let mut store = Store::open(&settings).unwrap();
        assert_eq!(store.next("t", 1).unwrap(), Some(8));
        assert!(!store.add("t", &record(7), &[]).unwrap());
        assert!(store.add("u", &record(7), &[("h".into(), None)]).unwrap());
        assert_eq!(count(&store), 2);
    }

    #[test]
    fn without_offsets_it_stores_what_comes() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path().join("a.db"), false);
        let mut store = Store::open(&settings).unwrap();
        for _ in 0..2 {
            assert!(store.add("t", &record(7), &[]).unwrap());
        }
        assert_eq!((store.next("t", 1).unwrap(), count(&store)), (None, 2));
    }

    #[test]
    fn the_two_ways_do_not_share_a_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        drop(Store::open(&settings(path.clone(), false)).unwrap());
        let error = Store::open(&settings(path, true)).unwrap_err();
        assert!(
            error.to_string().contains("without their offsets"),
            "{error}"
        );
        assert_eq!(error.kind(), Kind::Conflict);
    }

    #[test]
    fn a_file_that_is_no_database_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(
            &path,
            "no database, but long enough to be taken for one ".repeat(9),
        )
        .unwrap();
        let error = Store::open(&settings(path, true)).unwrap_err().to_string();
        assert!(
            error.contains("a.txt") && error.contains("another file"),
            "{error}"
        );
    }
}
