//! A digest of everything in a pipeline file that concerns one stage's process.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use crate::pipeline::Pipeline;
use crate::stage::Stage;
use rivulet_core::state::hash;

impl Pipeline {
    /// A number that changes when anything changes in the file that concerns the stage's process:
    /// its own table, how its topics are written, also by which schema, and how large their records
    /// may be, `[kafka]` with what that includes, `[commit]`, `[limits]`, the guarantee and
    /// the prefix. Comments, the order of settings, how topics are kept, and other stages do not
    /// count. It is the same on every machine: of a property that holds a path or a secret, only
    /// the name counts. Anybody may see the number, and try passwords until it fits.
    #[must_use]
    pub fn digest(&self, stage: &Stage) -> u64 {
        hash(&self.concerning(stage))
    }

    fn concerning(&self, stage: &Stage) -> String {
        // As values, without layout and comments. The file has been read before.
        let file: serde_json::Value = toml::from_str(&self.text.text).unwrap_or_default();
        let table = stage.kind.table();
        let mut text = format!("[{table}.{}]\n{}\n", stage.name, file[table][&stage.name]);
        let mut add = |name: &str, what: &dyn std::fmt::Debug| {
            writeln!(text, "{name} {what:?}").unwrap_or_default();
        };
        for name in stage
            .from
            .iter()
            .chain(&stage.to)
            .chain([&stage.changelog(), &stage.dead_letters()])
        {
            // A sink has no changelog.
            if let Some(topic) = self.topics.get(name) {
                let settings: toml::Table = topic.format.settings().unwrap_or_default();
                if let Some(path) = settings.get("schema-file").and_then(toml::Value::as_str) {
                    let schema = fs::read_to_string(self.text.folder().join(path));
                    add("schema", &schema.unwrap_or_default());
                }
                add(
                    name,
                    &(
                        topic.format.name(),
                        settings,
                        topic.unit,
                        topic.partitions,
                        topic.largest_message(),
                    ),
                );
            }
        }
        let kafka = self.kafka.iter().map(|(name, value)| {
            let value = if is_hidden(name) { "set" } else { value };
            (name.as_str(), value)
        });
        add("kafka", &kafka.collect::<BTreeMap<_, _>>());
        add("commit", &self.commit);
        add("memory", &self.limits.memory().0);
        add("guarantee", &self.guarantee);
        // Without one the digest is that of versions that knew none.
        if !self.prefix.is_empty() {
            add("prefix", &self.prefix);
        }
        text
    }
}

