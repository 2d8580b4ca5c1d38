//! Files as other programs write them, and mistakes in settings.

use proptest::prelude::*;
use rivulet_pipeline::ComponentConfig;

use super::*;
use crate::avro::container::MAGIC;
use crate::testing::{decode, record};

const SCHEMA: &str = r#"{"type":"record","name":"sensor_temperature_measured","fields":[
    {"name":"experiment","type":"string"},{"name":"sensor","type":"string"},
    {"name":"measurement_id","type":"string","default":""},
    {"name":"timestamp","type":"double"},{"name":"temperature","type":"float"},
    {"name":"note","type":["null","string"],"default":null}]}"#;

const SETTINGS: &str = r#"
    avro-file.sensor = "sensor"
    avro-file.time = { field = "timestamp" }
    avro-file.time-format = "seconds"
    avro-file.value = "temperature"
    avro-file.unit = "celsius"
"#;

/// The data of two measurements, compressed by other programs, in hexadecimal digits.
const BZIP2: &str = "\
    425a6839314159265359f31c4b360000056fd6d400400030006000040002020800400000044000002000\
    042000212a0191a310a1a69800e0a3d6e51158bf4ab34112781c4264d9f177245385090f31c4b360\
";
const XZ: &str = "\
    fd377a585a000004e6d6b4460200210116000000742fe5a3e0002700215d00011a3e378112d42038ae18\
    1938fba8fb5ba1e46cf508c568529b6efd2d6800000000000000a0b9abf19227ddbc00013d286f55db7f\
    1fb6f37d010000000004595a\
";
const ZSTANDARD: &str = "\
    28b52ffd04584101000265047331026d00001040fc54d9410000ac41000265047332026d00004040fc54\
    d941000080c00081e36931\
";

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn settings(text: &str) -> Result<AvroFile, String> {
    let config = ComponentConfig::parse(text).unwrap();
    config
        .settings()
        .map_err(|diagnostics| format!("{diagnostics}"))
}

fn format(text: &str) -> Box<dyn Format> {
    let settings = settings(text).unwrap();
    settings.build(&FormatContext::new("t")).unwrap()
}

/// A file with this codec and these blocks, each with its number of data.
fn file(schema: &str, codec: &str, blocks: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    push_long(&mut file, 2);
    for (name, value) in [("avro.schema", schema), ("avro.codec", codec)] {
        push_bytes(&mut file, name.as_bytes());
        push_bytes(&mut file, value.as_bytes());
    }
    push_long(&mut file, 0);
    file.extend_from_slice(&[7; SYNC]);
    for (count, data) in blocks {
        push_long(&mut file, *count);
        push_bytes(&mut file, data);
        file.extend_from_slice(&[7; SYNC]);
    }
    file
}

/// The datum of a measurement.
fn measured(sensor: &str, time: f64, degrees: f32) -> Vec<u8> {
    let mut datum = Vec::new();
    for text in ["e", sensor, "m"] {
        push_bytes(&mut datum, text.as_bytes());
    }
    datum.extend_from_slice(&time.to_le_bytes());
    datum.extend_from_slice(&degrees.to_le_bytes());
    push_long(&mut datum, 0);
    datum
}

#[test]
fn a_file_is_read_with_its_own_schema_and_codec() {
    let format = format(SETTINGS);
    let one = measured("s1", 1_700_000_000.25, 21.5);
    let two = [one.clone(), measured("s2", 1_700_000_001.0, -4.0)].concat();
    let deflated = miniz_oxide::deflate::compress_to_vec(&two, 6);
    let mut snapped = snap::raw::Encoder::new().compress_vec(&two).unwrap();
    snapped.extend_from_slice(&crc32fast::hash(&two).to_be_bytes());
    // As Python's bz2 and lzma and zstd write them.
    let [bzipped, xz, zstd] = [BZIP2, XZ, ZSTANDARD].map(bytes);
    let first = ("s1".to_owned(), 1_700_000_000_250, 21.5);
    let both = vec![first.clone(), ("s2".to_owned(), 1_700_000_001_000, -4.0)];
    for (codec, blocks, expected) in [
        ("null", vec![(1, one.clone())], vec![first.clone()]),
        ("null", vec![(2, two.clone())], both.clone()),
        ("deflate", vec![(2, deflated)], both.clone()),
        ("snappy", vec![(2, snapped)], both.clone()),
        ("bzip2", vec![(2, bzipped)], both.clone()),
        ("xz", vec![(2, xz)], both.clone()),
        ("zstandard", vec![(2, zstd)], both),
        (
            "null",
            vec![(1, one.clone()), (1, one.clone())],
            vec![first.clone(), first],
        ),
        ("null", vec![], vec![]),
    ] {
        assert_eq!(
            decode(&*format, &file(SCHEMA, codec, &blocks)),
            Ok(expected),
            "{codec}"
        );
    }
    // Another record in the same topic has another schema.
    let other = r#"{"type":"record","name":"started","fields":[{"name":"a","type":"int"}]}"#;
    let error = decode(&*format, &file(other, "null", &[(1, vec![2])])).unwrap_err();
    assert_eq!(error, "missing: there is nothing at /sensor");
}

