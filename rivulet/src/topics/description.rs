//! The pipeline file and the cluster side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use stream::pipeline::{Pipeline, Role, Topic};

use super::settings;
use crate::cluster::Found;

/// Settings of a topic or a broker, by name.
pub(super) type TopicSettings = BTreeMap<String, String>;

/// The setting that bounds a batch of records, in bytes.
const LARGEST: &str = "max.message.bytes";
/// What it is unless the file says otherwise.
const LARGEST_BY_DEFAULT: i64 = 1_048_588;
/// How long a topic keeps its records.
const RETENTION: &str = "retention.ms";
/// How far ahead of the broker's clock a record may be stamped.
const AHEAD: &str = "message.timestamp.after.max.ms";
/// How long brokers keep the offsets of a group that has no members.
const OFFSETS_RETENTION: &str = "offsets.retention.minutes";

/// What the file wants of each topic and what the cluster has; a table when it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// One setting of one topic each, topic after topic.
    pub rows: Vec<TopicRow>,
    /// How long brokers keep the offsets of a group that has no members; nothing if they do not
    /// tell.
    pub offsets_retention: Option<Duration>,
    /// Why the cluster does not show all of its settings, if so.
    pub refused: Option<RDKafkaErrorCode>,
}

/// One setting of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRow {
    /// The topic's name.
    pub topic: String,
    /// `partitions`, `replication` or the name of a topic setting.
    pub setting: String,
    /// What the file wants; nothing if it leaves that to the cluster.
    pub file: Option<String>,
    /// What the cluster has; nothing if the topic or the setting is not there.
    pub cluster: Option<String>,
    /// What the pipeline counts on at the least, where the file wants nothing.
    pub least: Option<i64>,
}

impl TopicRow {
    fn differs(&self) -> bool {
        // A list such as `compact,delete` means the same in any order.
        let parts = |value: &str| -> BTreeSet<String> {
            value
                .split(',')
                .map(|part| part.trim().to_owned())
                .collect()
        };
        match (&self.file, &self.cluster) {
            (Some(file), Some(cluster)) => parts(cluster) != parts(file),
            (Some(_), None) => true,
            (None, _) => self
                .number()
                .zip(self.least)
                .is_some_and(|(number, least)| number < least),
        }
    }

    fn number(&self) -> Option<i64> {
        self.cluster.as_ref()?.parse().ok()
    }
}

/// How one setting differs: "partitions is 1 and not 4".
#[derive(Debug, Clone, Copy)]
pub struct SettingDifference<'a>(&'a TopicRow);

impl fmt::Display for SettingDifference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TopicRow {
            setting,
            file,
            cluster,
            least,
            ..
        } = self.0;
        match (cluster, file) {
            (Some(cluster), Some(file)) => write!(f, "{setting} is {cluster} and not {file}"),
            (None, file) => write!(
                f,
                "{setting} is not {} but missing",
                file.as_deref().unwrap_or_default()
            ),
            (Some(cluster), None) => {
                write!(
                    f,
                    "{setting} is {cluster} and not at least {}",
                    least.unwrap_or_default()
                )
            }
        }
    }
}

impl Description {
    /// Compares; `configs` holds all settings of the topics that exist.
    pub(super) fn new(
        wanted: &BTreeMap<String, Topic>,
        found: &BTreeMap<String, Found>,
        configs: &BTreeMap<String, TopicSettings>,
    ) -> Self {
        let mut rows = Vec::new();
        for (name, topic) in wanted {
            let there = found.get(name);
            let mut row = |setting: &str,
                           file: Option<String>,
                           cluster: Option<String>,
                           least: Option<i64>| {
                rows.push(TopicRow {
                    topic: name.clone(),
                    setting: setting.to_owned(),
                    file,
                    cluster,
                    least,
                });
            };
            let partitions = there.map(|there| there.partitions.to_string());
            row(
                "partitions",
                Some(topic.partitions.to_string()),
                partitions,
                None,
            );
            if let Some(copies) = topic.replication {
                row(
                    "replication",
                    Some(copies.to_string()),
                    there.map(|there| there.replication.to_string()),
                    None,
                );
            }
            let config = configs.get(name);
            let on_cluster = |setting: &str| config.and_then(|config| config.get(setting)).cloned();
            let wanted = settings(topic);
            for (setting, file) in &wanted {
                // What the cluster does not show, nobody can compare.
                if config.is_some() || there.is_none() {
                    row(setting, Some(file.clone()), on_cluster(setting), None);
                }
            }
            let limits: &[(&str, Option<i64>)] = match topic.role {
                Role::Changelog => &[(LARGEST, Some(LARGEST_BY_DEFAULT))],
                Role::Readings | Role::DeadLetters => &[
                    (LARGEST, Some(LARGEST_BY_DEFAULT)),
                    (AHEAD, None),
                    (RETENTION, None),
                ],
            };
            for (setting, least) in limits
                .iter()
                .filter(|(setting, _)| !wanted.contains_key(*setting))
            {
                if let Some(cluster) = on_cluster(setting) {
                    row(setting, None, Some(cluster), *least);
                }
            }
        }
        Description {
            rows,
            offsets_retention: None,
            refused: None,
        }
    }

