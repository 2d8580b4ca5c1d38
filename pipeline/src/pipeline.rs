//! All stages and topics of a file: [`Pipeline`].

use std::collections::BTreeMap;
use std::sync::Arc;

use rivulet_core::guarantee::Guarantee;
use rivulet_core::limits::Limits;
use rivulet_core::stage::CommitPolicy;
use rivulet_core::text::plain;

use crate::diagnostic::{Diagnostic, Diagnostics, Text, suggest};
use crate::prefix::Prefix;
use crate::stage::Stage;
use crate::topic::Topic;

/// A pipeline file without errors.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The file, for messages that point into it and paths that are relative to it.
    pub text: Arc<Text>,
    /// What stands before its names in Kafka.
    pub prefix: Prefix,
    /// What a crash may do to the results.
    pub guarantee: Guarantee,
    /// When stages commit.
    pub commit: CommitPolicy,
    /// How much memory each process may take.
    pub limits: Limits,
    /// librdkafka properties, `bootstrap.servers` among them.
    pub kafka: BTreeMap<String, String>,
    /// Every topic that the stages name, by its name in Kafka.
    pub topics: BTreeMap<String, Topic>,
    /// The stages in the order of the file.
    pub stages: Vec<Stage>,
}

impl Pipeline {
    /// The stage of that name.
    ///
    /// # Errors
    /// If there is none; the error lists those that there are.
    pub fn stage(&self, name: &str) -> Result<&Stage, Diagnostics> {
        self.stages
            .iter()
            .find(|stage| stage.name == name)
            .ok_or_else(|| {
                let names: Vec<&str> = self
                    .stages
                    .iter()
                    .map(|stage| stage.name.as_str())
                    .collect();
                let diagnostic = Diagnostic::nowhere(format!("has no stage `{}`", plain(name)))
                    .help(suggest(name, &names));
                Diagnostics::new(self.text.clone(), vec![diagnostic])
            })
    }

    /// The topic of that name in Kafka, which must be one that a stage names.
    ///
    /// # Panics
    /// If no stage names it.
    #[must_use]
    pub fn topic(&self, name: &str) -> &Topic {
        &self.topics[name]
    }

    /// When a stage commits. What is uncommitted must fit into a process's memory.
    #[must_use]
    pub fn commit_policy(&self, stage: &Stage) -> CommitPolicy {
        // Readers of a topic see records without transactions before the commit. So a commit in a
        // hurry brings nothing, but to a sink, whose results are elsewhere.
        let waits_for_commits = self.guarantee == Guarantee::ExactlyOnce || stage.to.is_empty();
        let least_interval = if waits_for_commits {
            self.commit.least_interval
        } else {
            self.commit.longest_interval
        };
        CommitPolicy {
            least_interval,
            records: self.commit.records.min(self.limits.producer_records()),
            ..self.commit
        }
    }

    /// The brokers to ask first.
    #[must_use]
    pub fn brokers(&self) -> &str {
        self.kafka
            .get("bootstrap.servers")
            .map_or("", String::as_str)
    }

    /// The stages in the order in which data flows: each after those that write what it reads.
    #[must_use]
    pub fn in_order(&self) -> Vec<&Stage> {
        let mut ordered: Vec<&Stage> = Vec::with_capacity(self.stages.len());
        let mut left: Vec<&Stage> = self.stages.iter().collect();
        while !left.is_empty() {
            let waits = |stage: &&Stage| {
                left.iter()
                    .any(|other| other.to.iter().any(|topic| stage.from.contains(topic)))
            };
            let (later, now): (Vec<&Stage>, Vec<&Stage>) =
                left.iter().partition(|stage| waits(stage));
            // A pipeline without errors has no cycle, so some stage never waits.
            if now.is_empty() {
                ordered.extend(later);
                break;
            }
            ordered.extend(now);
            left = later;
        }
        ordered
    }

    /// The stages that write a topic.
    pub fn writers<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Stage> {
        self.stages
            .iter()
            .filter(move |stage| stage.to.iter().any(|to| to == topic))
    }

    /// The stages that read a topic.
    pub fn readers<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Stage> {
        self.stages
            .iter()
            .filter(move |stage| stage.from.iter().any(|from| from == topic))
    }
}
