//! How long Kafka keeps dead letters, and which it has deleted or deletes soon.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use rivulet_core::error::Result;
use rivulet_core::topic_source::TopicSource;
use rivulet_kafka::Admin;

use super::topic::DeadLetterTopic;
use crate::CheckedPipeline;
use crate::text::{plural, span};

/// What is about to be deleted within this time, in milliseconds, is worth a word.
const SOON: i64 = 86_400_000;

/// How long a dead-letter topic keeps its records. Displayed, it is a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DlqRetention {
    topic: String,
    keeps: KeepsFor,
    /// How many offsets were deleted.
    pub(super) deleted: i64,
    /// How many open dead letters may be deleted within a day.
    pub(super) expiring: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeepsFor {
    /// In milliseconds.
    Time(i64),
    Ever,
    /// The brokers do not say it.
    Unknown,
}

/// The retention of each of the topics that exist.
///
/// # Errors
/// If the brokers are unreachable.
pub(super) fn of(
    pipeline: &CheckedPipeline<'_>,
    dlqs: &[DeadLetterTopic<'_>],
    source: &dyn TopicSource,
) -> Result<Vec<DlqRetention>> {
    let existing = dlqs.iter().filter(|dlq| dlq.exists);
    let names: Vec<String> = existing.map(|dlq| dlq.stage.dead_letters()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let admin = Admin::new(&pipeline.connection())?;
    let settings = admin.topic_settings(&names, &mut None)?;
    let now = Timestamp::now().as_millisecond();
    let retention = |dlq| DlqRetention::new(dlq, &settings, source, now);
    Ok(dlqs
        .iter()
        .filter(|dlq| dlq.exists)
        .map(retention)
        .collect())
}

impl DlqRetention {
    /// `now` is in milliseconds since the epoch.
    pub(super) fn new(
        dlq: &DeadLetterTopic<'_>,
        settings: &BTreeMap<String, BTreeMap<String, String>>,
        source: &dyn TopicSource,
        now: i64,
    ) -> Self {
        let topic = dlq.stage.dead_letters();
        let keeps = settings.get(&topic).map_or(KeepsFor::Unknown, keeps);
        let partitions = source.partitions(&topic).unwrap_or_default();
        let partitions = 0..i32::try_from(partitions).unwrap_or(i32::MAX);
        let open = dlq.entries.values();
        let open = open.filter(|entry| entry.resolved.is_none());
        let is_soon = |timestamp: i64| match keeps {
            KeepsFor::Time(kept) => timestamp.saturating_add(kept) <= now.saturating_add(SOON),
            KeepsFor::Ever | KeepsFor::Unknown => false,
        };
        DlqRetention {
            keeps,
            deleted: partitions
                .map(|partition| source.start(&topic, partition))
                .sum(),
            expiring: open.filter(|entry| is_soon(entry.timestamp)).count() as u64,
            topic,
        }
    }

    /// The topic.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// How long it keeps records, in milliseconds: −1 is for ever, `None` is unknown.
    pub(super) fn millis(&self) -> Option<i64> {
        match self.keeps {
            KeepsFor::Time(millis) => Some(millis),
            KeepsFor::Ever => Some(-1),
            KeepsFor::Unknown => None,
        }
    }
}

/// How long a topic with these settings keeps records.
fn keeps(settings: &BTreeMap<String, String>) -> KeepsFor {
    let deletes = settings.get("cleanup.policy");
    if deletes.is_some_and(|policy| !policy.contains("delete")) {
        return KeepsFor::Ever;
    }
    let millis = settings.get("retention.ms");
    match millis.and_then(|millis| millis.parse().ok()) {
        Some(..0) => KeepsFor::Ever,
        Some(millis) => KeepsFor::Time(millis),
        None => KeepsFor::Unknown,
    }
}

impl fmt::Display for DlqRetention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = &self.topic;
        match self.keeps {
            KeepsFor::Time(millis) => write!(f, "{topic} keeps records for {}", span(millis))?,
            KeepsFor::Ever => write!(f, "{topic} keeps records for ever")?,
            KeepsFor::Unknown => write!(f, "how long {topic} keeps records is unknown")?,
        }
        if self.deleted > 0 {
            write!(f, "; {} were deleted", plural(self.deleted, "offset"))?;
        }
        if self.expiring > 0 {
            write!(f, "; {} open may be deleted within a day", self.expiring)?;
        }
        Ok(())
    }
}
