//! What a deployment must know about a pipeline.

use rivulet_pipeline::Pipeline;
use rivulet_pipeline::Stage;
use serde::Serialize;

use crate::CheckedPipeline;

/// The stages, their programs, and digests that show which of them a change of the file concerns.
#[derive(Debug, Serialize)]
pub struct Manifest<'p> {
    guarantee: &'static str,
    /// As `HOST:PORT,…`; empty if there are none.
    brokers: &'p str,
    /// The most that each process takes, in bytes.
    memory: u64,
    /// In the order in which data flows.
    stages: Vec<Entry<'p>>,
}

#[derive(Debug, Serialize)]
struct Entry<'p> {
    name: &'p str,
    /// Its name in Kafka.
    group: String,
    program: String,
    from: &'p [String],
    to: &'p [String],
    /// Whether it keeps state of sensors.
    state: bool,
    /// Whether it is a source that comes to an end by itself.
    ends: bool,
    /// See [`Pipeline::digest`].
    digest: String,
}

impl<'p> Manifest<'p> {
    /// The manifest of a pipeline. The digests are those of
    /// `file`, which is the pipeline before the command line changed anything.
    #[must_use]
    pub fn new(pipeline: &'p CheckedPipeline<'p>, file: &Pipeline) -> Self {
        let entry = |stage: &'p Stage| Entry {
            name: &stage.name,
            group: stage.group(),
            program: format!("rivulet-{}", stage.kind.table()),
            from: &stage.from,
            to: &stage.to,
            state: pipeline.stateful_chain(stage).is_some(),
            ends: pipeline.ends(stage),
            digest: format!("{:016x}", file.digest(stage)),
        };
        Manifest {
            guarantee: pipeline.guarantee.name(),
            brokers: pipeline.brokers(),
            memory: pipeline.limits.memory().0,
            stages: pipeline.in_order().into_iter().map(entry).collect(),
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::checked::tests::parse;

    const CHAIN: &str = r#"
[kafka]
brokers = "rpi0:9092,rpi1:9092"
[limits]
memory = "64 MB"
[sink.out]
from = "c"
sink = "console"
[operator.smooth]
from = ["b"]
steps = [{ ewma = { alpha = 0.5 } }]
to = "c"
[operator.warm]
from = "a"
steps = [{ threshold = { above = 1 } }]
to = "b"
[producer.in]
source = { list = { values = [1] } }
to = "a"
"#;

    fn file() -> CheckedPipeline<'static> {
        parse(CHAIN).unwrap()
    }

    #[test]
    fn stages_come_in_the_order_of_the_data() {
        let pipeline = file();
        let mut manifest = serde_json::to_value(Manifest::new(&pipeline, &pipeline)).unwrap();
        for stage in manifest["stages"].as_array_mut().unwrap() {
            let digest = stage.as_object_mut().unwrap().remove("digest").unwrap();
            assert_eq!(digest.as_str().map(str::len), Some(16));
        }
        let expected = serde_json::json!({
            "guarantee": "exactly-once",
            "brokers": "rpi0:9092,rpi1:9092",
            "memory": 64_000_000,
            "stages": [
                { "name": "in", "group": "in", "program": "rivulet-producer",
                  "from": [], "to": ["a"], "state": false, "ends": true },
                { "name": "warm", "group": "warm", "program": "rivulet-operator",
                  "from": ["a"], "to": ["b"], "state": false, "ends": false },
                { "name": "smooth", "group": "smooth", "program": "rivulet-operator",
                  "from": ["b"], "to": ["c"], "state": true, "ends": false },
                { "name": "out", "group": "out", "program": "rivulet-sink",
                  "from": ["c"], "to": [], "state": false, "ends": false },
            ],
        });
        assert_eq!(manifest, expected);
    }

    #[test]
    fn the_command_line_changes_no_digest() {
        let (file, mut pipeline) = (file(), file());
        pipeline
            .kafka
            .insert("bootstrap.servers".into(), "localhost:9092".into());
        let [plain, changed] = [&file, &pipeline].map(|pipeline| Manifest::new(pipeline, &file));
        assert_eq!(
            (plain.brokers, changed.brokers),
            ("rpi0:9092,rpi1:9092", "localhost:9092")
        );
        let digests = |manifest: &Manifest<'_>| -> Vec<String> {
            manifest
                .stages
                .iter()
                .map(|stage| stage.digest.clone())
                .collect()
        };
        assert_eq!(digests(&plain), digests(&changed));
    }
}
