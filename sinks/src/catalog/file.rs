//! `file`: stores readings in a CSV or JSON lines file.

mod format;
mod output_file;
mod record;
mod recover;

use std::convert::Infallible;
use std::path::PathBuf;

use rivulet_core::component::Component;
use rivulet_core::error::{Error, Result};
use serde::Deserialize;

pub use self::format::OutputFormat;
use self::output_file::OutputFile;
use super::{LARGEST_BATCH, SinkContext, SinkSettings};
use crate::sink::{Delivery, Failure, Sink};

/// Appends each reading to a file, with the topic, partition and offset of its record.
///
/// Each reading is in the file exactly once, also after a crash. At each commit the file is synced.
/// Then its length and the offsets of its partitions are written to the file `PATH.position`, which
/// is synced too. Only then are the offsets committed in Kafka. A start truncates the file to the
/// recorded length, because the rest was never committed and comes again. Readings below the
/// recorded offsets are skipped. The last lines of the file are no substitute for the record: after
/// a power cut a part that was never synced may contain anything. This takes three syncs a commit;
/// `sqlite` takes one.
///
/// A file without a record, from an older version or because somebody deleted the record, keeps its
/// complete lines; the offsets are those in the lines. If you move the file away while the stage is
/// stopped, the next start begins a new one at the recorded offsets. Two processes cannot store
/// readings in one file.
///
/// A full disk makes the stage wait. If a partition was assigned to an instance on another machine
/// in between, this instance resumes at the group's committed offset: each file has the readings
/// that its own instance stored. If an instance dies between storing and committing, and its
/// partitions are assigned to another instance, the last readings are in both files, with the same
/// topic, partition and offset.
///
/// ```no_run
/// use rivulet_sinks::catalog::{SinkContext, read};
/// use rivulet_pipeline::ComponentConfig;
///
/// let topics = vec!["temperatures_ewma".to_owned()];
/// let config = r#"file = { path = "readings.csv" }"#;
/// let settings = read(&ComponentConfig::parse(config).unwrap(), &topics).unwrap();
/// let mut sink = settings.open(SinkContext::new("config", "keep", topics))?;
/// sink.flush()?; // config/readings.csv now has its header
/// # Ok::<(), rivulet_sinks::sink::Failure>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(try_from = "Table")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct File {
    /// The file, relative to the folder of the pipeline file. It is created if it does not exist;
    /// its folder is not.
    pub path: PathBuf,
    /// The default follows from the extension: CSV for `.csv`, JSON lines for `.json`, `.jsonl` and
    /// `.ndjson`.
    pub format: OutputFormat,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Table {
    /// Relative to the pipeline file's folder; the file is made if it is not there, its folder is
    /// not.
    path: PathBuf,
    /// How readings are written; unless it is set, the path's ending says it.
    format: Option<OutputFormat>,
}

impl TryFrom<Table> for File {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let extension = table
            .path
            .extension()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let format = match (table.format, extension.to_str()) {
            (Some(format), _) => format,
            (None, Some("csv")) => OutputFormat::Csv,
            (None, Some("json" | "jsonl" | "ndjson")) => OutputFormat::JsonLines,
            (None, _) => {
                return Err(format!(
                    "the extension of `{}` does not say its format; add format = \"csv\" or \
                     format = \"json-lines\", or use the extension .csv or .jsonl",
                    table.path.display()
                ));
            }
        };
        Ok(File {
            path: table.path,
            format,
        })
    }
}

impl Component for File {
    const NAME: &'static str = "file";
    const ABOUT: &'static str = "appends each reading to a CSV or JSON lines file";
    const EXAMPLE: &'static str = r#"file = { path = "readings.csv", format = "csv" }"#;
}

impl SinkSettings for File {
    fn open(self: Box<Self>, context: SinkContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(FileSink::open(
            context.folder.join(&self.path),
            self.format,
        )?))
    }
}

#[derive(Debug)]
struct FileSink {
    path: PathBuf,
    format: OutputFormat,
    /// `None` after an error.
    file: Option<OutputFile>,
    /// The lines since the last flush. The size of a commit and [`LARGEST_BATCH`] limit them.
    lines: Vec<u8>,
    /// How many readings since the last flush were stored already.
    skipped: u64,
}

impl FileSink {
    fn open(path: PathBuf, format: OutputFormat) -> Result<Self> {
        let file = match OutputFile::open(&path, format) {
            Ok(file) => Some(file),
            // The first reading retries.
            Err(Failure::Passing(_)) => None,
            Err(Failure::Lasting(error)) => return Err(error),
        };
        Ok(FileSink {
            path,
            format,
            file,
            lines: Vec::new(),
            skipped: 0,
        })
    }
}

impl Sink for FileSink {
    fn write(&mut self, delivery: &Delivery<'_>) -> Result<(), Failure> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(OutputFile::open(&self.path, self.format)?),
        };
        let none = || Ok::<_, Infallible>(None);
        let Ok(stored) = file.offsets.find(delivery.topic, delivery.partition, none);
        if stored.advance(delivery.offset, delivery.timestamp, &self.path)? {
            self.format.push(&mut self.lines, delivery);
        } else {
            self.skipped += delivery.readings.len() as u64;
        }
        // The size of a commit limits records, not bytes. Readings that are stored before their
        // commit are skipped if they come again.
        if self.lines.len() >= LARGEST_BATCH {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if !self.lines.is_empty() {
            // After an error the file stays closed. It is truncated when it is opened again.
            let Some(mut file) = self.file.take() else {
                // The lines are delivered again, so their offsets must not be committed.
                let error = Error::new(
                    format!("writing {}", self.path.display()),
                    "it is not open after an earlier error",
                );
                return Err(Failure::Passing(error.help(
                    "the stage rolls back to its last commit and opens it again",
                )));
            };
            file.append(&self.lines)?;
            self.file = Some(file);
            self.lines.clear();
        }
        if self.skipped > 0 {
            tracing::info!(
                file = %self.path.display(),
                readings = self.skipped,
                "skipped readings that are already stored"
            );
            self.skipped = 0;
        }
        Ok(())
    }

    fn rollback(&mut self) {
        if !self.lines.is_empty() {
            // The offsets include readings that are not in the file.
            self.file = None;
            self.lines.clear();
        }
        self.skipped = 0;
    }
}

#[cfg(test)]
mod tests;
