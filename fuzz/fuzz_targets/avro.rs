//! The formats `avro` and `avro-file`. The input is a datum of a schema, or a whole record or file.
//!
//! - A record is decoded, skipped or invalid; nothing panics, and all values are finite.
//! - The reason of an invalid record is a fixed word.
//! - What is printed of a file is JSON, and its bytes are whole if the format decodes them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rivulet_core::error::Error;
use rivulet_core::format::{DecodeError, Format, FormatContext};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::reading::InvalidReading;
use rivulet_formats::avro::container::ContainerReader;
use rivulet_formats::avro::writer::{header, push_bytes, push_long};
use rivulet_formats::catalog::avro::{Avro, AvroFormat};
use rivulet_formats::catalog::built_in;
use rivulet_formats::schema_registry::SchemaRegistry;
use rivulet_pipeline::ComponentConfig;

const SETTINGS: &str = r#"sensor = "/s/name", time = "t", values = { x = "x", y = "/m/y" },
    missing = "skip""#;

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
    "unknown-schema",
];

/// A registry with one schema, whose id is 1.
#[derive(Debug)]
struct Registry;

impl SchemaRegistry for Registry {
    fn schema(&self, id: u32) -> Result<String, DecodeError> {
        match id {
            1 => Ok(SCHEMA.to_owned()),
            _ => Err(InvalidReading::new("unknown-schema", "there is only one").into()),
        }
    }

    fn id(&self, _: &str, _: &str, _: bool) -> Result<u32, Error> {
        unreachable!("nothing is written")
    }

    fn latest(&self, _: &str) -> Result<(u32, String), Error> {
        unreachable!("nothing is written")
    }
}

thread_local! {
    static FILES: Box<dyn Format> = {
        let config = format!("avro-file = {{ {SETTINGS} }}");
        let settings = built_in().read(&ComponentConfig::parse(&config).unwrap()).unwrap();
        settings.build(&FormatContext::new("t")).unwrap()
    };
    static RECORDS: AvroFormat = {
        let config = format!("avro = {{ registry = \"http://localhost\", {SETTINGS} }}");
        let settings: Avro = ComponentConfig::parse(&config).unwrap().settings().unwrap();
        let built = settings.with_registry(&FormatContext::new("t"), Box::new(Registry));
        built.unwrap()
    };
}

fuzz_target!(|input: &[u8]| {
    let (mut file, sync) = header(SCHEMA);
    push_long(&mut file, 1);
    push_bytes(&mut file, input);
    file.extend_from_slice(&sync);
    FILES.with(|format| {
        for file in [&file, input] {
            check(&**format, file);
            print(file);
        }
    });
    RECORDS.with(|format| {
        check(format, &[&[0, 0, 0, 0, 1], input].concat());
        check(format, input);
    });
});

fn print(file: &[u8]) {
    for datum in ContainerReader::default().json(file).unwrap_or_default() {
        let parsed = serde_json::from_str::<serde_json::Value>(&datum);
        assert!(parsed.is_ok(), "{datum}: {parsed:?}");
    }
}

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
