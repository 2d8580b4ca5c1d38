//! The decoder beside the formats of the stages.

use proptest::prelude::*;
use rivulet_core::format::{Format, FormatContext};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::unit::Unit;
use rivulet_formats::catalog::avro::Avro;
use rivulet_formats::catalog::built_in;
use rivulet_pipeline::{ComponentConfig, Role};

use self::registry::REGISTRY;
use super::*;

mod avro;
mod mapped;
mod registry;

const JSON: &str = "json = {}";
const NUMBER: &str = "number = {}";
const FORMATS: [&str; 2] = [JSON, NUMBER];

fn topic(format: &str) -> Topic {
    let format = ComponentConfig::parse(format).unwrap();
    Topic {
        name: "t".to_owned(),
        partitions: 1,
        replication: None,
        format,
        unit: Some(Unit::Kelvin),
        external: false,
        config: [].into(),
        role: Role::Readings,
    }
}

/// The format of a topic as the stages have it.
fn build(topic: &Topic) -> Box<dyn Format> {
    if topic.format.name() == "avro" {
        let settings: Avro = topic.format.settings().unwrap();
        let context = FormatContext::new("t").with_unit(topic.unit);
        let built = settings.with_registry(&context, Box::new(REGISTRY));
        return Box::new(built.unwrap());
    }
    let settings = built_in().read(&topic.format).unwrap();
    let context = FormatContext::new("t").with_unit(topic.unit);
    settings.build(&context).unwrap()
}

fn decoder(topic: &Topic) -> Decoder<'_> {
    Decoder::new("t", topic, Path::new(""), &REGISTRY).unwrap()
}

/// The readings of a record, as the stages decode them.
fn theirs(topic: &Topic, record: &ConsumerRecord<'_>) -> Option<Vec<(String, Entry)>> {
    let readings = build(topic).decode(record).ok()?;
    let readings = readings.as_slice().iter().map(|reading| {
        let entry = Entry {
            seq: reading.seq,
            time: reading.time,
            value: reading.value,
            unit: reading.unit,
        };
        (reading.sensor.clone().into_owned(), entry)
    });
    Some(readings.collect())
}

/// The results of both decoders.
fn decoded(topic: &Topic, record: &FetchedRecord<'_>) -> [Option<Vec<(String, Entry)>>; 2] {
    let FetchedRecord {
        partition,
        offset,
        timestamp,
        key,
        value,
        headers,
    } = *record;
    let incoming = ConsumerRecord {
        topic: 0,
        partition,
        offset,
        timestamp,
        key,
        value,
        headers: &headers.to_vec(),
    };
    let ours = decoder(topic).decode(record).ok();
    [ours, theirs(topic, &incoming)]
}

fn record(offset: i64, value: Option<&[u8]>) -> FetchedRecord<'_> {
    FetchedRecord {
        partition: 0,
        offset,
        timestamp: 9,
        key: None,
        value,
        headers: &[],
    }
}

fn decode(format: &str, record: &FetchedRecord<'_>) -> Result<Vec<(String, Entry)>, String> {
    decoder(&topic(format)).decode(record)
}

#[test]
fn a_reading_is_read_in_both_formats() {
    let line = br#"{"sensor":"a","seq":7,"time":-5,"value":12,"unit":"celsius"}"#;
    let entry = Entry {
        seq: 7,
        time: -5,
        value: 12.0,
        unit: Some(Unit::Celsius),
    };
    assert_eq!(
        decode(JSON, &record(3, Some(line))),
        Ok(vec![("a".into(), entry)])
    );
    let entry = Entry {
        seq: 3,
        time: 9,
        value: -1.5,
        unit: Some(Unit::Kelvin),
    };
    assert_eq!(
        decode(NUMBER, &record(3, Some(b"-1.5"))),
        Ok(vec![(String::new(), entry)])
    );
}

#[test]
fn it_rejects_what_the_stages_reject() {
    let good = r#"{"sensor":"a","seq":7,"time":5,"value":12,"unit":"celsius"}"#;
    let spoilt = [
        ("7", "-7"),
        ("7", "7.0"),
        ("5", "null"),
        ("12", "1e999"),
        ("12", "\"12\""),
        ("celsius", ""),
        ("\"celsius\"", "1"),
        ("\"a\"", "1"),
    ];
    let mut bad: Vec<String> = spoilt
        .iter()
        .map(|(from, to)| good.replacen(from, to, 1))
        .collect();
    bad.extend(
        [
            "",
            "null",
            "\"abc\"",
            "NaN",
            "{}",
            "[[]]",
            "1 2",
            "{\"sensor\":",
            "-",
        ]
        .map(String::from),
    );
    for format in FORMATS {
        for value in bad
            .iter()
            .map(String::as_bytes)
            .chain([&b"\xff\xfe"[..], &[b'x'; 1000]])
        {
            assert_eq!(
                decoded(&topic(format), &record(7, Some(value))),
                [None, None],
                "{}",
                String::from_utf8_lossy(value)
            );
        }
    }
}

