//! Descriptions of topics, in the file and on the cluster.

use rivulet_pipeline::ComponentConfig;
use rivulet_pipeline::Role;

use super::*;

fn topic(partitions: i32, config: &[(&str, &str)]) -> Topic {
    Topic {
        name: "t".to_owned(),
        partitions,
        replication: Some(1),
        format: ComponentConfig::parse("json = {}").unwrap(),
        unit: None,
        external: false,
        config: text(config),
        role: Role::Readings,
    }
}

fn text(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

const ONE: FoundTopic = FoundTopic {
    partitions: 1,
    replication: 1,
    ready: true,
};

#[test]
fn the_same_settings_do_not_differ() {
    let wanted = [(
        "a".to_owned(),
        topic(1, &[("cleanup.policy", "compact,delete")]),
    )]
    .into();
    let configs = [(
        "a".to_owned(),
        text(&[("cleanup.policy", "delete,compact"), ("retention.ms", "1")]),
    )]
    .into();
    let description = Description::new(&wanted, &[("a".to_owned(), ONE)].into(), &configs);
    assert!(!description.differs(), "{description}");
    assert_eq!(description.differences("a").len(), 0);
}

#[test]
fn different_and_missing_settings_are_marked() {
    let wanted = [
        ("a".to_owned(), topic(4, &[("retention.ms", "60000")])),
        ("b".to_owned(), topic(1, &[])),
    ]
    .into();
    let configs = [(
        "a".to_owned(),
        text(&[("cleanup.policy", "delete"), ("retention.ms", "1")]),
    )]
    .into();
    let description = Description::new(&wanted, &[("a".to_owned(), ONE)].into(), &configs);
    assert!(description.differs());
    let how: Vec<String> = description
        .differences("a")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        how,
        [
            "partitions is 1 and not 4",
            "retention.ms is 1 and not 60000"
        ]
    );
    let expected = "\
topic  setting         file    cluster
a      partitions      4       1        differs
       replication     1       1
       cleanup.policy  delete  delete
       retention.ms    60000   1        differs
b      partitions      1       -        missing
       replication     1       -        missing
       cleanup.policy  delete  -        missing
";
    assert_eq!(description.to_string(), expected);
}

const PIPELINE: &str = "
        [topic.in]
        external = true
        [operator.round]
        from = \"in\"
        steps = [\"round\"]
        to = \"out\"
    ";

/// The table and the warnings for a cluster with these settings.
fn warned(
    input: &[(&str, &str)],
    output: &[(&str, &str)],
    broker: &[(&str, &str)],
) -> (String, Vec<String>) {
    let text = rivulet_pipeline::Text {
        path: "p.toml".into(),
        text: PIPELINE.into(),
    };
    let pipeline = Pipeline::parse(text.into()).unwrap();
    let wanted = [
        ("in".to_owned(), topic(1, &[])),
        ("out".to_owned(), topic(1, &[])),
    ]
    .into();
    let found = ["in", "out"].map(|name| (name.to_owned(), ONE)).into();
    let configs = [
        ("in".to_owned(), text_with(input)),
        ("out".to_owned(), text_with(output)),
    ]
    .into();
    let description =
        Description::new(&wanted, &found, &configs).with_brokers(&[text_with(broker)]);
    (description.to_string(), description.warnings(&pipeline))
}

fn text_with(settings: &[(&str, &str)]) -> TopicSettings {
    let mut all = text(settings);
    all.insert("cleanup.policy".into(), "delete".into());
    all
}

#[test]
fn limits_are_shown_and_warned_of_if_too_small() {
    let (shown, warnings) = warned(
        &[(LARGEST, "1048588"), (RETENTION, "604800000")],
        &[(LARGEST, "100000"), (AHEAD, "3600000")],
        &[],
    );
    let lines: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(lines.contains(&vec![LARGEST, "-", "1048588"]), "{shown}");
    assert!(
        lines.contains(&vec![LARGEST, "-", "100000", "too", "small"]),
        "{shown}"
    );
    assert!(
        lines.contains(&vec![RETENTION, "-", "604800000"]),
        "{shown}"
    );
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}")
    };
    assert!(
        warning.starts_with("max.message.bytes of out is 100000, and"),
        "{warning}"
    );
    assert!(
        warning.contains("config = { \"max.message.bytes\" = 100000 } in [topic.out]"),
        "{warning}"
    );
}

#[test]
fn an_input_kept_longer_than_offsets_is_warned_of() {
    let broker = [(OFFSETS_RETENTION, "10080")];
    assert_eq!(
        warned(&[(RETENTION, "604800000")], &[(RETENTION, "-1")], &broker).1,
        Vec::<String>::new()
    );
    for (retention, words) in [
        ("2592000000", "in keeps records for 30 d"),
        ("-1", "in keeps records for ever"),
    ] {
        let (_, warnings) = warned(&[(RETENTION, retention)], &[], &broker);
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}")
        };
        assert!(
            warning.contains(words) && warning.contains("for 7 d: ") && warning.contains("(round)"),
            "{warning}"
        );
        assert!(
            warning.contains("Set offsets.retention.minutes of the brokers to 2147483647"),
            "{warning}"
        );
    }
}

#[test]
fn an_output_that_rejects_accepted_timestamps_is_warned_of() {
    let (_, warnings) = warned(
        &[(AHEAD, "9223372036854775807")],
        &[(AHEAD, "3600000")],
        &[],
    );
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}")
    };
    assert!(
        warning.starts_with("out rejects records with timestamps more than 1 h in the future"),
        "{warning}"
    );
}

#[test]
fn settings_without_authorization_are_a_warning() {
    let wanted = [("a".to_owned(), topic(1, &[("retention.ms", "60000")]))].into();
    let description = Description::new(&wanted, &[("a".to_owned(), ONE)].into(), &BTreeMap::new())
        .with_denied(Some("TopicAuthorizationFailed".to_owned()));
    assert!(!description.differs(), "{description}");
    let text = rivulet_pipeline::Text {
        path: "p.toml".into(),
        text: PIPELINE.into(),
    };
    let warnings = description.warnings(&Pipeline::parse(text.into()).unwrap());
    assert!(
        warnings[0].contains("this user may not describe all settings"),
        "{warnings:?}"
    );
}
