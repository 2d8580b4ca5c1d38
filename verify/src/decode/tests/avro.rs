//! Avro files: of several schemas, whole and damaged.

use rivulet_formats::avro::container::MAGIC;
use rivulet_formats::avro::writer::{push_bytes, push_long};

use super::*;

pub(super) const SCHEMAS: &[&str] = &[
    r#"{"type":"record","name":"r","fields":[{"name":"a","type":"string"},
        {"name":"b","type":{"type":"long","logicalType":"timestamp-micros"}},
        {"name":"c","type":["null","double","string"]}]}"#,
    r#"{"type":"record","name":"r","namespace":"x","fields":[{"name":"a","type":["null","r"]},
        {"name":"b","type":{"type":"enum","name":"e","symbols":["p","q"]}},
        {"name":"c","type":{"type":"array","items":"e"}},
        {"name":"d","type":{"type":"map","values":"float"}}]}"#,
    r#"{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"record","name":"s",
        "fields":[{"name":"a","type":"int"},{"name":"b","type":"boolean"}]}},
        {"name":"b","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"c","type":{"type":"fixed","name":"f","size":2}},
        {"name":"d","type":{"type":"array","items":"null"}}]}"#,
    r#"{"type":"record","name":"r","fields":[{"name":"a","type":"missing"}]}"#,
    "\"double\"",
];

/// Schemas of topics. Some of the others can be resolved to them.
const READERS: &[&str] = &[
    r#"{"type":"record","name":"r","fields":[{"name":"a","type":"string"},
        {"name":"b","type":{"type":"long","logicalType":"timestamp-micros"}},
        {"name":"c","type":"double"},{"name":"d","default":{"k":2},
            "type":{"type":"map","values":"float"}}]}"#,
    r#"{"type":"record","name":"q","fields":[{"name":"a","default":null,"type":["null",
            {"type":"record","name":"s","fields":[{"name":"a","type":"int","default":3},
                {"name":"b","type":"boolean","default":true}]},"bytes"]},
        {"name":"b","type":["double","long"],"default":7},
        {"name":"c","type":["string","double","null"],"default":"21"},
        {"name":"d","type":{"type":"map","values":"double"},"default":{}}]}"#,
    r#"{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"record","name":"s",
            "fields":[{"name":"a","type":"float"},{"name":"b","type":"boolean"}]}},
        {"name":"b","default":"\u0001\u00ff",
            "type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"c","type":["double",{"type":"fixed","name":"f","size":2},"null"]},
        {"name":"d","type":{"type":"map","values":"double"},"default":{"k":0.5}}]}"#,
    r#"{"type":"record","name":"r","fields":[
        {"name":"a","aliases":["x","b"],"type":["null","string","long"],"default":null},
        {"name":"b","aliases":["d"],"type":["null","string","long"]},
        {"name":"c","aliases":["a"],"type":{"type":"array","items":"double"},"default":[1,2]},
        {"name":"d","aliases":["c"],"type":{"type":"map","values":"double"},"default":{}}]}"#,
    r#"{"type":"record","name":"r","namespace":"y","fields":[
        {"name":"a","type":["null","r"],"default":null},
        {"name":"b","type":{"type":"enum","name":"e","symbols":["q","s"],"default":"s"}},
        {"name":"c","type":{"type":"array","items":"y.e"},"default":["q"]},
        {"name":"d","type":{"type":"map","values":"float"},"default":{}}]}"#,
    r#"{"type":"record","name":"r","fields":[{"name":"a","type":"string"},
        {"name":"b","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"c","type":"int","default":0.5},{"name":"d","type":"int"}]}"#,
];

/// Settings, whose places may or may not be in the schema.
const SETTINGS: &[&str] = &[
    "value = \"c\"\nsensor = \"a\"\ntime = \"b\"",
    "values = { x = \"/d/k\", y = \"c\" }\nsensor = \"/a/a\"\nmissing = \"skip\"",
    "value = \"b\"\nsensor = \"/a/a\"\nwhen = { field = \"/a/b\", is = \"true\" }",
    "value = \"/c/1\"\nsensor = \"b\"\ntime = \"/d/k\"\ntime-format = \"seconds\"",
];

/// The settings of a format.
fn of(format: &str, settings: &str) -> String {
    let lines = settings.lines().map(|line| format!("{format}.{line}\n"));
    lines.collect::<Vec<_>>().concat()
}

fn settings() -> impl Strategy<Value = String> {
    proptest::sample::select(SETTINGS).prop_map(|settings| of("avro-file", settings))
}

/// The first byte, which is zero, and the id of a schema.
fn any_head() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => (0..SCHEMAS.len()).prop_map(|id| vec![0, 0, 0, 0, u8::try_from(id).unwrap()]),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ]
}

