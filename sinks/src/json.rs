//! A reading as one line of JSON, with the fields of the [`json`
//! format](rivulet_formats::catalog::json), and every string as [plain text](plain_json).

use std::borrow::Cow;

use rivulet_core::reading::Reading;
use rivulet_core::text::plain_json;
use rivulet_core::unit::Unit;
use serde::Serialize;

use crate::sink::Delivery;

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    origin: Option<Origin<'a>>,
    sensor: &'a str,
    seq: u64,
    time: i64,
    value: f64,
    unit: Option<Unit>,
}

/// The record that a reading came from.
#[derive(Serialize)]
struct Origin<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
}

/// Appends a reading and a newline. A missing unit is `null`.
pub(crate) fn push_reading(line: &mut Vec<u8>, reading: &Reading<'_>) {
    push(line, None, reading);
}

/// Appends topic, partition and offset, one of the readings and a newline.
pub(crate) fn push_delivery(line: &mut Vec<u8>, delivery: &Delivery<'_>, reading: &Reading<'_>) {
    let origin = Origin {
        topic: delivery.topic,
        partition: delivery.partition,
        offset: delivery.offset,
    };
    push(line, Some(origin), reading);
}

fn push(line: &mut Vec<u8>, origin: Option<Origin<'_>>, reading: &Reading<'_>) {
    let fields = Line {
        origin,
        sensor: &reading.sensor,
        seq: reading.seq,
        time: reading.time,
        value: reading.value,
        unit: reading.unit,
    };
    let start = line.len();
    serde_json::to_writer(&mut *line, &fields)
        .expect("writing to memory never fails, and all keys are strings");
    let json = String::from_utf8_lossy(&line[start..]);
    if let Cow::Owned(plain) = plain_json(&json) {
        line.truncate(start);
        line.extend_from_slice(plain.as_bytes());
    }
    line.push(b'\n');
}

#[cfg(test)]
mod tests {
    use rivulet_core::format::Format;
    use rivulet_formats::catalog::json::{JsonFormat, parse};

    use super::*;

    #[test]
    fn a_line_is_the_same_as_in_the_json_format() {
        let reading = Reading {
            sensor: "a\"b".into(),
            seq: 7,
            time: -1,
            value: 12.8,
            unit: Some(Unit::Celsius),
        };
        let (mut line, mut wire) = (Vec::new(), Vec::new());
        push_reading(&mut line, &reading);
        JsonFormat::default().encode(&reading, &mut wire).unwrap();
        wire.push(b'\n');
        assert_eq!(line, wire);

        line.clear();
        let delivery = Delivery {
            topic: "t",
            partition: 3,
            offset: 41,
            timestamp: 0,
            key: None,
            readings: &[],
        };
        push_delivery(&mut line, &delivery, &reading);
        assert!(
            line.starts_with(br#"{"topic":"t","partition":3,"offset":41,"sensor":"a\"b","seq":7,"#)
        );
        assert_eq!(parse(&line).unwrap(), reading);
    }

    #[test]
    fn a_name_cannot_command_a_terminal_and_stays_the_same() {
        let reading = Reading {
            sensor: "\u{9b}2J\u{7f}\u{202e}\n".into(),
            seq: 7,
            time: -1,
            value: 12.8,
            unit: None,
        };
        let mut line = Vec::new();
        push_reading(&mut line, &reading);
        assert!(line.starts_with(br#"{"sensor":"\u009b2J\u007f\u202e\n","seq":7,"#));
        assert_eq!(parse(&line).unwrap(), reading);
    }
}
