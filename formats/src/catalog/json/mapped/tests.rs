//! Messages of other programs, and mistakes in mappings.

use proptest::prelude::*;
use rivulet_core::format::{FormatContext, FormatSettings};
use rivulet_pipeline::ComponentConfig;

use super::super::Json;
use super::*;

const GREENHOUSE: &str = r#"
    sensor = "/device/id"
    time = "/ts"
    time-format = "rfc3339"
    values = { temperature = "/bme280/t", humidity = "/bme280/h", pressure = "/bme280/p" }
    units = { temperature = "celsius", humidity = "%", pressure = "/bme280/unit" }
    when = [{ field = "type", is = ["reading", "sample"] }]
"#;

fn settings(table: &str) -> Result<Json, String> {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.map(|line| format!("json.{line}\n")).collect();
    let config = ComponentConfig::parse(&lines.concat()).unwrap();
    config
        .settings()
        .map_err(|diagnostics| format!("{diagnostics}"))
}

fn format(table: &str) -> Box<dyn Format> {
    let context = FormatContext::new("t").with_unit("kelvin".parse().ok());
    settings(table).unwrap().build(&context).unwrap()
}

fn record<'a>(value: &'a [u8], key: Option<&'a [u8]>) -> ConsumerRecord<'a> {
    ConsumerRecord {
        topic: 0,
        partition: 0,
        offset: 41,
        timestamp: 9000,
        key,
        value: Some(value),
        headers: &(),
    }
}

/// The readings as text, or the reason.
fn decoded(format: &dyn Format, record: &ConsumerRecord<'_>) -> Vec<String> {
    let readings = match format.decode(record) {
        Ok(readings) => readings,
        Err(error) => return vec![error.to_string()],
    };
    let text = |reading: &Reading<'_>| {
        let unit = reading.unit.as_ref().map_or("", Unit::name);
        format!(
            "{} {} {} {} {unit}",
            reading.sensor, reading.seq, reading.time, reading.value
        )
    };
    readings.as_slice().iter().map(text).collect()
}

fn decode(table: &str, value: &str) -> Vec<String> {
    decoded(&*format(table), &record(value.as_bytes(), Some(b"k")))
}

#[test]
fn each_value_is_a_reading_of_its_own() {
    let message = r#"{"device":{"id":"bme-1"},"ts":"2023-11-14T22:13:20.5Z","type":"sample",
        "bme280":{"t":"21.50","h":40,"p":1013.25,"unit":"hPa"},"battery":[1,2]}"#;
    let expected = [
        "bme-1/humidity 41 1700000000500 40 %",
        "bme-1/pressure 41 1700000000500 1013.25 hPa",
        "bme-1/temperature 41 1700000000500 21.5 celsius",
    ];
    assert_eq!(decode(GREENHOUSE, message), expected);
    assert_eq!(format(GREENHOUSE).key("bme-1/humidity"), "bme-1");
    assert_eq!(format(GREENHOUSE).key("bme-1/other"), "bme-1/other");
}

#[test]
fn the_record_has_what_the_message_has_not() {
    assert_eq!(
        decode("value = \"t\"", r#"{"t":1}"#),
        ["k 41 9000 1 kelvin"]
    );
    let format = format("value = \"/readings/1/t\"\nsensor = { constant = \"attic\" }");
    let value = br#"{"readings":[{"t":1},{"t":2},{"t":3}]}"#;
    assert_eq!(
        decoded(&*format, &record(value, None)),
        ["attic 41 9000 2 kelvin"]
    );
}

#[test]
fn headers_pick_records_before_their_values_are_read() {
    let format = format(
        r#"
        sensor = { header = "device" }
        value = "/t"
        when = { header = "record_name", is = "sensor_temperature_measured" }
    "#,
    );
    let headers = |name: &str| {
        vec![
            ("device".to_owned(), Some(b"a".to_vec())),
            ("record_name".to_owned(), Some(name.as_bytes().to_vec())),
        ]
    };
    let (measured, other) = (headers("sensor_temperature_measured"), headers("started"));
    let with = |value: &'static [u8], headers| {
        decoded(
            &*format,
            &ConsumerRecord {
                headers,
                ..record(value, None)
            },
        )
    };
    assert_eq!(with(b"{\"t\":5}", &measured), ["a 41 9000 5 kelvin"]);
    assert_eq!(with(b"not json", &other), [""; 0]);
    assert!(with(b"not json", &measured)[0].starts_with("not-json"));
}

