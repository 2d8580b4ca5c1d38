//! A reading as one line of JSON, in the fields of the [`json` format](stream::format::json).

use serde::Serialize;
use stream::reading::{Reading, Unit};

use crate::sink::Delivery;

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    place: Option<Place<'a>>,
    sensor: &'a str,
    seq: u64,
    time: i64,
    value: f64,
    unit: Option<Unit>,
}

/// Where a reading was read.
#[derive(Serialize)]
struct Place<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
}

/// Appends a reading with a newline; the unit of a reading without one is `null`.
pub(crate) fn push_reading(line: &mut Vec<u8>, reading: &Reading<'_>) {
    push(line, None, reading);
}

/// Appends a reading with a newline, its topic, partition and offset before it.
pub(crate) fn push_delivery(line: &mut Vec<u8>, delivery: &Delivery<'_>) {
    let place = Place {
        topic: delivery.topic,
        partition: delivery.partition,
        offset: delivery.offset,
    };
    push(line, Some(place), delivery.reading);
}

fn push(line: &mut Vec<u8>, place: Option<Place<'_>>, reading: &Reading<'_>) {
    let fields = Line {
        place,
        sensor: &reading.sensor,
        seq: reading.seq,
        time: reading.time,
        value: reading.value,
        unit: reading.unit,
    };
    serde_json::to_writer(&mut *line, &fields)
        .expect("memory takes all that is written to it, and every key is text");
    line.push(b'\n');
}

#[cfg(test)]
mod tests {
    use stream::format::Format;
    use stream::format::json::{Json, parse};

    use super::*;

    #[test]
    fn it_is_what_the_json_format_writes_and_reads() {
        let reading = Reading {
            sensor: "a\"b".into(),
            seq: 7,
            time: -1,
            value: 12.8,
            unit: Some(Unit::Celsius),
        };
        let (mut line, mut wire) = (Vec::new(), Vec::new());
        push_reading(&mut line, &reading);
        Json.encode(&reading, &mut wire).unwrap();
        wire.push(b'\n');
        assert_eq!(line, wire);

        line.clear();
        let delivery = Delivery {
            topic: "t",
            partition: 3,
            offset: 41,
            timestamp: 0,
            key: None,
            reading: &reading,
        };
        push_delivery(&mut line, &delivery);
        assert!(
            line.starts_with(br#"{"topic":"t","partition":3,"offset":41,"sensor":"a\"b","seq":7,"#)
        );
        assert_eq!(parse(&line).unwrap(), reading);
    }
}