/// Whether the value of a property stays out of the digest: a secret, or a path on this machine.
fn is_hidden(name: &str) -> bool {
    let whole = ["sasl.jaas.config", "sasl.oauthbearer.config", "ssl.key.pem"];
    let parts = ["password", "secret", ".location"];
    whole.contains(&name) || parts.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Arc;

    use crate::diagnostic::Text;
    use crate::pipeline::Pipeline;

    const CHAIN: &str = r#"
[kafka]
brokers = "a:9092"
[topic.warm]
format = "json"
[producer.in]
source = { list = { values = [1], rate = 2 } }
to = "warm"
[operator.ewma]
from = "warm"
steps = [{ ewma = { alpha = 0.5 } }]
to = "smooth"
[operator.average]
from = "warm"
steps = [{ average = { window = 3 } }]
to = "mean"
[sink.out]
from = "smooth"
sink = "console"
"#;

    fn digests_in(folder: &Path, text: &str) -> Vec<(String, u64)> {
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: folder.join("p.toml"),
            text: text.into(),
        }));
        let pipeline = pipeline.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        pipeline
            .stages
            .iter()
            .map(|stage| (stage.name.clone(), pipeline.digest(stage)))
            .collect()
    }

    fn digests(text: &str) -> Vec<(String, u64)> {
        digests_in(Path::new(""), text)
    }

    /// The stages whose digests change when `old` becomes `new`.
    fn changed(old: &str, new: &str) -> Vec<String> {
        let text = CHAIN.replace(old, new);
        assert_ne!(text, CHAIN, "`{old}` is not there");
        let before: BTreeSet<_> = digests(CHAIN).into_iter().collect();
        digests(&text)
            .into_iter()
            .filter(|stage| !before.contains(stage))
            .map(|(name, _)| name)
            .collect()
    }

    const ALL: [&str; 4] = ["in", "ewma", "average", "out"];

    #[test]
    fn a_setting_of_a_stage_concerns_that_stage() {
        assert_eq!(changed("alpha = 0.5", "alpha = 0.3"), ["ewma"]);
        assert_eq!(changed("rate = 2", "rate = 3"), ["in"]);
        assert_eq!(
            changed(
                "sink = \"console\"",
                "sink = { console = { title = \"x\" } }"
            ),
            ["out"]
        );
        assert_eq!(
            changed("[operator.ewma]", "[operator.smoother]"),
            ["smoother"]
        );
    }

    #[test]
    fn what_is_set_for_the_pipeline_concerns_all() {
        assert_eq!(changed("a:9092", "b:9092"), ALL);
        assert_eq!(changed("[kafka]", "[kafka]\n\"linger.ms\" = 5"), ALL);
        assert_eq!(changed("[kafka]", "[commit]\nrecords = 5\n[kafka]"), ALL);
        assert_eq!(
            changed("[kafka]", "[limits]\nmemory = \"32 MB\"\n[kafka]"),
            ALL
        );
        assert_eq!(
            changed("[kafka]", "guarantee = \"at-least-once\"\n[kafka]"),
            ALL
        );
        assert_eq!(
            changed("[kafka]", "[defaults]\npartitions = 4\n[kafka]"),
            ALL
        );
    }

    #[test]
    fn a_topic_concerns_those_that_read_or_write_it() {
        let number = "format = \"number\"\nunit = \"celsius\"";
        assert_eq!(
            changed("format = \"json\"", number),
            ["in", "ewma", "average"]
        );
        let larger = "[topic.smooth]\nconfig = { \"max.message.bytes\" = 5000000 }\n[kafka]";
        assert_eq!(changed("[kafka]", larger), ["ewma", "out"]);
        let dead =
            "[topic.out-dead-letters]\nconfig = { \"max.message.bytes\" = 5000000 }\n[kafka]";
        assert_eq!(changed("[kafka]", dead), ["out"]);
    }

    #[test]
    fn what_no_process_notices_concerns_none() {
        assert!(changed("[kafka]", "# new\n[kafka] # newer").is_empty());
        assert!(
            changed(
                "list = { values = [1], rate = 2 }",
                "list = {rate = 2, values = [ 1, ]}"
            )
            .is_empty()
        );
        assert!(changed("[kafka]", "[topic.smooth]\nreplication = 3\n[kafka]").is_empty());
        assert!(
            changed(
                "[kafka]",
                "[topic.smooth]\nconfig = { \"retention.ms\" = 1 }\n[kafka]"
            )
            .is_empty()
        );
        let sink = "[sink.out]\nfrom = \"smooth\"\nsink = \"console\"\n";
        assert!(
            digests(&(sink.to_owned() + &CHAIN.replace(sink, "")))
                .iter()
                .all(|one| digests(CHAIN).contains(one))
        );
        assert_eq!(
            changed(
                "[sink.out]",
                "[sink.more]\nfrom = \"mean\"\nsink = \"console\"\n[sink.out]"
            ),
            ["more"]
        );
    }

    #[test]
    fn an_included_file_is_a_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let text = CHAIN.replace("[kafka]", "[kafka]\ninclude = \"client.properties\"");
        let with = |properties: &str| {
            std::fs::write(folder.path().join("client.properties"), properties).unwrap();
            digests_in(folder.path(), &text)
        };
        let plain = with("security.protocol=plaintext\n");
        assert_eq!(plain, with("# a comment\nsecurity.protocol=plaintext\n"));
        assert!(
            with("security.protocol=ssl\n")
                .iter()
                .all(|one| !plain.contains(one))
        );
    }

    #[test]
    fn the_schema_of_a_topic_is_a_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let format = "format = { avro-file = { value = \"v\", schema-file = \"warm.avsc\" } }";
        let text = CHAIN.replace("format = \"json\"", format);
        let with = |schema: &str| {
            std::fs::write(folder.path().join("warm.avsc"), schema).unwrap();
            digests_in(folder.path(), &text)
        };
        let (before, after) = (with("\"string\""), with("\"bytes\""));
        let changed = before
            .iter()
            .zip(&after)
            .filter(|(one, other)| one != other);
        let changed: Vec<&str> = changed.map(|((name, _), _)| name.as_str()).collect();
        assert_eq!(changed, ["in", "ewma", "average"]);
    }

    #[test]
    fn secrets_and_paths_on_a_machine_stay_out_of_it() {
        for name in [
            "sasl.password",
            "ssl.ca.location",
            "ssl.key.pem",
            "ssl.key.password",
        ] {
            let with = |value: &str| {
                digests(&CHAIN.replace("[kafka]", &format!("[kafka]\n\"{name}\" = \"{value}\"")))
            };
            assert_eq!(with("/home/alice/pki"), with("/home/bob/pki"), "{name}");
            assert_ne!(with("/home/alice/pki"), digests(CHAIN), "{name}");
        }
    }

    #[test]
    fn it_is_the_same_on_every_machine_and_in_every_build() {
        let digests =
            digests("[producer.in]\nsource = { list = { values = [1.5, 2] } }\nto = \"warm\"\n");
        assert_eq!(digests, [("in".to_owned(), 0x16f6_a9c7_c8b3_4071)]);
    }
}
