//! What the tests of all sources share.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use stream::pipeline::Part;
use stream::reading::{Reading, Unit};
use tempfile::TempDir;

use crate::catalog::{Context, read};
use crate::source::{Next, Source};

/// What a source yielded.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    Reading(Got),
    Bad { bytes: Vec<u8>, place: String, reason: &'static str },
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
    fn from(Reading { sensor, seq, time, value, unit }: Reading<'_>) -> Self {
        Got { sensor: sensor.into_owned(), seq, time, value, unit }
    }
}

/// Opens what a pipeline file would say, in a folder.
pub fn open_in(folder: &Path, part: &str) -> stream::error::Result<Box<dyn Source>> {
    let settings = read(&Part::parse(part).unwrap()).unwrap_or_else(|mistake| panic!("{part}: {mistake:?}"));
    settings.open(&Context { folder: folder.to_owned(), host: "rpi0".into() })
}

/// Opens what a pipeline file would say.
pub fn open(part: &str) -> Box<dyn Source> {
    open_in(Path::new(""), part).unwrap()
}

/// A folder with one file in it.
pub fn folder(name: &str, text: impl AsRef<[u8]>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    folder
}

/// The mistake in a part.
pub fn mistake(part: &str) -> String {
    format!("{:?}", read(&Part::parse(part).unwrap()).expect_err(part))
}

/// What comes next, at most `most` of it.
pub fn take(source: &mut dyn Source, most: usize) -> Vec<Seen> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut seen = Vec::new();
    while seen.len() < most {
        match source.next(Duration::from_millis(100)).unwrap() {
            Next::Reading(reading) => seen.push(Seen::Reading(reading.into())),
            Next::Bad { bytes, place, refusal } => {
                assert!(!refusal.detail.is_empty());
                seen.push(Seen::Bad { bytes: bytes.to_owned(), place, reason: refusal.reason });
            }
            Next::NotYet => assert!(Instant::now() < deadline, "nothing comes"),
            Next::End => break,
        }
    }
    seen
}

/// All that comes, to the end.
pub fn all(source: &mut dyn Source) -> Vec<Seen> {
    take(source, usize::MAX)
}

/// The readings that come next, at most `most`; nothing bad may be among them.
pub fn readings(source: &mut dyn Source, most: usize) -> Vec<Got> {
    let reading = |seen| match seen {
        Seen::Reading(got) => got,
        Seen::Bad { .. } => panic!("{seen:?}"),
    };
    take(source, most).into_iter().map(reading).collect()
}
