//! JSON by a mapping. The input is the value of a record; its first byte chooses the mapping.
//!
//! - A record is decoded, skipped or invalid; nothing panics, and all values are finite.
//! - The reason of an invalid record is a fixed word.
//! - A reading that can be written reads back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rivulet_core::format::{DecodeError, Format, FormatContext};
use rivulet_core::log::ConsumerRecord;
use rivulet_formats::catalog::built_in;
use rivulet_pipeline::ComponentConfig;

const MAPPINGS: &[&str] = &[
    r#"json = { sensor = "s", seq = "n", time = "t", value = "v", unit = "/u" }"#,
    r#"
        json.sensor = "/a/b"
        json.seq = "n"
        json.time = "t"
        json.time-format = "seconds"
        json.values = { x = "/v/x", y = "/v/y" }
        json.missing = "skip"
    "#,
    r#"
        json.time = "/t"
        json.time-format = "rfc3339"
        json.value = "/r/0/v"
        json.when = { field = "w", is = "7" }
    "#,
    r#"
        json.time = "d"
        json.time-format = "%Y-%m-%d"
        json.time-plus = "p"
        json.value = "v"
        json.missing = "skip"
    "#,
];

const REASONS: &[&str] = &[
    "empty",
    "missing",
    "not-a-number",
    "not-a-time",
    "not-a-unit",
    "not-finite",
    "not-json",
    "not-text",
    "too-large",
];

thread_local! {
    static FORMATS: Vec<Box<dyn Format>> = MAPPINGS.iter().map(|mapping| format(mapping)).collect();
}

fn format(mapping: &str) -> Box<dyn Format> {
    let config = ComponentConfig::parse(mapping).unwrap();
    let settings = built_in().read(&config).unwrap();
    settings.build(&FormatContext::new("t")).unwrap()
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, value)) = input.split_first() else {
        return;
    };
    FORMATS.with(|formats| check(&*formats[usize::from(*choice) % formats.len()], value));
});

fn check(format: &dyn Format, value: &[u8]) {
    let record = ConsumerRecord {
        topic: 0,
        partition: 0,
        offset: 7,
        timestamp: 9,
        key: Some(b"key"),
        value: Some(value),
        headers: &(),
    };
    let readings = match format.decode(&record) {
        Ok(readings) => readings,
        Err(DecodeError::Unavailable(error)) => panic!("it needs nothing else: {error}"),
        Err(DecodeError::Invalid(invalid)) => {
            let is_known = REASONS.contains(&invalid.reason);
            assert!(is_known && !invalid.detail.is_empty(), "{invalid:?}");
            return;
        }
    };
    for reading in readings.as_slice() {
        assert!(reading.value.is_finite(), "{reading:?}");
        let mut written = Vec::new();
        // The year may have more digits than can be written.
        if format.encode(reading, &mut written).is_err() {
            continue;
        }
        let back = format.decode(&ConsumerRecord {
            key: Some(format.key(&reading.sensor).as_bytes()),
            value: Some(&written),
            ..record
        });
        let back = back.unwrap();
        let [back] = back.as_slice() else {
            panic!(
                "{} reads back as {back:?}",
                String::from_utf8_lossy(&written)
            )
        };
        assert_eq!(back.value.to_bits(), reading.value.to_bits());
        assert_eq!((&back.sensor, back.unit), (&reading.sensor, reading.unit));
    }
}
