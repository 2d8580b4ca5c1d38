//! A source's position. The input is JSON that each kind of source resumes from.
//!
//! - A source resumes, or returns an error that names the remedy.
//! - Another source resumes from its next position, and gives the same readings.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::{Corpus, fuzz_target};
use rivulet_pipeline::ComponentConfig;
use rivulet_producer::catalog::{SourceContext, read};
use rivulet_producer::source::{Next, Source};
use serde_json::Value;
use tempfile::TempDir;

const SOURCES: [&str; 5] = [
    "file = { path = \"a.csv\", repeat = 2 }",
    "list = { values = [20, 21, 19.5] }",
    "seasonal = { sensors = { a = {}, b = { phase = -7 } }, events = 3, delay-ms = 0 }",
    "simulated = { sensors = 2, readings = 3 }",
    "simulated = { sensors = 2 }",
];

/// The folder of the file that is read. It exists until the fuzzer ends.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let base = Path::new("/dev/shm");
    let folder = if base.is_dir() {
        tempfile::tempdir_in(base)
    } else {
        tempfile::tempdir()
    }
    .unwrap();
    let text = "sensor,time,value\na,1,10\nb,2,11\na,3,x\n\na,4,12\n";
    std::fs::write(folder.path().join("a.csv"), text).unwrap();
    folder
});

fuzz_target!(|position: &[u8]| -> Corpus {
    let Ok(position) = serde_json::from_slice(position) else {
        return Corpus::Reject;
    };
    for source in SOURCES {
        resume(source, &position);
    }
    Corpus::Keep
});

fn open(source: &str) -> Box<dyn Source> {
    let context = SourceContext {
        folder: FOLDER.path().to_owned(),
        host: "rpi0".to_owned(),
    };
    read(&ComponentConfig::parse(source).unwrap())
        .unwrap()
        .open(&context)
        .unwrap()
}

fn resume(config: &str, position: &Value) {
    let mut source = open(config);
    if let Err(error) = source.resume(position) {
        assert!(error.to_string().contains("--from-start"), "{error}");
        return;
    }
    if let Some(progress) = source.progress() {
        assert!(progress.done <= progress.total, "{progress:?}");
    }
    for _ in 0..10 {
        let mut again = open(config);
        let position = serde_json::from_str(&source.position().to_string()).unwrap();
        again
            .resume(&position)
            .unwrap_or_else(|error| panic!("its own {position} is rejected: {error}"));
        let (Some(next), Some(other)) = (next(&mut *source), next(&mut *again)) else {
            return;
        };
        assert_eq!(next, other);
    }
}

/// The next item of a source, as text without the time, which is the current time for some sources.
/// `None` at the end.
fn next(source: &mut dyn Source) -> Option<String> {
    match source.next(Duration::ZERO).unwrap() {
        Next::Reading(reading) | Next::Measured(reading) => {
            assert!(reading.value.is_finite());
            Some(format!(
                "{} {} {:?} {:?}",
                reading.sensor, reading.seq, reading.value, reading.unit
            ))
        }
        Next::Record(record) => Some(format!("{record:?}")),
        Next::Bad {
            bytes,
            place,
            invalid,
        } => Some(format!("{bytes:?} {place} {invalid}")),
        Next::NotYet | Next::End => None,
    }
}