#[test]
fn what_is_missing_is_a_dead_letter_or_skipped() {
    let skip = format!("{GREENHOUSE}\nmissing = \"skip\"");
    let message = r#"{"device":{"id":"a"},"ts":"2023-11-14T22:13:20Z","type":"reading",
        "bme280":{"t":"","h":null,"p":1}}"#;
    let [dead_letter] = &decode(GREENHOUSE, message)[..] else {
        panic!("one error is expected")
    };
    assert_eq!(dead_letter, "missing: there is nothing at /bme280/h");
    assert_eq!(
        decode(&skip, message),
        ["a/pressure 41 1700000000000 1 kelvin"]
    );
    let nameless = r#"{"device":"a","ts":"2023-11-14T22:13:20Z","type":"reading"}"#;
    assert_eq!(
        decode(GREENHOUSE, nameless),
        ["missing: there is nothing at /device/id"]
    );
    assert_eq!(decode(&skip, nameless), [""; 0]);
    assert_eq!(
        decode(GREENHOUSE, r#"{"type":"status"}"#),
        [""; 0],
        "`when` comes first"
    );
}

#[test]
fn an_invalid_part_is_named() {
    let table = "sensor = \"s\"\nseq = \"n\"\ntime = \"t\"\nvalue = \"v\"";
    for (message, expected) in [
        (
            r#"{"s":1.5,"n":1,"t":1,"v":1}"#,
            "not-text: /s: expected text or a whole number",
        ),
        (
            r#"{"s":"a","n":-1,"t":1,"v":1}"#,
            "not-a-number: /n: expected a whole number from 0",
        ),
        (
            r#"{"s":"a","n":1,"t":true,"v":1}"#,
            "not-a-time: /t: expected a time as a number",
        ),
        (
            r#"{"s":"a","n":1,"t":1,"v":"x"}"#,
            "not-a-number: /v: expected a number, found \"x\"",
        ),
        (
            r#"{"s":"a","n":1,"t":1,"v":{}}"#,
            "not-a-number: /v: expected a number, found an obj",
        ),
        (r#"{"s":"a","n":1,"t":1,"v":"inf"}"#, "not-finite"),
        (
            r#"{"s":"a","n":1,"t":1,"v":1,"v":1}"#,
            "not-json: `v` is there twice",
        ),
        (r#"{"s":"a","n":1,"t":1,"v":1"#, "not-json: EOF"),
        (
            r#"{"s":"a","n":1,"t":1,"v":1} 2"#,
            "not-json: trailing characters",
        ),
        ("[1]", "missing: there is nothing at /s"),
    ] {
        let [found] = &decode(table, message)[..] else {
            panic!("{message}")
        };
        assert!(found.starts_with(expected), "{message}: {found}");
    }
    assert_eq!(
        decode(
            table,
            r#"{"s":7,"n":"3","t":"1","v":" 1e1 ","x":{"v":[{}]}}"#
        ),
        ["7 3 1 10 kelvin"]
    );
}

#[test]
fn a_time_of_day_is_added_to_its_date() {
    let table = "sensor = \"VEHICLE_ID\"\nvalue = \"VELOCITY\"\ntime = \"OPD_DATE\"\n\
                 time-format = \"%d-%b-%y\"\ntime-plus = \"ACT_TIME\"\nmissing = \"skip\"";
    let message = |speed| {
        format!(
            r#"{{"VEHICLE_ID":"1776","OPD_DATE":"14-NOV-23","ACT_TIME":"80000",
            "VELOCITY":"{speed}"}}"#
        )
    };
    assert_eq!(
        decode(table, &message("12")),
        ["1776 41 1700000000000 12 kelvin"]
    );
    assert_eq!(decode(table, &message("")), [""; 0]);
}

#[test]
fn the_same_table_writes() {
    let format = format(&format!("{GREENHOUSE}\nmissing = \"skip\"\nseq = \"n\""));
    let mut value = Vec::new();
    let reading = Reading {
        sensor: "a/b/temperature".into(),
        seq: 7,
        time: 1_700_000_000_500,
        value: 21.5,
        unit: Some(Unit::Celsius),
    };
    format.encode(&reading, &mut value).unwrap();
    assert_eq!(
        str::from_utf8(&value).unwrap(),
        "{\"device\":{\"id\":\"a/b\"},\"ts\":\"2023-11-14T22:13:20.5Z\",\"n\":7,\
         \"bme280\":{\"t\":21.5},\"type\":\"reading\"}"
    );
    assert_eq!(
        decoded(&*format, &record(&value, None)),
        ["a/b/temperature 7 1700000000500 21.5 celsius"]
    );
    for (sensor, reason) in [("a", "no-such-value"), ("/humidity", "no-such-value")] {
        let reading = Reading {
            sensor: sensor.into(),
            ..reading.clone()
        };
        assert_eq!(
            format.encode(&reading, &mut value).unwrap_err().reason,
            reason
        );
    }
}