/// Bytes that are often a datum.
fn any_datum() -> impl Strategy<Value = Vec<u8>> {
    let long = |number| {
        let mut out = Vec::new();
        push_long(&mut out, number);
        out
    };
    let text = |text: String| {
        let mut out = Vec::new();
        push_bytes(&mut out, text.as_bytes());
        out
    };
    let part = prop_oneof![
        4 => (-3..6_i64).prop_map(long),
        1 => any::<i64>().prop_map(long),
        3 => "[a-zé]{0,3}".prop_map(text),
        1 => any::<f64>().prop_map(|number| number.to_le_bytes().to_vec()),
        1 => any::<f32>().prop_map(|number| number.to_le_bytes().to_vec()),
        1 => Just(b"\x02\x02k\x00\x00\x80\x3f\x00".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

fn file(schema: &str, codec: &str, blocks: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    push_long(&mut file, 2);
    for (name, value) in [("avro.codec", codec), ("avro.schema", schema)] {
        push_bytes(&mut file, name.as_bytes());
        push_bytes(&mut file, value.as_bytes());
    }
    push_long(&mut file, 0);
    file.extend_from_slice(&[7; 16]);
    for (count, data) in blocks {
        let data = match codec {
            "deflate" => miniz_oxide::deflate::compress_to_vec(data, 6),
            _ => data.clone(),
        };
        push_long(&mut file, *count);
        push_bytes(&mut file, &data);
        file.extend_from_slice(&[7; 16]);
    }
    file
}

/// Of these only deflate is compressed: blocks of the others are damaged.
const CODECS: &[&str] = &[
    "null",
    "null",
    "null",
    "deflate",
    "deflate",
    "",
    "bzip2",
    "xz",
    "zstandard",
    "zip",
];

/// A file, and where its blocks begin.
fn any_file() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let block = (prop_oneof![8 => Just(1), 1 => 0..3_i64], any_datum());
    (
        proptest::sample::select(SCHEMAS),
        proptest::sample::select(CODECS),
        proptest::collection::vec(block, 0..3),
    )
        .prop_map(|(schema, codec, blocks)| {
            (file(schema, codec, &blocks), file(schema, codec, &[]).len())
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn it_decodes_and_rejects_files_as_the_stages_do(
        settings in settings(),
        (mut value, blocks) in any_file(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..2),
        cut in proptest::option::weighted(0.2, any::<proptest::sample::Index>()),
    ) {
        for (at, byte) in edits {
            // The schema stays as it is.
            let places = value.len().saturating_sub(blocks);
            if places > 0 {
                value[blocks + at.index(places)] = byte;
            }
        }
        if let Some(cut) = cut {
            value.truncate(cut.index(value.len()));
        }
        let record = record(7, Some(&value));
        let [ours, theirs] = decoded(&topic(&settings), &record);
        prop_assert_eq!(ours, theirs, "{}", settings);
    }

    #[test]
    fn it_resolves_schemas_as_the_stages_do(
        settings in proptest::sample::select(SETTINGS),
        reader in proptest::option::weighted(0.9, proptest::sample::select(READERS)),
        schema in 0..SCHEMAS.len(),
        head in any_head(),
        datum in any_datum(),
    ) {
        let reader = reader.map(|reader| format!("schema = '{}'", reader.replace('\n', " ")));
        let settings = format!("{settings}\n{}", reader.unwrap_or_default());
        let file = file(SCHEMAS[schema], "null", &[(1, datum.clone())]);
        let records = [
            ("avro-file", "", file),
            ("avro", "registry = \"http://localhost\"\n", [head, datum].concat()),
        ];
        for (format, registry, value) in records {
            let topic = topic(&of(format, &format!("{registry}{settings}")));
            let read = built_in().read(&topic.format).unwrap();
            let built = read.build(&FormatContext::new("t"));
            // The schema may lack a field that the mapping names.
            if format == "avro-file" && built.is_err() {
                return Ok(());
            }
            let [ours, theirs] = decoded(&topic, &record(7, Some(&value)));
            prop_assert_eq!(ours, theirs, "{}", settings);
        }
    }

    #[test]
    fn arbitrary_bytes_are_rejected_by_both(
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
        is_file in any::<bool>(),
    ) {
        let magic = if is_file { &MAGIC[..] } else { b"" };
        let value = [magic, &bytes].concat();
        let topic = topic("avro-file = { value = \"a\" }");
        let [ours, theirs] = decoded(&topic, &record(7, Some(&value)));
        prop_assert_eq!(ours, theirs);
    }
}
