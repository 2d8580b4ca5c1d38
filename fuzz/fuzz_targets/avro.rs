//! The format `avro-file`. The input is a datum of a schema, or a whole file.
//!
//! - A file is decoded, skipped or invalid; nothing panics, and all values are finite.
//! - The reason of an invalid file is a fixed word.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rivulet_core::format::{DecodeError, Format};
use rivulet_core::log::ConsumerRecord;
use rivulet_formats::avro::writer::{header, push_bytes, push_long};
use rivulet_formats::catalog::built_in;
use rivulet_pipeline::ComponentConfig;

const SETTINGS: &str = r#"
    avro-file.sensor = "/s/name"
    avro-file.time = "t"
    avro-file.values = { x = "x", y = "/m/y" }
    avro-file.missing = "skip"
"#;

/// A schema with every type. The settings name some of its fields.
const SCHEMA: &str = r#"{"type":"record","name":"r","fields":[
    {"name":"s","type":{"type":"record","name":"s","fields":[
        {"name":"name","type":["null","string"]},{"name":"inner","type":["null","s"]}]}},
    {"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"x","type":["null","double","float","int","string",
        {"type":"bytes","logicalType":"decimal","precision":20,"scale":3}]},
    {"name":"m","type":{"type":"map","values":["long","string","boolean"]}},
    {"name":"a","type":{"type":"array","items":["null",
        {"type":"enum","name":"e","symbols":["p","q"]},
        {"type":"fixed","name":"f","size":3}]}}]}"#;

const REASONS: &[&str] = &[
    "empty",
    "missing",
    "not-a-number",
    "not-a-time",
    "not-avro",
    "not-finite",
    "not-text",
    "too-large",
];

thread_local! {
    static FORMAT: Box<dyn Format> = {
        let config = ComponentConfig::parse(SETTINGS).unwrap();
        built_in().read(&config).unwrap().build(None)
    };
}

fuzz_target!(|input: &[u8]| {
    let (mut file, sync) = header(SCHEMA);
    push_long(&mut file, 1);
    push_bytes(&mut file, input);
    file.extend_from_slice(&sync);
    FORMAT.with(|format| {
        check(&**format, &file);
        check(&**format, input);
    });
});

fn check(format: &dyn Format, value: &[u8]) {
    let record = ConsumerRecord {
        topic: 0,
        partition: 0,
        offset: 7,
        timestamp: 9,
        key: None,
        value: Some(value),
        headers: &(),
    };
    match format.decode(&record) {
        Ok(readings) => {
            for reading in readings.as_slice() {
                assert!(reading.value.is_finite(), "{reading:?}");
            }
        }
        Err(DecodeError::Unavailable(error)) => panic!("it needs nothing else: {error}"),
        Err(DecodeError::Invalid(invalid)) => {
            let is_known = REASONS.contains(&invalid.reason);
            assert!(is_known && !invalid.detail.is_empty(), "{invalid:?}");
        }
    }
}
