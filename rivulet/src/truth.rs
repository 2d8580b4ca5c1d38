//! The ground truth of experiments: the files and topics that it is compared with.
//!
//! What the log says, and how it is compared, is in [`rivulet_verify::experiment`].

mod fields;
mod results;
mod table;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_verify::experiment::{TruthLog, TruthLogReader};

pub use self::fields::{FieldOption, ResultFields, ResultPart};
pub use self::results::{add_file, add_topic};
pub use self::table::TruthTable;

/// Reads ground truth logs in the order of their first lines.
///
/// `keep_values` keeps what each sensor has measured. `warn` gets what is no line of a log.
///
/// # Errors
/// If a file cannot be read or is no such log, or no experiment has a stage line at `since` or
/// later.
pub fn read_logs(
    paths: &[PathBuf],
    since: Option<Timestamp>,
    keep_values: bool,
    warn: &mut dyn FnMut(&str),
) -> Result<TruthLog> {
    let mut logs = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let first = TruthLogReader::first_time(&name, open(path)?)?;
        logs.push((first, name, path));
    }
    logs.sort();
    let mut reader = TruthLogReader::new();
    if keep_values {
        reader = reader.with_values();
    }
    for (_, name, path) in &logs {
        reader.read(name, open(path)?)?;
    }
    for warning in reader.warnings() {
        warn(&warning);
    }
    let log = reader.finish(since);
    if log.is_empty() {
        let names: Vec<&str> = logs.iter().map(|(_, name, _)| name.as_str()).collect();
        let doing = format!("reading {}", names.join(", "));
        let error = match since {
            Some(since) => Error::new(doing, format!("no experiment has a stage since {since}"))
                .help("choose an earlier time with --since"),
            None => Error::new(doing, "it has no experiment"),
        };
        return Err(error.of_kind(Kind::Missing));
    }
    Ok(log)
}

/// Opens a file to read lines.
fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).and_then(|file| {
        if file.metadata()?.is_dir() {
            Err(io::ErrorKind::IsADirectory.into())
        } else {
            Ok(file)
        }
    });
    let failed = |error| Error::caused_by(format!("opening {}", path.display()), error);
    Ok(BufReader::with_capacity(1 << 16, file.map_err(failed)?))
}

#[cfg(test)]
mod tests;
