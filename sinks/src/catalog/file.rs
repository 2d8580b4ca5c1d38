//! `file`: keeps readings in a CSV or JSON lines file.

mod format;

use std::fs;
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use stream::catalog::Entry;
use stream::error::{Error, Result};

pub use self::format::FileFormat;
use super::{Context, Settings};
use crate::sink::{Delivery, Sink};

/// Appends each reading to a file, with the topic, partition and offset it was read from.
///
/// The file is on the disk before the offsets are committed, so no reading is left out. After a crash
/// some may be there twice; topic, partition and offset tell which. A last line that a crash left
/// unfinished is cut off when the file is opened: its reading was not committed and comes again.
///
/// ```no_run
/// use sinks::catalog::{Context, read};
/// use stream::pipeline::Part;
///
/// let settings = read(&Part::parse(r#"file = { path = "readings.csv" }"#).unwrap(), &[]).unwrap();
/// let mut sink = settings.open(Context::new("config", "keep", vec!["temperatures_ewma".to_owned()]))?;
/// sink.flush()?; // config/readings.csv is there, with its header
/// # Ok::<(), stream::error::Error>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(try_from = "Table")]
pub struct File {
    /// Relative to the pipeline file's folder; the file is made if it is not there, its folder is not.
    pub path: PathBuf,
    /// If it is not given, a path that ends in `.csv` is CSV, and one that ends in `.json`, `.jsonl` or
    /// `.ndjson` is JSON lines.
    pub format: FileFormat,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    path: PathBuf,
    format: Option<FileFormat>,
}

impl TryFrom<Table> for File {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let extension = table.path.extension().unwrap_or_default().to_ascii_lowercase();
        let format = match (table.format, extension.to_str()) {
            (Some(format), _) => format,
            (None, Some("csv")) => FileFormat::Csv,
            (None, Some("json" | "jsonl" | "ndjson")) => FileFormat::JsonLines,
            (None, _) => {
                return Err(format!(
                    "the name `{}` does not tell the file's format; say format = \"csv\" or \"json-lines\", \
                     or let it end in .csv or .jsonl",
                    table.path.display()
                ));
            }
        };
        Ok(File { path: table.path, format })
    }
}

impl Entry for File {
    const NAME: &'static str = "file";
    const ABOUT: &'static str = "appends each reading to a CSV or JSON lines file";
    const EXAMPLE: &'static str = r#"file = { path = "readings.csv", format = "csv" }"#;
}

impl Settings for File {
    fn open(self: Box<Self>, context: Context) -> Result<Box<dyn Sink>> {
        let path = context.folder.join(&self.path);
        let file = open(&path)?;
        let mut sink =
            FileSink { out: BufWriter::new(file), path, format: self.format, line: Vec::new(), pending: false };
        let length = sink.keep_whole_lines()?;
        if length == 0 && self.format == FileFormat::Csv {
            sink.append(self.format.beginning())?;
        }
        Ok(Box::new(sink))
    }
}

/// Opens the file, which is made if it is not there; its folder is not.
fn open(path: &Path) -> Result<fs::File> {
    let doing = format!("opening {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let open = || -> io::Result<_> {
        let new = !path.exists();
        let file = fs::OpenOptions::new().read(true).append(true).create(true).open(path)?;
        if new {
            // A new name is safe only with its folder.
            fs::File::open(folder)?.sync_all()?;
        }
        Ok((file.metadata()?.is_file(), file))
    };
    match open() {
        Ok((true, file)) => Ok(file),
        Ok((false, _)) => Err(Error::new(doing, "it is no ordinary file").help("to show readings, use `console`")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let cause = format!("there is no folder {}", folder.display());
            Err(Error::new(doing, cause).help(format!("create it: mkdir -p {}", folder.display())))
        }
        Err(error) => Err(Error::new(doing, error).help("the stage's user must be allowed to read and write it")),
    }
}

#[derive(Debug)]
struct FileSink {
    out: BufWriter<fs::File>,
    path: PathBuf,
    format: FileFormat,
    line: Vec<u8>,
    /// Whether something was written since the last flush.
    pending: bool,
}

