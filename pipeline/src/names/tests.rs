use std::sync::Arc;

use super::*;
use crate::diagnostic::{Diagnostics, Text};

const CHAIN: &str = r#"
[topic.outside]
external = true
[topic.smooth]
partitions = 2
[topic.ewma-dead-letters]
config = { "retention.ms" = 1 }
[operator.ewma]
from = "outside"
steps = [{ ewma = { alpha = 0.5 } }]
to = "smooth"
[sink.out]
from = ["smooth", "outside"]
sink = "console"
"#;

fn parse(text: impl Into<String>) -> Result<Pipeline, Diagnostics> {
    Pipeline::parse(Arc::new(Text {
        path: "p.toml".into(),
        text: text.into(),
    }))
}

fn with(prefix: &str, text: &str) -> Result<Pipeline, Diagnostics> {
    parse(format!("prefix = \"{prefix}\"\n{text}"))
}

/// The errors of a file that is wrong.
fn errors(prefix: &str, text: &str) -> String {
    with(prefix, text).unwrap_err().to_string()
}

#[test]
fn every_name_in_kafka_has_it_but_those_of_external_topics() {
    let pipeline = with("team7-", CHAIN).unwrap();
    let [ewma, out] = &pipeline.stages[..] else {
        panic!("two stages");
    };
    assert_eq!(
        (ewma.name.as_str(), ewma.group()),
        ("ewma", "team7-ewma".to_owned())
    );
    assert_eq!(ewma.changelog(), "team7-ewma-changelog");
    assert_eq!(
        (&ewma.from[..], &ewma.to[..]),
        (
            &["outside".to_owned()][..],
            &["team7-smooth".to_owned()][..]
        )
    );
    assert_eq!(out.from, ["team7-smooth", "outside"]);
    let topics: Vec<&String> = pipeline.topics.keys().collect();
    let expected = [
        "outside",
        "team7-ewma-changelog",
        "team7-ewma-dead-letters",
        "team7-out-dead-letters",
        "team7-smooth",
    ];
    assert_eq!(topics, expected.iter().collect::<Vec<_>>());
    assert_eq!(pipeline.topic("team7-smooth").partitions, 2);
    assert_eq!(
        pipeline.topic("team7-ewma-dead-letters").config["retention.ms"],
        "1"
    );
    let names: Vec<&str> = pipeline
        .in_order()
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    assert_eq!(names, ["ewma", "out"]);
}

#[test]
fn a_topic_is_found_by_both_of_its_names() {
    let pipeline = with("team7-", CHAIN).unwrap();
    for (name, expected) in [
        ("smooth", "team7-smooth"),
        ("team7-smooth", "team7-smooth"),
        ("ewma-changelog", "team7-ewma-changelog"),
        ("outside", "outside"),
        ("elsewhere", "elsewhere"),
    ] {
        assert_eq!(pipeline.in_kafka(name), expected);
    }
    assert_eq!(pipeline.in_file("team7-smooth"), "smooth");
    assert_eq!(pipeline.in_file("outside"), "outside");
    assert_eq!(pipeline.in_file("elsewhere"), "elsewhere");
}

#[test]
fn an_external_topic_may_begin_with_it() {
    let text = CHAIN.replace("outside", "team7-outside");
    let pipeline = with("team7-", &text).unwrap();
    assert_eq!(pipeline.in_kafka("outside"), "outside");
    assert_eq!(pipeline.in_kafka("team7-outside"), "team7-outside");
}

#[test]
fn it_is_of_letters_that_kafka_takes() {
    let shown = errors("team 7/", CHAIN);
    assert!(
        shown.starts_with("p.toml:1:10: `team 7/` cannot begin names in Kafka"),
        "{shown}"
    );
    assert!(shown.contains("such as `team7-`"), "{shown}");
    assert!("tëam".parse::<Prefix>().is_err());
}

#[test]
fn a_name_that_gets_too_long_is_an_error_where_it_stands() {
    // `ewma-dead-letters` is the longest name, with 17 characters.
    assert!(with(&"p".repeat(249 - 17), CHAIN).is_ok());
    let shown = errors(&"p".repeat(249 - 16), CHAIN);
    assert!(shown.starts_with("p.toml:9:11: the prefix `pp"), "{shown}");
    assert!(
        shown.contains("makes the topic `ewma-dead-letters` 250 characters long"),
        "{shown}"
    );
    assert!(shown.contains("shorten the prefix or the name"), "{shown}");
}

#[test]
fn two_names_that_get_the_same_are_an_error() {
    let text = CHAIN.replace("outside", "team7-smooth");
    let shown = errors("team7-", &text);
    assert!(
        shown.starts_with("p.toml:1:10: with the prefix `team7-` the topic `smooth` is"),
        "{shown}"
    );
}

#[test]
fn errors_name_what_the_file_names() {
    let shown = errors(
        "team7-",
        &CHAIN.replace("from = [\"smooth\"", "from = [\"smoth\""),
    );
    assert!(shown.contains("`out` reads the topic `smoth`"), "{shown}");
    assert!(shown.contains("did you mean `smooth`?"), "{shown}");
    assert!(!shown.contains("team7"), "{shown}");
}

#[test]
fn every_stage_restarts_when_it_changes() {
    let digests = |prefix: &str| -> Vec<u64> {
        let pipeline = with(prefix, CHAIN).unwrap();
        let stages = pipeline.stages.iter();
        stages.map(|stage| pipeline.digest(stage)).collect()
    };
    let (without, with) = (digests(""), digests("team7-"));
    assert!(without.iter().zip(&with).all(|(one, other)| one != other));
    let pipeline = parse(CHAIN).unwrap();
    assert_eq!(pipeline.digest(&pipeline.stages[0]), without[0]);
}

#[test]
fn below_kafka_it_is_an_error() {
    let shown = parse(format!("[kafka]\nprefix = \"team7-\"\n{CHAIN}"))
        .unwrap_err()
        .to_string();
    assert!(
        shown.starts_with("p.toml:2:10: `prefix` is no property of Kafka"),
        "{shown}"
    );
    assert!(shown.contains("write it at the top of the file"), "{shown}");
}
