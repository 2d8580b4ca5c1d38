//! `records`: a file of whole records.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rivulet_core::component::Component;
use rivulet_core::error::Result as OrError;
use rivulet_core::json::unquoted;
use rivulet_core::reading::InvalidReading;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{SourceContext, SourceSettings};
use crate::replay::{Content, LastLine, LineParser, Repeat, Replay, ReplaySettings};
use crate::row::without_mark;
use crate::sequences::Sequences;
use crate::setting::Rate;
use crate::source::{Next, Source, SourceRecord};

/// A file of whole records, one JSON object a line: messages of other programs, as they were
/// captured, whatever their format. It is streamed: only a few lines are in memory.
///
/// A line has the fields `topic`, `key`, `value` and `headers`; each may be missing. `topic` is one
/// of the stage's topics; without it the record goes to each of them. A `value` in quotes is sent
/// without its quotes, as text. Any other JSON is sent as it stands in the file. A missing value,
/// or `null`, is a tombstone. `headers` is an object of names and texts. A record for another topic
/// becomes a dead letter, as does a line that is no such object.
///
/// The file is read once, or `repeat` times (a number or "forever"). As in `file`, a line counts
/// once it has a line end, and after a restart the source seeks to the next line.
///
/// ```
/// use std::time::Duration;
///
/// use rivulet_producer::catalog::{SourceContext, read};
/// use rivulet_producer::source::Next;
/// use rivulet_pipeline::ComponentConfig;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path().to_owned();
/// # let context = SourceContext { folder, ..SourceContext::default() };
/// let line = r#"{"key":"hall","value":{"t":"21.5"},"headers":{"from":"bme280"}}"#;
/// std::fs::write(context.folder.join("a.jsonl"), format!("{line}\n")).unwrap();
/// let settings = read(&ComponentConfig::parse("records = { path = \"a.jsonl\" }")?).unwrap();
/// let mut source = settings.open(&context)?;
/// let Next::Record(record) = source.next(Duration::ZERO)? else { panic!("there is one") };
/// assert_eq!(record.key.as_deref(), Some(&b"hall"[..]));
/// assert_eq!(record.value.as_deref(), Some(&br#"{"t":"21.5"}"#[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordsFile {
    /// Relative to the pipeline file's folder.
    path: PathBuf,
    #[serde(default)]
    last_line: LastLine,
    rate: Option<Rate>,
    #[serde(default)]
    repeat: Repeat,
}

impl Component for RecordsFile {
    const NAME: &'static str = "records";
    const ABOUT: &'static str = "a file of whole records with keys and headers, as JSON lines";
    const EXAMPLE: &'static str = "records = { path = \"data/messages.jsonl\", rate = 10 }";
}

impl SourceSettings for RecordsFile {
    fn open(&self, context: &SourceContext) -> OrError<Box<dyn Source>> {
        let RecordsFile {
            path,
            last_line,
            rate,
            repeat,
        } = self.clone();
        let settings = ReplaySettings {
            path,
            last_line,
            rate,
            repeat,
        };
        Ok(Box::new(Replay::open(
            settings,
            Box::new(RecordContent),
            &context.folder,
        )?))
    }

    fn has_records(&self) -> bool {
        true
    }

    fn ends(&self) -> bool {
        self.repeat.0.is_some()
    }
}

struct RecordContent;

impl Content for RecordContent {
    fn parser(&self, _: &Path, _: &[u8]) -> OrError<Box<dyn LineParser>> {
        Ok(Box::new(RecordLines))
    }
}

/// Parses lines that are records.
struct RecordLines;

/// A line as it is written.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with key, value, headers or topic"
)]
struct Line<'a> {
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
}

impl LineParser for RecordLines {
    fn parse<'a>(
        &'a mut self,
        line: &'a [u8],
        _: &mut Sequences,
    ) -> Result<Next<'a>, InvalidReading> {
        let line: Line<'a> =
            serde_json::from_slice(without_mark(line)).map_err(|error| not_a_record(&error))?;
        let value = line.value.map(|json| unquoted(json.get()).map(into_bytes));
        let headers = line.headers.into_iter();
        Ok(Next::Record(SourceRecord {
            topic: line.topic,
            key: line.key.map(into_bytes),
            value: value.transpose().map_err(|error| not_a_record(&error))?,
            headers: headers
                .map(|(name, value)| (name, value.map(String::into_bytes)))
                .collect(),
        }))
    }
}

fn not_a_record(error: &serde_json::Error) -> InvalidReading {
    InvalidReading::new("not-a-record", format!("not a record: {error}"))
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => text.as_bytes().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Observed, all, folder, open_in};

    fn record(
        topic: Option<&str>,
        key: Option<&str>,
        value: Option<&str>,
        headers: &[(&str, Option<&str>)],
    ) -> Observed {
        let bytes = |text: &str| Cow::Owned(text.as_bytes().to_vec());
        Observed::Record(SourceRecord {
            topic: topic.map(|topic| topic.to_owned().into()),
            key: key.map(bytes),
            value: value.map(bytes),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.map(Into::into)))
                .collect(),
        })
    }

    #[test]
    fn a_line_is_a_record_with_topic_key_value_and_headers() {
        let text = [
            r#"{"key":"a","value":"20.5 °C"}"#,
            r#"{"topic":"warm","value":{"t": 1.50, "more":[]},"headers":{"h":"x","none":null}}"#,
            r#"{"key":"\u0000\"","value":12}"#,
            r#"{"key":"gone","value":null}"#,
            "{}",
            r#"{"value":"in the middle"#,
        ]
        .join("\n");
        let folder = folder("a.jsonl", text);
        let found = all(&mut *open_in(folder.path(), "records = { path = \"a.jsonl\" }").unwrap());
        let expected = [
            record(None, Some("a"), Some("20.5 °C"), &[]),
            record(
                Some("warm"),
                None,
                Some(r#"{"t": 1.50, "more":[]}"#),
                &[("h", Some("x")), ("none", None)],
            ),
            record(None, Some("\0\""), Some("12"), &[]),
            record(None, Some("gone"), None, &[]),
            record(None, None, None, &[]),
        ];
        assert_eq!(found, expected, "the last line has no line end");
    }

    #[test]
    fn a_line_that_is_no_record_is_yielded_as_bad() {
        for line in [
            "abc",
            "[1]",
            r#"{"key":1}"#,
            r#"{"kye":"a"}"#,
            r#"{"value":}"#,
            r#"{"headers":{"a":1}}"#,
            "{\"value\":\"\u{fffd}\\ud800\"}",
        ] {
            let folder = folder("a.jsonl", format!("{line}\n"));
            let config = "records = { path = \"a.jsonl\" }";
            let found = all(&mut *open_in(folder.path(), config).unwrap());
            let [
                Observed::Bad {
                    bytes,
                    place,
                    reason,
                },
            ] = &found[..]
            else {
                panic!("{line}: {found:?}")
            };
            assert_eq!((*reason, &place[..]), ("not-a-record", "a.jsonl line 1"));
            assert_eq!(bytes, line.as_bytes());
        }
    }
}
