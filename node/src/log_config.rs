//! What a stage's log needs to know, from the pipeline file.

use rivulet_core::guarantee::Guarantee;
use rivulet_kafka::LogConfig;
use rivulet_pipeline::{Pipeline, Stage, StageKind, Topic};

/// The log of a stage, as `instance` opens it.
#[must_use]
pub fn log_config(pipeline: &Pipeline, stage: &Stage, instance: &str) -> LogConfig {
    let is_sink = matches!(stage.kind, StageKind::Sink { .. });
    let changelog = stage.has_changelog().then(|| stage.changelog());
    let written = || stage.to.iter().cloned().chain([stage.dead_letters()]);
    let largest_message = |topic: String| pipeline.topics.get(&topic).map(Topic::largest_message);
    LogConfig {
        properties: pipeline.kafka.clone(),
        stage: stage.name.clone(),
        group: stage.group(),
        instance: instance.to_owned(),
        guarantee: if is_sink {
            Guarantee::AtLeastOnce
        } else {
            pipeline.guarantee
        },
        limits: pipeline.limits,
        inputs: stage.from.clone(),
        topics: stage
            .from
            .iter()
            .cloned()
            .chain(written())
            .chain(changelog.clone())
            .collect(),
        has_changelog: changelog.is_some(),
        has_outputs: !is_sink,
        largest_message: written()
            .filter_map(largest_message)
            .max()
            .unwrap_or_default(),
        smallest_message: written()
            .chain(changelog)
            .filter_map(largest_message)
            .min()
            .unwrap_or(usize::MAX),
        has_statistics: false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rivulet_pipeline::Text;

    use super::*;

    #[test]
    fn every_reserved_property_is_known_to_librdkafka() {
        assert!(!rivulet_kafka::is_known_property("linger.mss"));
        for name in rivulet_pipeline::reserved_properties() {
            assert!(rivulet_kafka::is_known_property(name), "{name}");
        }
    }

    #[test]
    fn librdkafka_has_no_property_that_is_called_javas() {
        // librdkafka has errors of its own for these two, so it knows them.
        let its_own = ["ssl.truststore.location", "sasl.jaas.config"];
        for name in rivulet_pipeline::java_properties() {
            let is_known = rivulet_kafka::is_known_property(name);
            assert_eq!(is_known, its_own.contains(&name), "{name}");
        }
    }

    fn smallest_message(settings: &str) -> usize {
        let text = format!("{settings}\n[producer.p]\nsource = \"lines\"\nto = [\"t\", \"u\"]\n");
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text,
        }));
        let pipeline = pipeline.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        log_config(&pipeline, &pipeline.stages[0], "a").smallest_message
    }

    #[test]
    fn a_message_must_fit_into_each_topic_that_is_written() {
        let by_default = smallest_message("");
        assert_eq!(by_default, 1_048_588);
        for topic in ["t", "u", "p-changelog", "p-dead-letters"] {
            let smaller =
                format!("[topic.{topic}]\nconfig = {{ \"max.message.bytes\" = 20000 }}\n");
            assert_eq!(smallest_message(&smaller), 20_000, "{topic}");
        }
    }
}