/// Names and values as they may appear in a line, with their quotes.
const NAMES: &[&str] = &[
    "sensor",
    "seq",
    "time",
    "value",
    "unit",
    "accuracy",
    "Unit",
    "\\u0073eq",
    "\\ud800",
];
const VALUES: &[&[u8]] = &[
    b"\"a\"",
    b"\"\"",
    b"\"\\u0061\"",
    b"\"\\ud800\"",
    b"\"\xff\"",
    b"\"\x01\"",
    b"0",
    b"7",
    b"-7",
    b"-0",
    b"7.0",
    b"7e0",
    b"1e999",
    b"-1e-999",
    b"12.8",
    b"07",
    b"+7",
    b"NaN",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"-9223372036854775809",
    b"null",
    b"true",
    b"\"celsius\"",
    b"\"Celsius\"",
    b"\"kelvin\"",
    b"{\"celsius\":null}",
    b"{}",
    b"[1]",
    b"{\"a\":1,\"a\":2}",
];

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::select(VALUES).prop_map(<[u8]>::to_vec)
}

/// A line with the fields of a reading. Some may be repeated, corrupt, missing or moved.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let fields = (
        ".{0,6}",
        any::<u64>(),
        any::<i64>(),
        any::<f64>(),
        proptest::sample::select(&UNITS[..]),
    );
    let fields = fields.prop_map(|(sensor, seq, time, value, unit)| {
        let text = |text: String| text.into_bytes();
        let sensor = serde_json::to_string(&sensor).unwrap();
        vec![
            ("sensor", text(sensor)),
            ("seq", text(seq.to_string())),
            ("time", text(time.to_string())),
            ("value", text(serde_json::to_string(&value).unwrap())),
            ("unit", text(format!("\"{unit}\""))),
        ]
    });
    let change = (
        0..4_u8,
        any::<proptest::sample::Index>(),
        proptest::sample::select(NAMES),
        any_value(),
    );
    let space = proptest::sample::select(&["", " ", "\n\t"][..]);
    (fields, proptest::collection::vec(change, 0..3), space).prop_map(
        |(mut fields, changes, space)| {
            for (kind, at, name, value) in changes {
                let index = at.index(fields.len());
                match kind {
                    0 => fields[index].1 = value,
                    1 => fields.insert(index, (name, value)),
                    2 if fields.len() > 1 => drop(fields.remove(index)),
                    _ => fields.swap(0, index),
                }
            }
            let mut line = b"{".to_vec();
            for (index, (name, value)) in fields.iter().enumerate() {
                line.extend(if index > 0 { "," } else { "" }.bytes());
                line.extend(format!("{space}\"{name}\"{space}:{space}").bytes());
                line.extend(value);
            }
            line.extend(space.bytes().chain(*b"}"));
            line
        },
    )
}

const UNITS: [&str; 3] = ["celsius", "fahrenheit", "kelvin"];

/// A bare number.
const NUMBERS: &str =
    "[ \n]{0,1}-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?[ \n]{0,1}";

/// What a topic may hold: readings in both formats, intact or corrupt, and anything else.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let intact = prop_oneof![
        4 => any_line(),
        2 => NUMBERS.prop_map(String::into_bytes),
        1 => any_value(),
    ];
    let edit = (any::<proptest::sample::Index>(), any::<u8>(), 0..3_u8);
    let edited = (intact, proptest::collection::vec(edit, 0..2));
    let edited = edited.prop_map(|(mut bytes, edits)| {
        for (at, byte, kind) in edits {
            let index = at.index(bytes.len() + 1);
            match (kind, index < bytes.len()) {
                (0, true) => bytes[index] = byte,
                (1, true) => drop(bytes.remove(index)),
                _ => bytes.insert(index, byte),
            }
        }
        bytes
    });
    prop_oneof![6 => edited, 1 => proptest::collection::vec(any::<u8>(), 0..80)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Every record that a stage rejects is a dead letter that verify expects, and no other.
    #[test]
    fn it_decodes_and_rejects_the_same_records_as_the_stages(
        value in proptest::option::weighted(0.97, any_bytes()),
        key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..5)),
        offset in 0..i64::MAX,
        timestamp in prop_oneof![Just(-1), any::<i64>()],
    ) {
        let (key, value) = (key.as_deref(), value.as_deref());
        let record = FetchedRecord {
            partition: 0,
            offset,
            timestamp,
            key,
            value,
            headers: &[],
        };
        let text = String::from_utf8_lossy(value.unwrap_or_default());
        for format in FORMATS {
            let [ours, theirs] = decoded(&topic(format), &record);
            prop_assert_eq!(ours, theirs, "{}", text);
        }
    }
}
