//! Records as other clients write them, and a registry that fails.

use std::sync::Mutex;

use rivulet_pipeline::ComponentConfig;

use super::*;
use crate::avro::writer::{push_bytes, push_long};
use crate::testing::{decode, record};

const SCHEMA: &str = r#"{"type":"record","name":"sensor","namespace":"lab","fields":[
    {"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"id","type":"string"},{"name":"value","type":"double"}]}"#;

const SETTINGS: &str = r#"
    avro.registry = "http://127.0.0.1:1"
    avro.sensor = "id"
    avro.time = { field = "timestamp" }
    avro.value = "value"
"#;

/// A registry in memory. What happened is shared with the test.
#[derive(Debug, Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    schemas: BTreeMap<u32, String>,
    is_away: bool,
    asked: usize,
}

impl Fake {
    fn with(schemas: &[(u32, &str)]) -> Self {
        let fake = Fake::default();
        let schemas = schemas.iter().map(|(id, text)| (*id, (*text).to_owned()));
        fake.0.lock().unwrap().schemas = schemas.collect();
        fake
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked
    }

    fn state(&self) -> OrError<std::sync::MutexGuard<'_, State>> {
        let mut state = self.0.lock().unwrap();
        state.asked += 1;
        if state.is_away {
            return Err(Error::new("asking", "nobody answers").of_kind(Kind::Unreachable));
        }
        Ok(state)
    }
}

impl SchemaRegistry for Fake {
    fn schema(&self, id: u32) -> Result<String, DecodeError> {
        let state = self.state().map_err(DecodeError::Unavailable)?;
        let schema = state.schemas.get(&id).cloned();
        Ok(schema.ok_or_else(|| InvalidReading::new("unknown-schema", format!("{id}")))?)
    }

    fn id(&self, subject: &str, schema: &str, register: bool) -> OrError<u32> {
        let mut state = self.state()?;
        assert_eq!(subject, "lab.sensor");
        let known = state.schemas.iter().find(|(_, text)| *text == schema);
        match known.map(|(id, _)| *id) {
            Some(id) => Ok(id),
            None if register => {
                state.schemas.insert(9, schema.to_owned());
                Ok(9)
            }
            None => Err(Error::new("asking", "it is not there")),
        }
    }

    fn latest(&self, subject: &str) -> OrError<(u32, String)> {
        assert_eq!(subject, "t-value");
        let state = self.state()?;
        let latest = state.schemas.last_key_value();
        let (id, text) = latest.ok_or_else(|| Error::new("asking", "there is none"))?;
        Ok((*id, text.clone()))
    }
}

fn settings(text: &str) -> Result<Avro, String> {
    let config = ComponentConfig::parse(text).unwrap();
    config
        .settings()
        .map_err(|diagnostics| diagnostics.to_string())
}

fn format(text: &str, registry: &Fake) -> AvroFormat {
    let settings = settings(text).unwrap();
    let context = FormatContext::new("t");
    settings
        .with_registry(&context, Box::new(registry.clone()))
        .unwrap()
}

/// A record with this schema.
fn value(id: u32, time: i64, sensor: &str, value: f64) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&id.to_be_bytes());
    push_long(&mut bytes, time);
    push_bytes(&mut bytes, sensor.as_bytes());
    bytes.extend_from_slice(&value.to_le_bytes());
    bytes
}

#[test]
fn each_record_is_read_with_the_schema_that_it_names() {
    let renamed = SCHEMA.replace("\"value\",\"type\"", "\"celsius\",\"type\"");
    let registry = Fake::with(&[(7, SCHEMA), (8, &renamed)]);
    let plain = format(SETTINGS, &registry);
    let expected = vec![("s1".to_owned(), 5, 21.5)];
    assert_eq!(
        decode(&plain, &value(7, 5, "s1", 21.5)),
        Ok(expected.clone())
    );
    assert_eq!(
        decode(&plain, &value(7, 5, "s1", 21.5)),
        Ok(expected.clone())
    );
    assert_eq!(registry.asked(), 1);
    let error = decode(&plain, &value(8, 5, "s1", 21.5)).unwrap_err();
    assert_eq!(error, "missing: there is nothing at /value");
    // The schema of the topic knows the other name.
    let with_alias = SCHEMA.replace("\"value\",", "\"value\",\"aliases\":[\"celsius\"],");
    let text = format!("{SETTINGS}\navro.schema = '''{with_alias}'''");
    let resolved = format(&text, &registry);
    assert_eq!(decode(&resolved, &value(8, 5, "s1", 21.5)), Ok(expected));
}

