//! The format `json`: any bytes as the value of a record.
//!
//! - What is taken apart without the parser's generality is what the parser reads or refuses.
//! - It is what a plain JSON value says, field by field.
//! - A reading that is written reads back the same to the last bit, and is written the same again.
//! - A refusal's reason is a fixed word.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stream::format::Format;
use stream::format::json::{Json, parse};
use stream::reading::{Reading, Unit};

fuzz_target!(|value: &[u8]| {
    let read = parse(value);
    // White space before an object is JSON, but not rivulet's own form: it goes to the parser.
    let spaced = [b" ", value].concat();
    let by_parser = parse(&spaced);
    match (read, by_parser) {
        (Ok(reading), Ok(by_parser)) => {
            same(&reading, &by_parser);
            says(value, &reading);
            written(&reading);
        }
        (Err(refusal), Err(by_parser)) => {
            assert_eq!(refusal.reason, by_parser.reason);
            assert!(
                ["not-json", "not-finite"].contains(&refusal.reason) && !refusal.detail.is_empty(),
                "{refusal:?}"
            );
        }
        (read, by_parser) => panic!("{read:?}, but by the parser {by_parser:?}"),
    }
});

/// Whether two readings are the same to the last bit.
fn same(one: &Reading<'_>, other: &Reading<'_>) {
    assert_eq!(one, other);
    assert_eq!(one.value.to_bits(), other.value.to_bits());
}

/// Compares a reading with what a plain JSON value says, if it can be one: fields that are passed
/// over may hold what a value cannot, such as 1e999.
fn says(text: &[u8], reading: &Reading<'_>) {
    let Ok(value) = serde_json::from_slice::<Value>(text) else {
        return;
    };
    assert_eq!(value["sensor"].as_str(), Some(&*reading.sensor));
    assert_eq!(value["seq"].as_u64(), Some(reading.seq));
    assert_eq!(value["time"].as_i64(), Some(reading.time));
    assert_eq!(value["value"].as_f64(), Some(reading.value));
    assert_eq!(value["unit"].as_str(), reading.unit.map(Unit::name));
    assert!(reading.value.is_finite());
}

/// Writes a reading, reads it back, and writes it again.
fn written(reading: &Reading<'_>) {
    let (mut once, mut again) = (Vec::new(), Vec::new());
    Json.encode(reading, &mut once).unwrap();
    let back = parse(&once).unwrap();
    same(&back, reading);
    Json.encode(&back, &mut again).unwrap();
    assert_eq!(once, again);
}
