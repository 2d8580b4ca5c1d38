//! The pipeline file and the cluster side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use stream::pipeline::Topic;

use super::settings;
use crate::cluster::Found;

/// What the file wants of each topic and what the cluster has; a table when it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// One setting of one topic each, topic after topic.
    pub rows: Vec<Row>,
}

/// One setting of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The topic's name.
    pub topic: String,
    /// `partitions`, `replication` or the name of a topic setting.
    pub setting: String,
    /// What the file wants.
    pub file: String,
    /// What the cluster has; nothing if the topic or the setting is not there.
    pub cluster: Option<String>,
}

impl Row {
    fn differs(&self) -> bool {
        // A list such as `compact,delete` means the same in any order.
        let parts = |value: &str| -> BTreeSet<String> { value.split(',').map(|part| part.trim().to_owned()).collect() };
        self.cluster.as_ref().is_none_or(|cluster| parts(cluster) != parts(&self.file))
    }
}

/// How one setting differs: "partitions is 1 and not 4".
#[derive(Debug, Clone, Copy)]
pub struct Difference<'a>(&'a Row);

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.cluster {
            Some(cluster) => write!(f, "{} is {cluster} and not {}", self.0.setting, self.0.file),
            None => write!(f, "{} is not {} but missing", self.0.setting, self.0.file),
        }
    }
}

impl Description {
    /// Compares; `configs` holds all settings of the topics that exist.
    pub(super) fn new(
        wanted: &BTreeMap<String, Topic>,
        found: &BTreeMap<String, Found>,
        configs: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> Self {
        let mut rows = Vec::new();
        for (name, topic) in wanted {
            let there = found.get(name);
            let mut row = |setting: &str, file: String, cluster: Option<String>| {
                rows.push(Row { topic: name.clone(), setting: setting.to_owned(), file, cluster });
            };
            row("partitions", topic.partitions.to_string(), there.map(|there| there.partitions.to_string()));
            if let Some(copies) = topic.replication {
                row("replication", copies.to_string(), there.map(|there| there.replication.to_string()));
            }
            for (setting, file) in settings(topic) {
                let cluster = configs.get(name).and_then(|config| config.get(&setting)).cloned();
                row(&setting, file, cluster);
            }
        }
        Description { rows }
    }

    /// Whether anything is not as the file wants it.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.rows.iter().any(Row::differs)
    }

    /// What is not as the file wants it in one topic.
    #[must_use]
    pub fn differences(&self, topic: &str) -> Vec<Difference<'_>> {
        self.rows.iter().filter(|row| row.topic == topic && row.differs()).map(Difference).collect()
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells: Vec<[&str; 5]> = std::iter::once(["topic", "setting", "file", "cluster", ""])
            .chain(self.rows.iter().enumerate().map(|(index, row)| {
                let first = index == 0 || self.rows[index - 1].topic != row.topic;
                let mark = match (&row.cluster, row.differs()) {
                    (None, _) => "missing",
                    (_, true) => "differs",
                    (_, false) => "",
                };
                let topic = if first { row.topic.as_str() } else { "" };
                [topic, &row.setting, &row.file, row.cluster.as_deref().unwrap_or("-"), mark]
            }))
            .collect();
        let widths: [usize; 4] =
            std::array::from_fn(|column| cells.iter().map(|row| row[column].len()).max().unwrap_or_default());
        for [topic, setting, file, cluster, mark] in cells {
            let cells = [topic, setting, file, cluster];
            let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
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
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    const ONE: Found = Found { partitions: 1, replication: 1, ready: true };

    #[test]
    fn the_same_is_no_difference() {
        let wanted = [("a".to_owned(), topic(1, &[("cleanup.policy", "compact,delete")]))].into();
        let configs = [("a".to_owned(), text(&[("cleanup.policy", "delete,compact"), ("retention.ms", "1")]))].into();
        let description = Description::new(&wanted, &[("a".to_owned(), ONE)].into(), &configs);
        assert!(!description.differs(), "{description}");
        assert_eq!(description.differences("a").len(), 0);
    }

    #[test]
    fn what_differs_and_what_is_missing_is_marked() {
        let wanted = [("a".to_owned(), topic(4, &[("retention.ms", "60000")])), ("b".to_owned(), topic(1, &[]))].into();
        let configs = [("a".to_owned(), text(&[("cleanup.policy", "delete"), ("retention.ms", "1")]))].into();
        let description = Description::new(&wanted, &[("a".to_owned(), ONE)].into(), &configs);
        assert!(description.differs());
        let how: Vec<String> = description.differences("a").iter().map(ToString::to_string).collect();
        assert_eq!(how, ["partitions is 1 and not 4", "retention.ms is 1 and not 60000"]);
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
}