impl FileSink {
    /// Cuts off a last line that is not whole; gives the length of what is left. A file that was not
    /// begun by this sink is refused.
    fn keep_whole_lines(&mut self) -> Result<u64> {
        let beginning = self.format.beginning();
        let lengths = lengths(self.out.get_mut(), beginning).map_err(|error| self.failed("reading", &error))?;
        let Some((length, whole)) = lengths else {
            let cause = format!("it does not begin with {}", String::from_utf8_lossy(beginning).trim_end());
            return Err(Error::new(format!("appending to {}", self.path.display()), cause)
                .help("something else wrote it: name another file, or move this one away"));
        };
        if whole < length {
            self.out.get_ref().set_len(whole).map_err(|error| self.failed("writing", &error))?;
            let (cut, path) = (length - whole, self.path.display());
            tracing::warn!("cut {cut} bytes off the end of {path}: a line that was never finished");
        }
        Ok(whole)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.pending = true;
        self.out.write_all(bytes).map_err(|error| self.failed("writing", &error))
    }

    fn failed(&self, doing: &str, error: &io::Error) -> Error {
        Error::new(format!("{doing} {}", self.path.display()), error)
            .help("check the disk and its free space, then start the stage again: it goes on at its last commit")
    }
}

/// The file's length and that of its whole lines; nothing if it does not begin as it should.
fn lengths(file: &mut fs::File, beginning: &[u8]) -> io::Result<Option<(u64, u64)>> {
    let mut found = Vec::new();
    file.take(beginning.len() as u64).read_to_end(&mut found)?;
    if !beginning.starts_with(&found) {
        return Ok(None);
    }
    let length = file.metadata()?.len();
    Ok(Some((length, end_of_last_line(file, length)?)))
}