#[test]
fn a_mistake_in_a_mapping_is_an_error_with_its_remedy() {
    for (table, expected) in [
        ("sensor = \"s\"", "add value = \"FIELD\""),
        (
            "value = \"a\"\nvalues = { b = \"b\" }",
            "exclude each other",
        ),
        ("value = \"/a~2b\"", "is not a JSON pointer: write ~0 for ~"),
        ("value = \"\"", "a field has a name"),
        (
            "value = \"offset\"",
            "`value` cannot be the record's offset",
        ),
        (
            "value = { constant = \"1\" }",
            "`value` cannot be a constant",
        ),
        ("value = { heading = \"a\" }", "unknown field `heading`"),
        (
            "value = { header = \"a\", field = \"b\" }",
            "names two places",
        ),
        ("value = {}", "an empty table"),
        ("value = 5", "a field's name, a JSON pointer"),
        (
            "value = \"a\"\nunits = { b = \"kelvin\" }",
            "`units` names `b`",
        ),
        ("values = { \"a/b\" = \"c\" }", "`a/b` cannot be a name"),
        (
            "value = \"a\"\ntime-format = \"seconds\"",
            "`time-format` has no effect",
        ),
        (
            "value = \"a\"\ntime = \"t\"\ntime-format = \"second\"",
            "is not a time format",
        ),
        (
            "value = \"a\"\ntime = \"t\"\ntime-format = \"%H:%M\"",
            "no pattern for times",
        ),
        (
            "value = \"a\"\nwhen = { is = \"b\" }",
            "either `header` or `field`",
        ),
        (
            "value = \"a\"\nmissing = \"ignore\"",
            "unknown variant `ignore`",
        ),
        (
            "value = \"a\"\nunit = \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"",
            "at most 30 bytes",
        ),
        ("value = \"a\"\nsensr = \"b\"", "unknown field `sensr`"),
    ] {
        let error = settings(table).unwrap_err();
        assert!(error.contains(expected), "{table}: {error}");
    }
}

#[test]
fn a_mapping_that_cannot_write_says_why() {
    for (table, expected) in [
        (
            "value = \"a\"\nsensor = { header = \"h\" }",
            "the sensor is the header `h`",
        ),
        (
            "value = \"a\"\nsensor = { constant = \"c\" }",
            "the sensor is the constant \"c\"",
        ),
        ("value = { header = \"h\" }", "the value is the header `h`"),
        (
            "value = \"a\"\nseq = \"key\"",
            "the sequence number is the key",
        ),
        ("value = \"a\"\nsensor = \"a\"", "/a would be written twice"),
        (
            "value = \"/a/b\"\nsensor = \"a\"",
            "/a/b would be written twice",
        ),
        (
            "value = \"a\"\nsensor = \"/a/b\"",
            "/a would be written twice",
        ),
        (
            "values = { a = \"a\", b = \"b\" }",
            "add missing = \"skip\"",
        ),
        (
            "value = \"a\"\nwhen = { field = \"b\" }",
            "does not say what /b is",
        ),
        (
            "value = \"a\"\nwhen = { header = \"b\", is = \"c\" }",
            "which cannot be written",
        ),
        (
            "value = \"a\"\ntime = \"t\"\ntime-plus = \"u\"",
            "`time-plus` can be read",
        ),
    ] {
        let read = settings(table).unwrap();
        let error = read.check_write(&FormatContext::new("t")).unwrap_err();
        assert!(error.contains(expected), "{table}: {error}");
    }
    for table in [
        "value = \"a\"",
        &format!("{GREENHOUSE}\nmissing = \"skip\""),
    ] {
        let read = settings(table).unwrap();
        read.check_write(&FormatContext::new("t")).unwrap();
    }
}

proptest! {
    #[test]
    fn a_written_reading_reads_back_the_same(
        sensor in ".{1,50}",
        seq: u64,
        time in -377_705_000_000_000..253_402_000_000_000_i64,
        value in proptest::num::f64::NORMAL,
        time_format in proptest::sample::select(
            &["milliseconds", "seconds", "microseconds", "rfc3339"][..]
        ),
    ) {
        let table = format!(
            "sensor = \"/a/~1\"\nseq = \"n\"\ntime = \"t\"\ntime-format = \"{time_format}\"\n\
             values = {{ x = \"/v/x\", y = \"/v/y\" }}\nunit = \"/u\"\nmissing = \"skip\""
        );
        let format = format(&table);
        let sensor = format!("{sensor}/y");
        let unit = Some(Unit::Celsius);
        let reading = Reading { sensor: sensor.into(), seq, time, value, unit };
        let mut written = Vec::new();
        format.encode(&reading, &mut written).unwrap();
        let readings = format.decode(&record(&written, None)).unwrap();
        prop_assert_eq!(readings.as_slice(), &[reading][..]);
    }
}
