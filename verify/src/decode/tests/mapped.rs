//! Mapped messages: any fields, any settings.

use super::*;

/// What a field may hold.
const FIELDS: &[&str] = &[
    "1",
    "-0",
    "7",
    "18446744073709551616",
    "1.5",
    "1e999",
    "-1e-999",
    "1700000000.123",
    "\"\"",
    "\"7\"",
    "\" 7 \"",
    "\"1.5e1\"",
    "\"+5\"",
    "\"-3\"",
    "\"inf\"",
    "\"NaN\"",
    "\"0x10\"",
    "\"a\"",
    "\"a/b\"",
    "\"\\u0061\"",
    "\"\\ud800\"",
    "\"celsius\"",
    "\"2023-11-14T22:13:20.5Z\"",
    "\"2023-11-14T22:13:20+25:00\"",
    "\"2023-11-14 22:13:20\"",
    "\"1969-12-31 23:59:59\"",
    "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"",
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "[1,2]",
    "[1,{\"a\":2}]",
    "{\"a\":1}",
    "{\"a\":\"x\",\"b\":2}",
    "{\"a\":1,\"a\":2}",
    "{\"a\":{\"b\":3}}",
];

/// Names of fields in a message.
const NAMES: &[&str] = &["a", "b", "c", "d", "\\u0061", "a/b", "~", ""];

/// Where a part may be.
const PLACES: &[&str] = &[
    "\"a\"",
    "\"b\"",
    "\"c\"",
    "\"/d\"",
    "\"/a/a\"",
    "\"/a/b\"",
    "\"/b/1\"",
    "\"/b/1/a\"",
    "\"/c/a/b\"",
    "\"/a~1b\"",
    "\"/~0\"",
    "\"/\"",
    "{ field = \"key\" }",
    "{ header = \"h\" }",
    "{ header = \"g\" }",
];

fn place() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(PLACES)
}

/// A setting that may be left out.
fn setting(
    name: &'static str,
    value: impl Strategy<Value = String> + 'static,
) -> impl Strategy<Value = String> {
    proptest::option::of(value).prop_map(move |value| {
        value.map_or(String::new(), |value| format!("json.{name} = {value}\n"))
    })
}

fn or(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![2 => place(), 1 => proptest::sample::select(words)].prop_map(String::from)
}

/// Settings of a mapping. Some exclude each other.
fn any_settings() -> impl Strategy<Value = String> {
    let condition = (
        place(),
        proptest::option::of(or(&["\"a\"", "\"7\"", "[\"a\", \"true\"]"])),
    );
    let condition = condition.prop_filter_map("only fields and headers", |(place, is)| {
        let place = place.trim_matches(['{', '}', ' ']);
        let place = if place.starts_with('"') {
            format!("field = {place}")
        } else {
            place.into()
        };
        let is = is
            .filter(|is| !is.starts_with('{'))
            .map(|is| format!(", is = {is}"));
        Some(format!("{{ {place}{} }}", is.unwrap_or_default()))
    });
    let when =
        proptest::collection::vec(condition, 0..3).prop_map(|all| format!("[{}]", all.join(", ")));
    let values = prop_oneof![
        1 => place().prop_map(|place| format!("json.value = {place}\n")),
        1 => (place(), place()).prop_map(|(x, y)| {
            format!("json.values = {{ x = {x}, y = {y} }}\n")
        }),
    ];
    let formats = &[
        "\"milliseconds\"",
        "\"seconds\"",
        "\"microseconds\"",
        "\"rfc3339\"",
        "\"%Y-%m-%d %H:%M:%S\"",
    ];
    (
        setting("sensor", or(&["\"key\"", "{ constant = \"k\" }"])),
        setting("seq", or(&["\"offset\"", "\"key\""])),
        setting("time", or(&["\"timestamp\""])),
        setting(
            "time-format",
            proptest::sample::select(&formats[..]).prop_map(String::from),
        ),
        setting("time-plus", place().prop_map(String::from)),
        values,
        setting(
            "unit",
            or(&["\"kelvin\"", "\"%\"", "\"/c\"", "{ constant = \"bar\" }"]),
        ),
        setting("when", when),
        setting(
            "missing",
            proptest::sample::select(&["\"skip\"", "\"dead-letter\""][..]).prop_map(String::from),
        ),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i)| [a, b, c, d, e, f, g, h, i].concat())
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let field = (
        proptest::sample::select(NAMES),
        proptest::sample::select(FIELDS),
    );
    let fields = proptest::collection::vec(field, 0..6);
    let object = fields.prop_map(|fields| {
        let fields = fields
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(",")).into_bytes()
    });
    let edit = (any::<proptest::sample::Index>(), any::<u8>());
    let edited = (object, proptest::collection::vec(edit, 0..2)).prop_map(|(mut bytes, edits)| {
        for (at, byte) in edits.into_iter().filter(|(_, byte)| byte % 4 == 0) {
            let index = at.index(bytes.len());
            bytes[index] = byte;
        }
        bytes
    });
    prop_oneof![9 => edited, 1 => any_bytes()]
}

/// Bytes of a key or a header.
fn any_text() -> impl Strategy<Value = Option<Vec<u8>>> {
    let texts: &[&[u8]] = &[b"a", b"7", b"", b"true", b"\xff", b"2023-11-14T22:13:20Z"];
    proptest::option::of(proptest::sample::select(texts).prop_map(<[u8]>::to_vec))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn it_decodes_and_rejects_mapped_messages_as_the_stages_do(
        settings in any_settings(),
        value in proptest::option::weighted(0.98, any_message()),
        key in any_text(),
        (first, second, third) in (any_text(), any_text(), any_text()),
        offset in 0..i64::MAX,
        timestamp in prop_oneof![Just(-1), any::<i64>()],
    ) {
        let format = ComponentConfig::parse(&settings).unwrap();
        // Some of the settings exclude each other.
        if built_in().read(&format).is_err() {
            return Ok(());
        }
        let headers = [("h", first), ("g", second), ("h", third)]
            .map(|(name, value)| (name.to_owned(), value));
        let record = FetchedRecord {
            partition: 0,
            offset,
            timestamp,
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &headers,
        };
        let [ours, theirs] = decoded(&topic(&settings), &record);
        let text = String::from_utf8_lossy(value.as_deref().unwrap_or_default());
        prop_assert_eq!(ours, theirs, "{}\n{}", settings, text);
    }
}