/// The place behind the last newline.
fn end_of_last_line(file: &mut fs::File, length: u64) -> io::Result<u64> {
    let mut block = [0; 4096];
    let mut end = length;
    while end > 0 {
        let start = (end - 1) / block.len() as u64 * block.len() as u64;
        let block = &mut block[..usize::try_from(end - start).expect("it is at most a block")];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        if let Some(newline) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

impl Sink for FileSink {
    fn write(&mut self, delivery: &Delivery<'_>) -> Result<()> {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        self.format.push(&mut line, delivery);
        let appended = self.append(&line);
        self.line = line;
        appended
    }

    fn flush(&mut self) -> Result<()> {
        if self.pending {
            self.out
                .flush()
                .and_then(|()| self.out.get_ref().sync_data())
                .map_err(|error| self.failed("writing", &error))?;
            self.pending = false;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use stream::format::json;
    use stream::pipeline::Part;
    use stream::reading::{Reading, Unit};
    use tempfile::TempDir;

    use super::*;
    use crate::catalog::read;

    fn opened(folder: &TempDir, settings: &str) -> Result<Box<dyn Sink>> {
        let settings = read(&Part::parse(settings).unwrap(), &[]).unwrap();
        settings.open(Context::new(folder.path(), "keep", Vec::new()))
    }

    fn reading(sensor: &str, time: i64, value: f64, unit: Option<Unit>) -> Reading<'_> {
        Reading { sensor: sensor.into(), seq: 7, time, value, unit }
    }

    fn write(sink: &mut dyn Sink, offset: i64, reading: &Reading<'_>) {
        let delivery = Delivery { topic: "t", partition: 3, offset, timestamp: 0, key: None, reading };
        sink.write(&delivery).unwrap();
    }

    const CSV: &str = r#"file = { path = "a.csv" }"#;
    const HEADER: &str = "topic,partition,offset,sensor,seq,time,value,unit\n";

    #[test]
    fn a_csv_file_is_continued_after_its_one_header() {
        let folder = TempDir::new().unwrap();
        let mut sink = opened(&folder, CSV).unwrap();
        write(&mut *sink, 41, &reading("seattle", 1_325_376_000_000, 54.05, Some(Unit::Fahrenheit)));
        sink.flush().unwrap();
        let first = format!("{HEADER}t,3,41,seattle,7,2012-01-01T00:00:00Z,54.05,fahrenheit\n");
        assert_eq!(fs::read_to_string(folder.path().join("a.csv")).unwrap(), first, "flush makes it visible");
        drop(sink);
        let mut sink = opened(&folder, CSV).unwrap();
        write(&mut *sink, 42, &reading("", -1, 1e300, None));
        sink.finish().unwrap();
        let second = format!("{first}t,3,42,,7,1969-12-31T23:59:59.999Z,1e+300,\n");
        assert_eq!(fs::read_to_string(folder.path().join("a.csv")).unwrap(), second);
    }

    #[test]
    fn json_lines_read_back_as_readings() {
        let folder = TempDir::new().unwrap();
        let settings = r#"file = { path = "a.jsonl" }"#;
        let readings = [1.5, -3.0].map(|value| reading("a\nb", 5, value, Some(Unit::Kelvin)));
        for (offset, reading) in readings.iter().enumerate() {
            let mut sink = opened(&folder, settings).unwrap();
            write(&mut *sink, i64::try_from(offset).unwrap(), reading);
            sink.flush().unwrap();
        }
        let text = fs::read_to_string(folder.path().join("a.jsonl")).unwrap();
        assert!(
            text.starts_with(r#"{"topic":"t","partition":3,"offset":0,"sensor":"a\nb","seq":7,"time":5,"#),
            "{text}"
        );
        let read: Vec<Reading<'_>> = text.lines().map(|line| json::parse(line.as_bytes()).unwrap()).collect();
        assert_eq!(read, readings);
    }

    #[test]
    fn a_line_that_a_crash_left_unfinished_is_cut_off() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.csv");
        let row = "t,0,1,a,1,1970-01-01T00:00:00Z,1.0,kelvin\n";
        let many = row.repeat(300);
        let long = format!("t,0,2,{}", "x".repeat(10_000));
        for (before, after) in [
            (format!("{HEADER}{row}t,0,2,a,2,197"), format!("{HEADER}{row}")),
            (format!("{HEADER}{many}{long}"), format!("{HEADER}{many}")),
            (format!("{HEADER}{row}"), format!("{HEADER}{row}")),
            (HEADER[..9].to_owned(), HEADER.to_owned()),
            (HEADER.trim_end().to_owned(), HEADER.to_owned()),
        ] {
            fs::write(&path, before).unwrap();
            opened(&folder, CSV).unwrap().finish().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let folder = TempDir::new().unwrap();
        for (name, text) in [("a.csv", "sensor,time,celsius\na,b,c\n"), ("b.jsonl", "no newline"), ("c.csv", "\n")] {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            let error = opened(&folder, &format!("file = {{ path = {name:?} }}")).err().unwrap().to_string();
            assert!(error.contains(&format!("{name}: it does not begin with ")), "{error}");
            assert!(error.contains("move this one away"), "{error}");
            assert_eq!(fs::read_to_string(path).unwrap(), text);
        }
    }

    #[test]
    fn what_cannot_be_opened_says_why_and_what_to_do() {
        let folder = TempDir::new().unwrap();
        let error = opened(&folder, r#"file = { path = "no/such/a.csv" }"#).err().unwrap().to_string();
        assert!(error.contains("no/such/a.csv: there is no folder "), "{error}");
        assert!(error.contains("help: create it: mkdir -p "), "{error}");
        assert!(!folder.path().join("no").exists(), "the sink makes no folders");
        let error = opened(&folder, r#"file = { path = "/dev/null", format = "csv" }"#).err().unwrap().to_string();
        assert!(error.starts_with("opening /dev/null: it is no ordinary file"), "{error}");
        let error = opened(&folder, r#"file = { path = ".", format = "csv" }"#).err().unwrap().to_string();
        assert!(error.contains("directory"), "{error}");
    }

    #[test]
    fn a_name_that_tells_no_format_is_a_mistake() {
        let part = Part::parse(r#"file = { path = "readings" }"#).unwrap();
        let mistake = format!("{:?}", read(&part, &[]).unwrap_err());
        assert!(mistake.contains("the name `readings` does not tell the file's format"), "{mistake}");
        assert!(mistake.contains("help: Some(\"say format = "), "{mistake}");
    }
}
