//! The pipeline file and the cluster side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use rivulet_pipeline::{Pipeline, Role, Topic};

use crate::text::span;
use rivulet_kafka::FoundTopic;

/// Settings of a topic or a broker, by name.
pub(super) type TopicSettings = BTreeMap<String, String>;

/// The setting that bounds a batch of records, in bytes.
const LARGEST: &str = "max.message.bytes";
/// What it is unless the file says otherwise.
const LARGEST_BY_DEFAULT: i64 = 1_048_588;
/// How long a topic keeps its records.
const RETENTION: &str = "retention.ms";
/// How far a record's timestamp may be ahead of the broker's time.
const AHEAD: &str = "message.timestamp.after.max.ms";
/// How long brokers keep the offsets of a group that has no members.
const OFFSETS_RETENTION: &str = "offsets.retention.minutes";

/// The settings of each topic in the file and on the cluster. Displayed, it is a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// One for each setting of each topic, grouped by topic.
    pub rows: Vec<TopicRow>,
    /// How long brokers keep the offsets of a group without members; `None` if it is unknown.
    pub offsets_retention: Option<Duration>,
    /// Why not all settings could be described; `None` if they were.
    pub denied: Option<String>,
}

/// One setting of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRow {
    /// The topic's name.
    pub topic: String,
    /// `partitions`, `replication` or the name of a topic setting.
    pub setting: String,
    /// The value in the file; `None` if it has none.
    pub file: Option<String>,
    /// The value on the cluster; `None` if the topic or the setting does not exist.
    pub cluster: Option<String>,
    /// The least value that the pipeline works with, where the file has none.
    pub least: Option<i64>,
}

impl TopicRow {
    fn new(topic: &str, setting: &str, file: Option<String>, cluster: Option<String>) -> Self {
        TopicRow {
            topic: topic.to_owned(),
            setting: setting.to_owned(),
            file,
            cluster,
            least: None,
        }
    }

    fn differs(&self) -> bool {
        match (&self.file, &self.cluster) {
            (Some(file), Some(cluster)) => items(cluster) != items(file),
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

/// The items of a list such as `compact,delete`, whose order does not matter.
fn items(value: &str) -> BTreeSet<&str> {
    value.split(',').map(str::trim).collect()
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
    /// Compares the file with the cluster. `configs` has all settings of the existing topics.
    pub(super) fn new(
        wanted: &BTreeMap<String, Topic>,
        found: &BTreeMap<String, FoundTopic>,
        configs: &BTreeMap<String, TopicSettings>,
    ) -> Self {
        let mut rows = Vec::new();
        for (name, topic) in wanted {
            let found = found.get(name);
            let partitions = found.map(|found| found.partitions.to_string());
            let wanted = Some(topic.partitions.to_string());
            rows.push(TopicRow::new(name, "partitions", wanted, partitions));
            if let Some(copies) = topic.replication {
                let replication = found.map(|found| found.replication.to_string());
                let wanted = Some(copies.to_string());
                rows.push(TopicRow::new(name, "replication", wanted, replication));
            }
            let config = configs.get(name);
            let on_cluster = |setting: &str| config.and_then(|config| config.get(setting)).cloned();
            let wanted = topic.settings();
            for (setting, file) in &wanted {
                // A setting that could not be described cannot be compared.
                if config.is_some() || found.is_none() {
                    let file = Some(file.clone());
                    rows.push(TopicRow::new(name, setting, file, on_cluster(setting)));
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
                    rows.push(TopicRow {
                        least: *least,
                        ..TopicRow::new(name, setting, None, Some(cluster))
                    });
                }
            }
        }
        Description {
            rows,
            offsets_retention: None,
            denied: None,
        }
    }

    /// Adds the settings of the brokers.
    pub(super) fn with_brokers(mut self, brokers: &[TopicSettings]) -> Self {
        let minutes = brokers
            .iter()
            .filter_map(|broker| broker.get(OFFSETS_RETENTION)?.parse().ok());
        self.offsets_retention = minutes
            .min()
            .map(|minutes: u64| Duration::from_secs(60 * minutes));
        self
    }

    /// Sets why not all settings could be described.
    pub(super) fn with_denied(mut self, denied: Option<String>) -> Self {
        self.denied = denied;
        self
    }

    /// Whether any setting differs from the file.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.rows.iter().any(TopicRow::differs)
    }

    /// The settings of one topic that differ from the file.
    #[must_use]
    pub fn differences(&self, topic: &str) -> Vec<SettingDifference<'_>> {
        self.rows
            .iter()
            .filter(|row| row.topic == topic && row.differs())
            .map(SettingDifference)
            .collect()
    }

    /// The number that a setting has on the cluster.
    fn number(&self, topic: &str, setting: &str) -> Option<i64> {
        let mut rows = self.rows.iter();
        rows.find(|row| row.topic == topic && row.setting == setting)?
            .number()
    }

    /// Settings that may cause errors or loss, each with the remedy.
    #[must_use]
    pub fn warnings(&self, pipeline: &Pipeline) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(code) = &self.denied {
            warnings.push(format!(
                "this user may not describe all settings of the cluster ({code}): grant \
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
                "{LARGEST} of {topic} is {limit}, and the pipeline assumes {LARGEST_BY_DEFAULT}: \
                 set config = {{ \"{LARGEST}\" = {limit} }} in [topic.{}], or raise it on \
                 the cluster",
                pipeline.in_file(topic)
            ));
        }
        let mut ahead = BTreeSet::new();
        for stage in &pipeline.stages {
            let latest = stage
                .from
                .iter()
                .filter_map(|from| Some((self.number(from, AHEAD)?, from)))
                .max();
            let own = stage.dead_letters();
            for to in stage.to.iter().chain([&own]) {
                if let (Some((input, from)), Some(output)) = (latest, self.number(to, AHEAD))
                    && output < input
                    && ahead.insert((from, to.clone()))
                {
                    warnings.push(format!(
                        "{to} rejects records with timestamps more than {} in the future, and its \
                         input {from} accepts up to {}: set {AHEAD} of both to the same value",
                        span(output),
                        span(input)
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
            let Some(kept) = self.number(topic, RETENTION) else {
                continue;
            };
            if u128::try_from(kept).is_ok_and(|kept| kept <= offsets.as_millis()) {
                continue;
            }
            let kept = if kept < 0 {
                "for ever".to_owned()
            } else {
                format!("for {}", span(kept))
            };
            let readers: Vec<&str> = pipeline
                .readers(topic)
                .map(|stage| stage.name.as_str())
                .collect();
            warnings.push(format!(
                "{topic} keeps records {kept}, but the brokers keep the committed offsets of a \
                 group without members only for {}: a stage that is stopped for longer loses its \
                 offsets ({}). Set {OFFSETS_RETENTION} of the brokers to 2147483647, or \
                 {RETENTION} of the topic to at most that time",
                span(i64::try_from(offsets.as_millis()).unwrap_or(i64::MAX)),
                readers.join(", ")
            ));
        }
        warnings
    }
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
mod tests;