#[test]
fn what_is_not_of_the_registry_is_invalid() {
    let registry = Fake::with(&[(7, SCHEMA), (8, "{")]);
    let format = format(SETTINGS, &registry);
    let whole = value(7, 5, "s1", 21.5);
    for (value, expected) in [
        (b"{\"id\":1}".to_vec(), "not-avro: it does not begin with"),
        (vec![0, 0, 0, 7], "not-avro: it does not begin with"),
        (
            [&[1], &whole[1..]].concat(),
            "not-avro: it does not begin with",
        ),
        (whole[..whole.len() - 1].to_vec(), "with schema 7: it ends"),
        ([&whole[..], &[0]].concat(), "more bytes than one datum"),
        (value(8, 5, "s1", 1.0), "schema 8 cannot be read: EOF"),
        (value(1, 5, "s1", 1.0), "unknown-schema: 1"),
    ] {
        let error = decode(&format, &value).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    // Each answer is remembered.
    let asked = registry.asked();
    decode(&format, &value(1, 5, "s1", 1.0)).unwrap_err();
    decode(&format, &value(8, 5, "s1", 1.0)).unwrap_err();
    assert_eq!(registry.asked(), asked);
}

#[test]
fn a_registry_that_is_away_makes_no_dead_letter() {
    let registry = Fake::with(&[(7, SCHEMA)]);
    registry.0.lock().unwrap().is_away = true;
    let text = format!("{SETTINGS}\navro.schema = '''{SCHEMA}'''\navro.subject = \"lab.sensor\"");
    let format = format(&text, &registry);
    let bytes = value(7, 5, "s1", 21.5);
    let error = format.decode(&record(&bytes)).unwrap_err();
    assert!(matches!(error, DecodeError::Unavailable(_)), "{error}");
    assert_eq!(format.prepare().unwrap_err().kind(), Kind::Unreachable);
    registry.0.lock().unwrap().is_away = false;
    assert!(decode(&format, &bytes).is_ok());
    format.prepare().unwrap();
    // What is known is known while it is away.
    registry.0.lock().unwrap().is_away = true;
    assert!(decode(&format, &bytes).is_ok());
    format.prepare().unwrap();
}

#[test]
fn readings_are_written_as_other_clients_read_them() {
    let reading = Reading {
        sensor: "s1".into(),
        seq: 41,
        time: 5,
        value: 21.5,
        unit: None,
    };
    let written = |format: &AvroFormat| {
        format.prepare()?;
        let mut bytes = Vec::new();
        format.encode(&reading, &mut bytes).unwrap();
        Ok::<_, Error>(bytes)
    };
    let by_record = format!(
        "{SETTINGS}\navro.schema = '''{SCHEMA}'''\navro.subject-name-strategy = \"record\""
    );
    let registry = Fake::default();
    let only_found = format(&format!("{by_record}\navro.register = false"), &registry);
    assert!(written(&only_found).is_err());
    let registered = format(&by_record, &registry);
    assert_eq!(written(&registered), Ok(value(9, 5, "s1", 21.5)));
    assert_eq!(written(&only_found), Ok(value(9, 5, "s1", 21.5)));
    // Without a schema, the latest of the topic's subject.
    let latest = format(SETTINGS, &Fake::with(&[(3, SCHEMA)]));
    assert_eq!(written(&latest), Ok(value(3, 5, "s1", 21.5)));
    let other = SCHEMA.replace("\"id\"", "\"name\"");
    let error = written(&format(SETTINGS, &Fake::with(&[(3, &other)]))).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("schema 3, the latest of the subject t-value: the schema has no field /id"),
        "{error}"
    );
}

#[test]
fn mistakes_in_the_settings_are_named() {
    for (more, expected) in [
        ("avro.schema = '{'", "`schema` is no Avro schema"),
        ("avro.schema-file = 'none.avsc'", "none.avsc: No such file"),
        (
            "avro.schema = '{}'\navro.schema-file = 'a'",
            "exclude each other",
        ),
        (
            "avro.subject = 'a'\navro.subject-name-strategy = 'topic'",
            "exclude each other",
        ),
        ("avro.subject = ''", "a subject has a name"),
        ("avro.register = true", "`register` needs a schema"),
        (
            r#"avro.schema = '{"type":"record","name":"a","fields":[]}'"#,
            "the schema has no field /id",
        ),
    ] {
        let read = settings(&format!("{SETTINGS}\n{more}"));
        let built = read.and_then(|settings| {
            let context = FormatContext::new("t");
            settings.with_registry(&context, Box::new(Fake::default()))
        });
        let error = built.unwrap_err();
        assert!(error.contains(expected), "{more}: {error}");
    }
    let error = settings("avro.value = \"v\"").unwrap_err();
    assert!(error.contains("`registry` is missing"), "{error}");
    let by_record = format!("{SETTINGS}\navro.subject-name-strategy = \"record\"");
    let checked = settings(&by_record)
        .unwrap()
        .check_write(&FormatContext::new("t"));
    assert!(checked.unwrap_err().contains("add `schema-file`"));
}
