//! Dead letters: listed, shown, replayed or dropped.
//!
//! Records in a dead-letter topic are never changed. A resolution is a later record in the topic
//! that says which dead letters were replayed or dropped. The original record and the resolution
//! are sent in one transaction. A process that starts to replay first fences all earlier ones and
//! then reads the topic. No dead letter is therefore replayed twice, whichever process is killed
//! and however many run at once.

mod handling;
mod listing;
mod page;
mod plan;
mod retention;
mod selection;
mod topic;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

use crate::{CheckedPipeline, print};
pub use rivulet_core::dead_letter::{Offsets, Resolved};
use rivulet_core::error::{Error, Kind, Result};
use rivulet_pipeline::{Diagnostics, Stage};

pub use self::handling::{ResolvedCounts, execute};
pub use self::listing::{DeadLetterGroup, DlqListing};
use self::page::Page;
pub use self::plan::Plan;
pub use self::retention::DlqRetention;
pub use self::selection::Selection;
use self::topic::{DeadLetterTopic, Id};
pub use rivulet_core::topic_source::ReadProgress;
use rivulet_kafka::TopicReader;

/// What to do if there are too many dead letters for the memory.
const HELP: &str = "choose fewer dead letters, by their stage, --since, --until or --reason, or \
                    allow more with --memory-max SIZE";

/// A query for dead letters of a pipeline.
#[derive(Debug)]
pub struct DeadLetterQuery<'p> {
    pipeline: &'p CheckedPipeline<'p>,
    stages: Vec<&'p Stage>,
    selection: Selection,
}

/// Which dead letters [`DeadLetterQuery::show`] shows, and how much of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShowOptions {
    /// Whether to show those that were replayed or dropped, too.
    pub resolved: bool,
    /// Whether to show long values in full.
    pub full: bool,
}

impl<'p> DeadLetterQuery<'p> {
    /// A query for one stage, or for all.
    ///
    /// # Errors
    /// If there is no such stage.
    pub fn new(
        pipeline: &'p CheckedPipeline<'p>,
        stage: Option<&str>,
        selection: Selection,
    ) -> Result<Self, Diagnostics> {
        let stages = match stage {
            Some(name) => vec![pipeline.stage(name)?],
            None => pipeline.stages.iter().collect(),
        };
        Ok(DeadLetterQuery {
            pipeline,
            stages,
            selection,
        })
    }

    /// Counts them by stage and reason.
    ///
    /// # Errors
    /// If the brokers are unreachable or the topics do not exist.
    pub fn list(&self, progress: &mut dyn FnMut(ReadProgress<'_>)) -> Result<DlqListing> {
        let (dlqs, reader) = self.read(self.reader(progress)?)?;
        let retentions = retention::of(self.pipeline, &dlqs, &reader)?;
        Ok(DlqListing::new(&dlqs).with_retentions(retentions))
    }

    /// Writes them to `out` one by one, and returns their number.
    ///
    /// # Errors
    /// If the brokers are unreachable, the topics do not exist, or writing fails.
    pub fn show(
        &self,
        options: ShowOptions,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(ReadProgress<'_>),
    ) -> Result<u64> {
        let (dlqs, mut reader) = self.read(self.reader(progress)?)?;
        let mut shown = 0;
        for dlq in &dlqs {
            let topic = dlq.stage.dead_letters();
            let mut chosen: BTreeMap<i32, BTreeMap<i64, Option<Resolved>>> = BTreeMap::new();
            for (id, entry) in &dlq.entries {
                if entry.resolved.is_none() || options.resolved {
                    chosen
                        .entry(id.partition)
                        .or_default()
                        .insert(id.offset, entry.resolved);
                }
            }
            for (partition, resolutions) in chosen {
                let (Some((first, _)), Some((last, _))) =
                    (resolutions.first_key_value(), resolutions.last_key_value())
                else {
                    continue;
                };
                let mut written = Ok(());
                reader.read_range(&topic, partition, (*first, *last), &mut |record| {
                    let (Some(resolved), Ok(())) = (resolutions.get(&record.offset), &written)
                    else {
                        return;
                    };
                    let page = Page {
                        topic: &topic,
                        id: Id {
                            partition,
                            offset: record.offset,
                        },
                        timestamp: record.timestamp,
                        key: record.key,
                        value: record.value,
                        headers: record.headers,
                        resolved: *resolved,
                        full: options.full,
                    };
                    let gap = if shown > 0 { "\n" } else { "" };
                    written = print::write(out, format_args!("{gap}{page}"));
                    shown += 1;
                })?;
                match written {
                    // The reader of the pipe has closed it.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(shown),
                    written => {
                        written.map_err(|error| Error::new("showing dead letters", error))?;
                    }
                }
            }
        }
        Ok(shown)
    }

    /// The plan to replay or drop them.
    ///
    /// # Errors
    /// If the brokers are unreachable or the topics do not exist.
    pub fn plan(
        &self,
        resolved: Resolved,
        progress: &mut dyn FnMut(ReadProgress<'_>),
    ) -> Result<Plan<'p>> {
        // The open transaction of a killed replay is aborted by the next replay, after this plan.
        let (dlqs, _) = self.read(self.reader(progress)?.without_waiting())?;
        Ok(Plan::new(self.pipeline, resolved, &dlqs))
    }

    fn topics(&self) -> Vec<String> {
        self.stages
            .iter()
            .map(|stage| stage.dead_letters())
            .collect()
    }

    fn reader<'r>(&self, progress: &'r mut dyn FnMut(ReadProgress<'_>)) -> Result<TopicReader<'r>> {
        self.pipeline.reader(&self.topics(), HELP, progress)
    }

    fn read<'r>(
        &self,
        mut reader: TopicReader<'r>,
    ) -> Result<(Vec<DeadLetterTopic<'p>>, TopicReader<'r>)> {
        let keeps = |id: Id, reason: &str, time: i64| self.selection.matches(id, reason, time);
        let mut dlqs = Vec::new();
        for stage in &self.stages {
            let dlq = DeadLetterTopic::read(self.pipeline, stage, &keeps, &mut reader)?;
            dlqs.push(dlq);
        }
        if dlqs.iter().all(|dlq| !dlq.exists) {
            let topics = self.topics().join(", ");
            return Err(Error::new(
                format!("looking for dead letters in {topics}"),
                "there is no such topic",
            )
            .of_kind(Kind::Missing)
            .help(
                "create the pipeline's topics with `rivulet topics create`, or name the right \
                 brokers with --brokers",
            ));
        }
        Ok((dlqs, reader))
    }
}

#[cfg(test)]
mod tests;
