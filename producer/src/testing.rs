//! Helpers for the tests of all sources.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::unit::Unit;
use rivulet_pipeline::ComponentConfig;
use serde_json::Value;
use tempfile::TempDir;

use crate::catalog::{SourceContext, read};
use crate::source::{Next, Source, SourceRecord};

/// What a source yielded.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    Reading(Got),
    Record(SourceRecord<'static>),
    Bad {
        bytes: Vec<u8>,
        place: String,
        reason: &'static str,
    },
}

/// A reading that owns its sensor's name.
#[derive(Debug, Clone, PartialEq)]
pub struct Got {
    pub sensor: String,
    pub seq: u64,
    pub time: i64,
    pub value: f64,
    pub unit: Option<Unit>,
}

impl From<Reading<'_>> for Got {
    fn from(
        Reading {
            sensor,
            seq,
            time,
            value,
            unit,
        }: Reading<'_>,
    ) -> Self {
        Got {
            sensor: sensor.into_owned(),
            seq,
            time,
            value,
            unit,
        }
    }
}

/// Opens a source as a pipeline file in this folder would.
pub fn open_in(folder: &Path, config: &str) -> rivulet_core::error::Result<Box<dyn Source>> {
    let settings = read(&ComponentConfig::parse(config).unwrap())
        .unwrap_or_else(|diagnostic| panic!("{config}: {diagnostic:?}"));
    settings.open(&SourceContext {
        folder: folder.to_owned(),
        host: "rpi0".into(),
    })
}

/// Opens a source as a pipeline file would.
pub fn open(config: &str) -> Box<dyn Source> {
    open_in(Path::new(""), config).unwrap()
}

/// A folder with one file in it.
pub fn folder(name: &str, text: impl AsRef<[u8]>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    folder
}

/// The error in the config of a source.
pub fn diagnostic(config: &str) -> String {
    format!(
        "{:?}",
        read(&ComponentConfig::parse(config).unwrap()).expect_err(config)
    )
}

/// Fails unless the source rejects the position for this reason, and names the way out.
pub fn rejects(source: &mut dyn Source, position: &Value, expected: &str) {
    let error = source.resume(position).unwrap_err().to_string();
    assert!(
        error.contains(expected) && error.contains("--from-start"),
        "{error}"
    );
}

/// What the source yields next, at most `most` items.
pub fn take(source: &mut dyn Source, most: usize) -> Vec<Observed> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut seen = Vec::new();
    while seen.len() < most {
        match source.next(Duration::from_millis(100)).unwrap() {
            Next::Reading(reading) | Next::Measured(reading) => {
                seen.push(Observed::Reading(reading.into()));
            }
            Next::Record(SourceRecord {
                topic,
                key,
                value,
                headers,
            }) => seen.push(Observed::Record(SourceRecord {
                topic: topic.map(|topic| topic.into_owned().into()),
                key: key.map(|key| key.into_owned().into()),
                value: value.map(|value| value.into_owned().into()),
                headers,
            })),
            Next::Bad {
                bytes,
                place,
                invalid,
            } => {
                assert!(!invalid.detail.is_empty());
                seen.push(Observed::Bad {
                    bytes: bytes.to_owned(),
                    place,
                    reason: invalid.reason,
                });
            }
            Next::NotYet => assert!(Instant::now() < deadline, "nothing comes"),
            Next::End => break,
        }
    }
    seen
}

/// What the source yields until its end.
pub fn all(source: &mut dyn Source) -> Vec<Observed> {
    take(source, usize::MAX)
}

/// The next readings, at most `most`. Panics at an invalid reading.
pub fn readings(source: &mut dyn Source, most: usize) -> Vec<Got> {
    let seen = take(source, most).into_iter();
    let readings = seen.map(|seen| match seen {
        Observed::Reading(got) => got,
        Observed::Record(_) | Observed::Bad { .. } => panic!("{seen:?}"),
    });
    readings.collect()
}

/// What a test puts into a [`Piped`].
#[derive(Debug, Clone, Copy)]
pub enum Line {
    /// A reading measured now, with the time 1.
    Measured,
    /// A reading with its own time.
    Timed(i64),
    /// A whole record.
    Record,
    Bad,
}

/// A source that yields what a test puts in, and numbers it.
#[derive(Debug, Clone, Default)]
pub struct Piped(Arc<Mutex<Pipe>>);

#[derive(Debug, Default)]
struct Pipe {
    lines: VecDeque<Line>,
    ended: bool,
    seq: u64,
}

impl Piped {
    pub fn put(&self, lines: impl IntoIterator<Item = Line>) {
        self.0.lock().unwrap().lines.extend(lines);
    }

    pub fn end(&self) {
        self.0.lock().unwrap().ended = true;
    }
}

impl Source for Piped {
    fn next(&mut self, wait: Duration) -> rivulet_core::error::Result<Next<'_>> {
        let mut pipe = self.0.lock().unwrap();
        let Some(line) = pipe.lines.pop_front() else {
            let ended = pipe.ended;
            drop(pipe);
            thread::sleep(wait.min(Duration::from_millis(1)));
            return Ok(if ended { Next::End } else { Next::NotYet });
        };
        let (sensor, seq) = ("pipe".into(), pipe.seq);
        pipe.seq += 1;
        Ok(match line {
            Line::Measured => Next::Measured(Reading {
                sensor,
                seq,
                time: 1,
                value: 1.0,
                unit: Some(Unit::Celsius),
            }),
            Line::Timed(time) => Next::Reading(Reading {
                sensor,
                seq,
                time,
                value: 1.0,
                unit: None,
            }),
            Line::Record => Next::Record(SourceRecord {
                topic: Some("warm".into()),
                key: None,
                value: Some(b"\xff"[..].into()),
                headers: vec![("h".to_owned(), None)],
            }),
            Line::Bad => Next::Bad {
                bytes: b"?",
                place: "pipe".into(),
                invalid: InvalidReading::new("bad", "so it is"),
            },
        })
    }

    fn position(&self) -> Value {
        self.0.lock().unwrap().seq.into()
    }

    fn resume(&mut self, position: &Value) -> rivulet_core::error::Result<()> {
        self.0.lock().unwrap().seq = position.as_u64().unwrap();
        Ok(())
    }
}