    /// The same with the settings of the brokers.
    pub(super) fn with_brokers(mut self, brokers: &[TopicSettings]) -> Self {
        let minutes = brokers
            .iter()
            .filter_map(|broker| broker.get(OFFSETS_RETENTION)?.parse().ok());
        self.offsets_retention = minutes
            .min()
            .map(|minutes: u64| Duration::from_secs(60 * minutes));
        self
    }

    /// The same without what the cluster does not show.
    pub(super) fn without(mut self, refused: Option<RDKafkaErrorCode>) -> Self {
        self.refused = refused;
        self
    }

    /// Whether anything is not as the file wants it.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.rows.iter().any(TopicRow::differs)
    }

    /// What is not as the file wants it in one topic.
    #[must_use]
    pub fn differences(&self, topic: &str) -> Vec<SettingDifference<'_>> {
        self.rows
            .iter()
            .filter(|row| row.topic == topic && row.differs())
            .map(SettingDifference)
            .collect()
    }

    /// What the pipeline may come to grief with, each with the remedy.
    #[must_use]
    pub fn warnings(&self, pipeline: &Pipeline) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(code) = self.refused {
            warnings.push(format!(
                "the cluster does not show all of its settings to this user ({code}): grant \
                 DescribeConfigs on the topics and on the cluster to have them compared"
            ));
        }
        for row in self
            .rows
            .iter()
            .filter(|row| row.setting == LARGEST && row.file.is_none() && row.differs())
        {
            let (topic, limit) = (&row.topic, row.cluster.as_deref().unwrap_or_default());
            warnings.push(format!(
                "{topic} takes no more than {limit} bytes at once, and the pipeline counts on \
                 {LARGEST_BY_DEFAULT}: say config = {{ \"{LARGEST}\" = {limit} }} in \
                 [topic.{topic}], or raise it on the cluster"
            ));
        }
        let number = |topic: &str, setting: &str| {
            self.rows
                .iter()
                .find(|row| row.topic == topic && row.setting == setting)
                .and_then(TopicRow::number)
        };
        let mut ahead = BTreeSet::new();
        for stage in &pipeline.stages {
            let latest = stage
                .from
                .iter()
                .filter_map(|from| Some((number(from, AHEAD)?, from)))
                .max();
            let own = stage.dead_letters();
            for to in stage.to.iter().chain([&own]) {
                if let (Some((input, from)), Some(output)) = (latest, number(to, AHEAD))
                    && output < input
                    && ahead.insert((from, to.clone()))
                {
                    warnings.push(format!(
                        "{to} refuses records stamped more than {} ahead, and {from}, of which it \
                         is made, takes them up to {} ahead: set {AHEAD} of both to the same",
                        millis(output),
                        millis(input)
                    ));
                }
            }
        }
        let Some(offsets) = self.offsets_retention else {
            return warnings;
        };
        let inputs: BTreeSet<&String> = pipeline
            .stages
            .iter()
            .flat_map(|stage| &stage.from)
            .collect();
        for topic in inputs {
            let Some(kept) = number(topic, RETENTION) else {
                continue;
            };
            if u128::try_from(kept).is_ok_and(|kept| kept <= offsets.as_millis()) {
                continue;
            }
            let kept = if kept < 0 {
                "for ever".to_owned()
            } else {
                format!("for {}", millis(kept))
            };
            let readers: Vec<&str> = pipeline
                .readers(topic)
                .map(|stage| stage.name.as_str())
                .collect();
            warnings.push(format!(
                "{topic} keeps records {kept}, and the brokers keep the committed offsets of a \
                 group without members for {}: of {}, a stage that rests longer no longer knows \
                 where it was. Set {OFFSETS_RETENTION} of the brokers to 2147483647, or \
                 {RETENTION} of the topic to no more",
                millis(i64::try_from(offsets.as_millis()).unwrap_or(i64::MAX)),
                readers.join(", ")
            ));
        }
        warnings
    }
}

