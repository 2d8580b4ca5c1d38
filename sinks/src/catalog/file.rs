//! `file`: keeps readings in a CSV or JSON lines file.

mod format;
mod kept;
mod record;
mod recover;

use std::convert::Infallible;
use std::path::PathBuf;

use serde::Deserialize;
use stream::catalog::Component;
use stream::error::{Error, Result};

pub use self::format::OutputFormat;
use self::kept::KeptFile;
use super::{MOST_HELD, SinkContext, SinkSettings};
use crate::sink::{Delivery, Failure, Sink};

/// Appends each reading to a file, with the topic, partition and offset it was read from.
///
/// Each is there exactly once, whatever dies. At each commit the file is synced, then its length
/// and the positions (up to which offset each partition is kept) replace those in the file
/// `PATH.position`, which is synced too, and only then the offsets are committed in Kafka. A start
/// cuts the file to the length that is recorded, because what is behind it was never committed and
/// comes again, and skips what is below the positions. A record of its own, and not the last lines,
/// because after a power cut a part that was never synced may look like anything. It costs three
/// syncs a commit, where `sqlite` needs one.
///
/// A file without a record, of an older version or because somebody deleted it, keeps its whole
/// lines; the positions are those of the lines. Move the file away, while the stage is stopped, and
/// a new one begins behind it. Two processes cannot keep readings in one file.
///
/// A full disk makes the stage wait. A partition that comes back after another machine's instance
/// has had it goes on at the group's committed offset: each file holds what its instance kept. When
/// an instance dies between keeping and committing and another takes its partitions over, the last
/// readings are in both files, with the same topic, partition and offset.
///
/// ```no_run
/// use sinks::catalog::{SinkContext, read};
/// use stream::pipeline::ComponentConfig;
///
/// let settings = read(&ComponentConfig::parse(r#"file = { path = "readings.csv" }"#).unwrap(), &[]).unwrap();
/// let mut sink = settings.open(SinkContext::new("config", "keep", vec!["temperatures_ewma".to_owned()]))?;
/// sink.flush()?; // config/readings.csv is there, with its header
/// # Ok::<(), sinks::sink::Failure>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(try_from = "Table")]
pub struct File {
    /// Relative to the pipeline file's folder; the file is made if it is not there, its folder is
    /// not.
    pub path: PathBuf,
    /// If it is not given, a path that ends in `.csv` is CSV, and one that ends in `.json`,
    /// `.jsonl` or `.ndjson` is JSON lines.
    pub format: OutputFormat,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    path: PathBuf,
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
                    "the name `{}` does not tell the file's format; say format = \"csv\" \
                     or \"json-lines\", or let it end in .csv or .jsonl",
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
        let path = context.folder.join(&self.path);
        let kept = match KeptFile::open(&path, self.format) {
            Ok(kept) => Some(kept),
            // The first reading tries again, and waits.
            Err(Failure::Passing(_)) => None,
            Err(Failure::Lasting(error)) => return Err(error),
        };
        Ok(Box::new(FileSink {
            path,
            format: self.format,
            kept,
            lines: Vec::new(),
            skipped: 0,
        }))
    }
}

#[derive(Debug)]
struct FileSink {
    path: PathBuf,
    format: OutputFormat,
    kept: Option<KeptFile>,
    /// What was taken since the last flush; a commit's size bounds it, and [`MOST_HELD`].
    lines: Vec<u8>,
    /// How many readings since the last flush were kept already.
    skipped: u64,
}

impl Sink for FileSink {
    fn write(&mut self, delivery: &Delivery<'_>) -> Result<(), Failure> {
        let kept = match &mut self.kept {
            Some(kept) => kept,
            None => self.kept.insert(KeptFile::open(&self.path, self.format)?),
        };
        let begin = || Ok::<_, Infallible>(None);
        let Ok(position) = kept
            .positions
            .find(delivery.topic, delivery.partition, begin);
        if position.pass(delivery.offset, delivery.timestamp, &self.path)? {
            self.format.push(&mut self.lines, delivery);
        } else {
            self.skipped += 1;
        }
        // A commit's size bounds records, not bytes. What is kept before its commit is skipped if
        // it comes again.
        if self.lines.len() >= MOST_HELD {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        // Whatever fails, the file is opened anew, and cut.
        if !self.lines.is_empty() {
            let Some(mut kept) = self.kept.take() else {
                // They come again: nothing may commit their offsets.
                let error = Error::new(
                    format!("writing {}", self.path.display()),
                    "it was not opened again",
                );
                return Err(Failure::Passing(
                    error.help("the stage goes back to its last commit, and opens it"),
                ));
            };
            kept.append(&self.lines)?;
            self.kept = Some(kept);
            self.lines.clear();
        }
        if self.skipped > 0 {
            tracing::info!(
                "skipped {} readings that {} has already",
                self.skipped,
                self.path.display()
            );
            self.skipped = 0;
        }
        Ok(())
    }

    fn rollback(&mut self) {
        if !self.lines.is_empty() {
            // The positions are beyond what is in the file.
            self.kept = None;
            self.lines.clear();
        }
        self.skipped = 0;
    }
}

#[cfg(test)]
mod tests;
