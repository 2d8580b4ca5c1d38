//! The format `number`. The input is the value of a record.
//!
//! - It accepts the same numbers as a plain JSON value and the standard library.
//! - The other fields come from the record, and the unit from the topic.
//! - A number that is written reads back the same to the last bit.
//! - The reason of an invalid reading is a fixed word.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rivulet_core::format::{DecodeError, Format};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::unit::Unit;
use rivulet_formats::catalog::number::NumberFormat;
use serde_json::Value;

fuzz_target!(|value: &[u8]| {
    let format = NumberFormat {
        unit: Some(Unit::Kelvin),
    };
    let record = ConsumerRecord {
        topic: 0,
        partition: 0,
        offset: 7,
        timestamp: -1,
        key: Some(b"key"),
        value: Some(value),
        headers: &(),
    };
    let plain = serde_json::from_slice::<Value>(value)
        .ok()
        .and_then(|value| value.as_f64());
    match format.decode(&record) {
        Ok(readings) => {
            let [reading] = readings.as_slice() else {
                panic!("a number is one reading")
            };
            assert_eq!(
                (&*reading.sensor, reading.seq, reading.time, reading.unit),
                ("", 7, -1, Some(Unit::Kelvin))
            );
            let text = str::from_utf8(value).unwrap().trim();
            assert_eq!(
                text.parse::<f64>().map(f64::to_bits),
                Ok(reading.value.to_bits())
            );
            assert_eq!(plain, Some(reading.value));

            let mut written = Vec::new();
            format.encode(reading, &mut written).unwrap();
            let back = format
                .decode(&ConsumerRecord {
                    value: Some(&written),
                    ..record
                })
                .unwrap();
            assert_eq!(back.as_slice()[0].value.to_bits(), reading.value.to_bits());
        }
        Err(DecodeError::Unavailable(error)) => panic!("it needs nothing else: {error}"),
        Err(DecodeError::Invalid(invalid)) => {
            assert_eq!(plain, None, "{invalid}");
            assert!(
                ["empty", "not-a-number"].contains(&invalid.reason) && !invalid.detail.is_empty(),
                "{invalid:?}"
            );
        }
    }
});