/// A time in milliseconds for people: in the largest unit that divides it.
fn millis(time: i64) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1000, "s"),
    ];
    let unit = units
        .into_iter()
        .find(|(length, _)| time >= *length && time % length == 0);
    unit.map_or_else(
        || format!("{time} ms"),
        |(length, name)| format!("{} {name}", time / length),
    )
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells: Vec<[&str; 5]> = std::iter::once(["topic", "setting", "file", "cluster", ""])
            .chain(self.rows.iter().enumerate().map(|(index, row)| {
                let first = index == 0 || self.rows[index - 1].topic != row.topic;
                let mark = match (&row.cluster, row.differs()) {
                    (None, _) => "missing",
                    (_, true) if row.file.is_none() => "too small",
                    (_, true) => "differs",
                    (_, false) => "",
                };
                let topic = if first { row.topic.as_str() } else { "" };
                let (file, cluster) = (
                    row.file.as_deref().unwrap_or("-"),
                    row.cluster.as_deref().unwrap_or("-"),
                );
                [topic, &row.setting, file, cluster, mark]
            }))
            .collect();
        let widths: [usize; 4] = std::array::from_fn(|column| {
            cells
                .iter()
                .map(|row| row[column].len())
                .max()
                .unwrap_or_default()
        });
        for [topic, setting, file, cluster, mark] in cells {
            let cells = [topic, setting, file, cluster];
            let padded = cells
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}  "));
            writeln!(f, "{}", (padded.collect::<String>() + mark).trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stream::format::FormatName;
    use stream::pipeline::Role;

    use super::*;

    fn topic(partitions: i32, config: &[(&str, &str)]) -> Topic {
        Topic {
            partitions,
            replication: Some(1),
            format: FormatName::Json,
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

    const ONE: Found = Found {
        partitions: 1,
        replication: 1,
        ready: true,
    };

    #[test]
    fn the_same_is_no_difference() {
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
    fn what_differs_and_what_is_missing_is_marked() {
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

    /// What is told of the pipeline on a cluster whose topics have these settings.
    fn warned(
        input: &[(&str, &str)],
        output: &[(&str, &str)],
        broker: &[(&str, &str)],
    ) -> (String, Vec<String>) {
        let text = stream::pipeline::Text {
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
        let with = |settings: &[(&str, &str)]| text_with(settings);
        let configs = [
            ("in".to_owned(), with(input)),
            ("out".to_owned(), with(output)),
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
    fn limits_of_the_cluster_are_shown_and_those_that_are_too_small_named() {
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
            warning.starts_with("out takes no more than 100000 bytes at once"),
            "{warning}"
        );
        assert!(
            warning.contains("config = { \"max.message.bytes\" = 100000 } in [topic.out]"),
            "{warning}"
        );
    }

    #[test]
    fn an_input_that_is_kept_longer_than_offsets_is_told_with_the_remedy() {
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
                warning.contains(words) && warning.contains("for 7 d: of round"),
                "{warning}"
            );
            assert!(
                warning.contains("Set offsets.retention.minutes of the brokers to 2147483647"),
                "{warning}"
            );
        }
    }

    #[test]
    fn an_output_that_refuses_what_its_input_takes_is_told() {
        let (_, warnings) = warned(
            &[(AHEAD, "9223372036854775807")],
            &[(AHEAD, "3600000")],
            &[],
        );
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}")
        };
        assert!(
            warning.starts_with("out refuses records stamped more than 1 h ahead, and in, of"),
            "{warning}"
        );
    }

    #[test]
    fn a_cluster_that_does_not_show_its_settings_is_told_and_no_difference() {
        let wanted = [("a".to_owned(), topic(1, &[("retention.ms", "60000")]))].into();
        let description =
            Description::new(&wanted, &[("a".to_owned(), ONE)].into(), &BTreeMap::new())
                .without(Some(RDKafkaErrorCode::TopicAuthorizationFailed));
        assert!(!description.differs(), "{description}");
        let text = stream::pipeline::Text {
            path: "p.toml".into(),
            text: PIPELINE.into(),
        };
        let warnings = description.warnings(&Pipeline::parse(text.into()).unwrap());
        assert!(
            warnings[0].contains("does not show all of its settings to this user"),
            "{warnings:?}"
        );
    }
}
