//! A schema registry in memory, and how often a real one would be asked.

use rivulet_core::format::DecodeError;
use rivulet_core::reading::InvalidReading;
use rivulet_formats::schema_registry::SchemaRegistry;
use rivulet_pipeline::Text;

use super::*;

/// A registry whose schemas are those of the tests, by their index.
#[derive(Debug)]
pub(super) struct Registry(&'static [&'static str]);

impl Schemas for Registry {
    fn schema(&self, _: &str, id: u32) -> Result<String, String> {
        let schema = self.0.get(usize::try_from(id).unwrap());
        Ok((*schema.ok_or("no such schema")?).to_owned())
    }

    fn latest(&self, _: &str) -> Result<String, String> {
        Err("nothing is written".to_owned())
    }
}

impl SchemaRegistry for Registry {
    fn schema(&self, id: u32) -> Result<String, DecodeError> {
        let schema = Schemas::schema(self, "t", id);
        Ok(schema.map_err(|why| InvalidReading::new("unknown-schema", why))?)
    }

    fn id(&self, _: &str, _: &str, _: bool) -> rivulet_core::error::Result<u32> {
        unreachable!("nothing is written")
    }

    fn latest(&self, _: &str) -> rivulet_core::error::Result<(u32, String)> {
        unreachable!("nothing is written")
    }
}

pub(super) const REGISTRY: Registry = Registry(avro::SCHEMAS);

/// Counts how often it is asked.
struct Counting(std::cell::Cell<usize>);

impl Schemas for Counting {
    fn schema(&self, topic: &str, id: u32) -> Result<String, String> {
        self.0.set(self.0.get() + 1);
        Schemas::schema(&REGISTRY, topic, id)
    }

    fn latest(&self, topic: &str) -> Result<String, String> {
        Schemas::latest(&REGISTRY, topic)
    }
}

/// Each dead letter asks for the decoder of its topic.
#[test]
fn a_registry_is_asked_once_for_a_schema() {
    let text = r#"
        [topic.t]
        external = true
        format.avro = { registry = "http://localhost", value = "c" }
        [sink.show]
        from = "t"
        sink = "console"
    "#;
    let text = Text {
        path: "p.toml".into(),
        text: text.into(),
    };
    let pipeline = Pipeline::parse(text.into()).unwrap();
    let schemas = Counting(0.into());
    let decoders = Decoders::new(&pipeline, &schemas);
    for _ in 0..3 {
        for id in [0, 77] {
            let decoder = decoders.of("t").unwrap();
            let _ = decoder.decode(&record(7, Some(&[0, 0, 0, 0, id, 0])));
        }
    }
    assert_eq!(schemas.0.get(), 2);
    assert!(decoders.of("other").is_none());
}
