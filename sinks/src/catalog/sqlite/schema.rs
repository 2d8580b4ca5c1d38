//! The tables, and the migrations from older versions.

use std::path::Path;

use rivulet_core::error::{Error, Kind};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::failure;
use crate::sink::Failure;

/// "RIVU": the application id of this sink's databases.
const APPLICATION: i32 = 0x5249_5655;

/// The migration from each version, an index into this list, to the next. The version is in
/// `PRAGMA user_version`. Released entries never change: a change is a new entry.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE readings (
    topic      TEXT    NOT NULL,
    partition  INTEGER NOT NULL,
    offset     INTEGER NOT NULL,
    timestamp  INTEGER,           -- when it entered the pipeline, in milliseconds since the epoch
    sensor     TEXT    NOT NULL,  -- '' in a format without sensors
    seq        INTEGER NOT NULL,
    time       INTEGER NOT NULL,  -- when it was measured, in milliseconds since the epoch
    value      REAL    NOT NULL,
    unit       TEXT,
    PRIMARY KEY (topic, partition, offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE positions (
    topic      TEXT    NOT NULL,
    partition  INTEGER NOT NULL,
    next       INTEGER NOT NULL,  -- what is below this offset is kept, or was
    latest     INTEGER NOT NULL,  -- the latest timestamp below it
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;
",
    "
ALTER TABLE readings RENAME TO old;

CREATE TABLE readings (
    topic      TEXT    NOT NULL,
    partition  INTEGER NOT NULL,
    offset     INTEGER NOT NULL,
    timestamp  INTEGER,           -- when it entered the pipeline, in milliseconds since the epoch
    sensor     TEXT    NOT NULL,  -- '' in a format without sensors
    seq        INTEGER NOT NULL,
    time       INTEGER NOT NULL,  -- when it was measured, in milliseconds since the epoch
    value      REAL    NOT NULL,
    unit       TEXT,
    number     INTEGER NOT NULL,  -- which of the readings of its record, from 0
    PRIMARY KEY (topic, partition, offset, number)
) STRICT, WITHOUT ROWID;

INSERT INTO readings SELECT *, 0 FROM old;
DROP TABLE old;
",
];

/// Upgrades a database to the newest version. An empty one gets the tables.
pub(super) fn upgrade(connection: &mut Connection, path: &Path) -> Result<(), Failure> {
    upgrade_by(MIGRATIONS, connection, path)
}

fn upgrade_by(
    migrations: &[&str],
    connection: &mut Connection,
    path: &Path,
) -> Result<(), Failure> {
    if version(migrations, connection, path)? == migrations.len() {
        return Ok(());
    }
    let failed = |error| failure("creating the tables of", path, &error);
    let transaction =
        Transaction::new(connection, TransactionBehavior::Immediate).map_err(failed)?;
    // Another process may have been faster.
    let from = version(migrations, &transaction, path)?;
    for migration in &migrations[from..] {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION)
        .map_err(failed)?;
    transaction
        .pragma_update(None, "user_version", migrations.len().cast_signed())
        .map_err(failed)?;
    transaction.commit().map_err(failed)?;
    if from > 0 {
        tracing::info!(
            file = %path.display(),
            from,
            to = migrations.len(),
            "database upgraded"
        );
    }
    Ok(())
}

/// The version of a database: how many migrations were applied.
fn version(migrations: &[&str], connection: &Connection, path: &Path) -> Result<usize, Failure> {
    let number = |query| {
        let row = connection.query_row(query, [], |row| row.get::<_, i64>(0));
        row.map_err(|error| failure("reading", path, &error))
    };
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let doing = format!("opening {}", path.display());
    if application == 0 && version == 0 && tables == 0 {
        return Ok(0);
    }
    if application != i64::from(APPLICATION) {
        let error =
            Error::new(doing, "it is a database of another program").of_kind(Kind::Conflict);
        return Err(error
            .help("give another file, or move this one away")
            .into());
    }
    match usize::try_from(version) {
        Ok(version @ 1..) if version <= migrations.len() => Ok(version),
        _ => {
            let cause = format!(
                "its version is {version}, and this program supports 1 to {}",
                migrations.len()
            );
            let help = "a newer rivulet-sink wrote it: install that version, or give another file";
            Err(Error::new(doing, cause).help(help).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "a.db";

    fn upgrade_by(migrations: &[&str], connection: &mut Connection) -> Result<(), String> {
        super::upgrade_by(migrations, connection, Path::new(PATH))
            .map_err(|failure| failure.to_string())
    }

    /// How a row is inserted in each version.
    const INSERT: [&str; 2] = [
        "INSERT INTO readings VALUES ('t', 0, 41, 7, 'a', 1, 2, 3.5, NULL)",
        "INSERT INTO readings VALUES ('t', 0, 41, 7, 'a', 1, 2, 3.5, NULL, 0)",
    ];

    fn count(connection: &Connection, query: &str) -> i64 {
        connection.query_row(query, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_database_of_an_older_version_is_upgraded() {
        // A fictitious next version, so that there is always one to upgrade to.
        let next = [MIGRATIONS, &["ALTER TABLE readings ADD COLUMN room TEXT"]].concat();
        for from in 0..next.len() {
            let mut connection = Connection::open_in_memory().unwrap();
            if from > 0 {
                upgrade_by(&next[..from], &mut connection).unwrap();
                connection.execute(INSERT[from - 1], []).unwrap();
            }
            upgrade_by(&next, &mut connection).unwrap();
            upgrade_by(&next, &mut connection).unwrap();
            let version = i64::try_from(next.len()).unwrap();
            assert_eq!(
                count(&connection, "SELECT user_version FROM pragma_user_version"),
                version
            );
            let rows = count(
                &connection,
                "SELECT count(*) FROM readings WHERE room IS NULL AND offset = 41",
            );
            assert_eq!(rows, i64::from(from > 0));
        }
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        upgrade_by(MIGRATIONS, &mut connection).unwrap();
        let bad = [
            MIGRATIONS,
            &["CREATE TABLE more (a); CREATE TABLE readings (a)"],
        ]
        .concat();
        let error = upgrade_by(&bad, &mut connection).unwrap_err();
        assert!(
            error.starts_with("creating the tables of a.db: "),
            "{error}"
        );
        upgrade_by(MIGRATIONS, &mut connection).unwrap();
        assert_eq!(
            count(
                &connection,
                "SELECT count(*) FROM sqlite_schema WHERE name = 'more'"
            ),
            0
        );
    }

    #[test]
    fn a_newer_version_and_a_foreign_database_are_errors() {
        let mut connection = Connection::open_in_memory().unwrap();
        upgrade_by(MIGRATIONS, &mut connection).unwrap();
        connection
            .pragma_update(None, "user_version", 1000)
            .unwrap();
        let error = upgrade_by(MIGRATIONS, &mut connection).unwrap_err();
        assert!(
            error.starts_with("opening a.db: its version is 1000, and this program supports 1 to "),
            "{error}"
        );
        assert!(
            error.contains("help: a newer rivulet-sink wrote it"),
            "{error}"
        );

        for made in [
            "CREATE TABLE readings (a)",
            "PRAGMA user_version = 1",
            "PRAGMA application_id = 7",
        ] {
            let mut connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(made).unwrap();
            let error = upgrade_by(MIGRATIONS, &mut connection).unwrap_err();
            assert!(
                error.starts_with("opening a.db: it is a database of another program"),
                "{error}"
            );
        }
    }
}