#[test]
fn a_file_that_is_not_whole_is_invalid() {
    let format = format(SETTINGS);
    let datum = measured("s1", 1.0, 21.5);
    let whole = file(SCHEMA, "null", &[(1, datum.clone())]);
    // An empty file without blocks is whole, too.
    let header = file(SCHEMA, "null", &[]).len();
    for end in (0..whole.len()).filter(|end| *end != header) {
        decode(&*format, &whole[..end]).expect_err("it is cut off");
    }
    let mut trailing = whole.clone();
    trailing.push(0);
    let mut marker = whole.clone();
    *marker.last_mut().unwrap() = 8;
    let mut more = datum.clone();
    more.push(0);
    for (value, expected) in [
        (trailing, "early"),
        (marker, "sync marker"),
        (
            [b"Obj\x02", &whole[4..]].concat(),
            "does not begin with `Obj`",
        ),
        (file(SCHEMA, "null", &[(1, more)]), "more bytes than data"),
        (file(SCHEMA, "null", &[(2, datum.clone())]), "early"),
        (
            file("{", "null", &[(1, datum.clone())]),
            "its schema cannot be read",
        ),
        (
            file(SCHEMA, "zip", &[(1, datum.clone())]),
            "its codec is `zip`",
        ),
        (
            file(SCHEMA, "deflate", &[(1, datum.clone())]),
            "cannot be decompressed",
        ),
        (
            file(SCHEMA, "snappy", &[(1, datum.clone())]),
            "cannot be decompressed",
        ),
        (
            file(SCHEMA, "bzip2", &[(1, datum.clone())]),
            "cannot be decompressed",
        ),
        (
            file(SCHEMA, "xz", &[(1, datum.clone())]),
            "cannot be decompressed",
        ),
        (
            file(SCHEMA, "zstandard", &[(1, datum)]),
            "cannot be decompressed",
        ),
    ] {
        let error = decode(&*format, &value).unwrap_err();
        assert!(
            error.starts_with("not-avro") && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn readings_are_written_with_the_schema() {
    let text = format!(
        "{SETTINGS}\navro-file.schema = '''{}'''",
        SCHEMA.replace(
            "\"name\":\"experiment\",\"type\":\"string\"",
            "\"name\":\"experiment\",\"type\":\"string\",\"default\":\"none\"",
        )
    );
    let format = format(&text);
    let reading = Reading {
        sensor: "s1".into(),
        seq: 7,
        time: 1_700_000_000_250,
        value: 21.5,
        unit: Some(Unit::Celsius),
    };
    let mut value = Vec::new();
    format.encode(&reading, &mut value).unwrap();
    let expected = vec![("s1".to_owned(), 1_700_000_000_250, 21.5)];
    assert_eq!(decode(&*format, &value), Ok(expected));
    let huge = Reading {
        value: 1e300,
        ..reading
    };
    assert_eq!(
        format.encode(&huge, &mut value).unwrap_err().reason,
        "not-avro"
    );
}

#[test]
fn a_schema_that_does_not_fit_is_an_error() {
    for (schema, expected) in [
        ("{", "is no Avro schema: EOF"),
        ("\"string\"", "the schema has no field /sensor"),
        (SCHEMA, "/experiment has no default"),
        (
            r#"{"type":"record","name":"r","fields":[{"name":"sensor","type":"string"},
                {"name":"timestamp","type":"double"}]}"#,
            "the schema has no field /temperature",
        ),
        (
            r#"{"type":"record","name":"r","fields":[{"name":"sensor","type":"long"},
                {"name":"timestamp","type":"double"},{"name":"temperature","type":"float"}]}"#,
            "/sensor has a type that cannot hold the sensor",
        ),
        (
            r#"{"type":"record","name":"r","fields":[{"name":"sensor","type":"string"},
                {"name":"timestamp","type":"double"},{"name":"temperature","type":"float"},
                {"name":"x","type":"int","default":"a"}]}"#,
            "the default of /x is wrong",
        ),
    ] {
        let read = settings(&format!("{SETTINGS}\navro-file.schema = '''{schema}'''"));
        let error = read.unwrap().check_write(&FormatContext::new("t"));
        let error = error.unwrap_err();
        assert!(error.contains(expected), "{schema}: {error}");
    }
    let read = settings(SETTINGS).unwrap();
    let error = read.check_write(&FormatContext::new("t")).unwrap_err();
    assert!(error.contains("add schema-file"), "{error}");
}

proptest! {
    #[test]
    fn a_written_reading_reads_back_the_same(
        sensor in ".{1,50}",
        seq in 0..i64::MAX.unsigned_abs(),
        time in -1_000_000_000_000..253_402_000_000_000_i64,
        value in proptest::num::f64::NORMAL,
        unit in proptest::option::of("[a-z]{1,7}"),
    ) {
        let text = r#"
            avro-file.sensor = "/id/name"
            avro-file.seq = "n"
            avro-file.time = "t"
            avro-file.value = "v"
            avro-file.unit = "/u"
            avro-file.schema = '''{"type":"record","name":"r","fields":[
                {"name":"id","type":{"type":"record","name":"i","fields":[
                    {"name":"name","type":"string"}]}},
                {"name":"n","type":["long","null"]},
                {"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}},
                {"name":"v","type":"double"},
                {"name":"u","type":["null","string"]},
                {"name":"list","type":{"type":"array","items":"int"},"default":[]}]}'''
        "#;
        let format = format(text);
        let unit = unit.map(|unit| unit.parse().unwrap());
        let reading = Reading { sensor: sensor.into(), seq, time, value, unit };
        let mut written = Vec::new();
        format.encode(&reading, &mut written).unwrap();
        let readings = format.decode(&record(&written)).unwrap();
        prop_assert_eq!(readings.as_slice(), &[reading][..]);
    }
}
