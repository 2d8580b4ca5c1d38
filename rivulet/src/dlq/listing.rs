//! Dead letters by stage and reason, as a table or for scripts.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use rivulet_core::dead_letter::Resolved;
use serde::Serialize;

use super::retention::DlqRetention;
use super::topic::{DeadLetterTopic, Entry};
use crate::text;

/// How many characters of an error the table shows.
const SAMPLE: usize = 60;
/// How many characters of a reason the table shows.
const REASON: usize = 30;

/// The counts of dead letters by stage and reason. Displayed, it is a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DlqListing {
    /// One for each stage and reason.
    pub groups: Vec<DeadLetterGroup>,
    /// How long the topics keep dead letters; none if nobody has asked.
    #[serde(skip)]
    pub retentions: Vec<DlqRetention>,
}

/// The dead letters of one stage and reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterGroup {
    /// The stage.
    pub stage: String,
    /// The dead-letter topic.
    pub topic: String,
    /// The reason, one word. `foreign` if no stage wrote them.
    pub reason: String,
    /// How many are open.
    pub open: u64,
    /// How many were replayed.
    pub replayed: u64,
    /// How many were dropped.
    pub dropped: u64,
    /// When the first open one entered the pipeline: RFC 3339.
    pub first: Option<String>,
    /// When the last open one entered the pipeline: RFC 3339.
    pub last: Option<String>,
    /// The error of an open one.
    pub sample: Option<String>,
    /// How long the topic keeps them, in milliseconds: −1 is for ever. `None` is unknown.
    pub retention_ms: Option<i64>,
    /// How many offsets of the topic were deleted. Resolutions and transaction markers have some,
    /// too.
    pub deleted_offsets: i64,
}

impl DlqListing {
    pub(super) fn new(dlqs: &[DeadLetterTopic<'_>]) -> Self {
        let mut groups = Vec::new();
        for dlq in dlqs {
            let mut by_reason: BTreeMap<&Rc<str>, Vec<&Entry>> = BTreeMap::new();
            for entry in dlq.entries.values() {
                by_reason.entry(&entry.reason).or_default().push(entry);
            }
            groups.extend(
                by_reason
                    .into_iter()
                    .map(|(reason, entries)| DeadLetterGroup::new(dlq, reason, &entries)),
            );
        }
        DlqListing {
            groups,
            retentions: Vec::new(),
        }
    }

    /// Adds how long the topics keep dead letters.
    pub(super) fn with_retentions(mut self, retentions: Vec<DlqRetention>) -> Self {
        for group in &mut self.groups {
            let mut all = retentions.iter();
            if let Some(found) = all.find(|retention| retention.topic() == group.topic) {
                group.retention_ms = found.millis();
                group.deleted_offsets = found.deleted;
            }
        }
        self.retentions = retentions;
        self
    }

    /// How many dead letters are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.groups.iter().map(|group| group.open).sum()
    }
}

impl DeadLetterGroup {
    fn new(dlq: &DeadLetterTopic<'_>, reason: &str, entries: &[&Entry]) -> Self {
        let (mut replayed, mut dropped, mut open) = (0, 0, Vec::new());
        for entry in entries {
            match entry.resolved {
                Some(Resolved::Replayed) => replayed += 1,
                Some(Resolved::Dropped) => dropped += 1,
                None => open.push(entry),
            }
        }
        let times = open.iter().map(|entry| entry.timestamp);
        DeadLetterGroup {
            stage: dlq.stage.name.clone(),
            topic: dlq.stage.dead_letters(),
            reason: reason.to_owned(),
            open: open.len() as u64,
            replayed,
            dropped,
            first: times.clone().min().map(text::time),
            last: times.max().map(text::time),
            sample: open
                .iter()
                .rev()
                .find_map(|entry| Some(entry.error.as_deref()?.to_owned())),
            retention_ms: None,
            deleted_offsets: 0,
        }
    }
}

impl fmt::Display for DlqListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.groups.is_empty() {
            writeln!(f, "no dead letters")?;
            return self.write_retentions(f);
        }
        let mut rows = vec![
            [
                "stage", "reason", "open", "replayed", "dropped", "first", "last", "sample",
            ]
            .map(String::from),
        ];
        for group in &self.groups {
            rows.push([
                group.stage.clone(),
                text::plain(&group.reason, REASON),
                group.open.to_string(),
                group.replayed.to_string(),
                group.dropped.to_string(),
                or_dash(group.first.as_deref()),
                or_dash(group.last.as_deref()),
                or_dash(group.sample.as_deref()),
            ]);
        }
        let widths: [usize; 8] = std::array::from_fn(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or_default()
        });
        for row in &rows {
            let cells = row
                .iter()
                .zip(widths)
                .enumerate()
                .map(|(column, (cell, width))| match column {
                    2..=4 => format!("{cell:>width$}"),
                    _ => format!("{cell:width$}"),
                });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        let open = self.open();
        if open == 0 {
            writeln!(f, "no dead letters are open")?;
        } else {
            writeln!(
                f,
                "{open} open: `rivulet dlq show` shows them, `replay` sends the records again, \
                 `drop` closes them"
            )?;
        }
        self.write_retentions(f)
    }
}

impl DlqListing {
    /// Writes a line for each topic that has dead letters, or has lost some.
    fn write_retentions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for retention in &self.retentions {
            let mut groups = self.groups.iter();
            if retention.deleted > 0 || groups.any(|group| group.topic == retention.topic()) {
                writeln!(f, "{retention}")?;
            }
        }
        Ok(())
    }
}

fn or_dash(text: Option<&str>) -> String {
    text.map_or("-".to_owned(), |text| text::plain(text, SAMPLE))
}
