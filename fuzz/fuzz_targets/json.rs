//! The format `json`. The input is the value of a record.
//!
//! - The fast path and the parser give the same reading, or errors with the same reason.
//! - The reading equals a plain JSON value, field by field.
//! - A reading reads back the same to the last bit, and is written the same again.
//! - The reason of an invalid reading is a fixed word.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rivulet_core::format::Format;
use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;
use rivulet_formats::catalog::json::{JsonFormat, parse};
use serde_json::Value;

fuzz_target!(|value: &[u8]| {
    let read = parse(value);
    // White space before the object keeps the fast path from reading it.
    let spaced = [b" ", value].concat();
    let by_parser = parse(&spaced);
    match (read, by_parser) {
        (Ok(reading), Ok(by_parser)) => {
            check_same(&reading, &by_parser);
            check_fields(value, &reading);
            check_written(&reading);
        }
        (Err(invalid), Err(by_parser)) => {
            assert_eq!(invalid.reason, by_parser.reason);
            assert!(
                ["not-json", "not-finite"].contains(&invalid.reason) && !invalid.detail.is_empty(),
                "{invalid:?}"
            );
        }
        (read, by_parser) => panic!("{read:?}, but by the parser {by_parser:?}"),
    }
});

/// Checks that two readings are the same to the last bit.
fn check_same(one: &Reading<'_>, other: &Reading<'_>) {
    assert_eq!(one, other);
    assert_eq!(one.value.to_bits(), other.value.to_bits());
}

/// Compares a reading with a plain JSON value. Skipped fields can contain a number that is too
/// large for one, such as 1e999.
fn check_fields(text: &[u8], reading: &Reading<'_>) {
    let Ok(value) = serde_json::from_slice::<Value>(text) else {
        return;
    };
    assert_eq!(value["sensor"].as_str(), Some(&*reading.sensor));
    assert_eq!(value["seq"].as_u64(), Some(reading.seq));
    assert_eq!(value["time"].as_i64(), Some(reading.time));
    assert_eq!(value["value"].as_f64(), Some(reading.value));
    assert_eq!(
        value["unit"].as_str(),
        reading.unit.as_ref().map(Unit::name)
    );
    assert!(reading.value.is_finite());
}

/// Writes a reading, reads it back, and writes it again.
fn check_written(reading: &Reading<'_>) {
    let (mut once, mut again) = (Vec::new(), Vec::new());
    JsonFormat::default().encode(reading, &mut once).unwrap();
    let back = parse(&once).unwrap();
    check_same(&back, reading);
    JsonFormat::default().encode(&back, &mut again).unwrap();
    assert_eq!(once, again);
}
