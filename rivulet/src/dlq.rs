//! Dead letters in a person's hands: listed, shown, sent back or dropped.
//!
//! A dead-letter topic is its own ledger. Nothing in it is changed: behind the letters stand marks
//! that say which of them were replayed or dropped. A letter's original and its mark are sent in
//! one transaction, and whoever begins to send first fences all who began before and then reads the
//! ledger, so no letter is sent twice, whoever is killed and however many do it at once.

mod handling;
mod ledger;
mod listing;
mod page;
mod plan;
mod selection;
mod text;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

pub use stream::dead_letter::{Offsets, Resolved};
use stream::error::{Error, Result};
use stream::pipeline::{Diagnostics, Pipeline, Stage};

pub use self::handling::{Done, handle};
use self::ledger::{Id, Ledger};
pub use self::listing::{DlqListing, Group};
use self::page::Page;
pub use self::plan::Plan;
pub use self::selection::{Selection, TimeBound};
pub use crate::read::ReadProgress;
use crate::read::Reader;

/// The dead letters that somebody asks for.
#[derive(Debug)]
pub struct Letters<'p> {
    pipeline: &'p Pipeline,
    stages: Vec<&'p Stage>,
    selection: Selection,
}

/// Which letters [`Letters::show`] shows, and how much of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShowOptions {
    /// Also those that were replayed or dropped.
    pub resolved: bool,
    /// Everything, however long.
    pub full: bool,
}

impl<'p> Letters<'p> {
    /// Those of one stage, or of all.
    ///
    /// # Errors
    /// If there is no such stage.
    pub fn new(
        pipeline: &'p Pipeline,
        stage: Option<&str>,
        selection: Selection,
    ) -> Result<Self, Diagnostics> {
        let stages = match stage {
            Some(name) => vec![pipeline.stage(name)?],
            None => pipeline.stages.iter().collect(),
        };
        Ok(Letters {
            pipeline,
            stages,
            selection,
        })
    }

    /// How many there are, by stage and reason.
    ///
    /// # Errors
    /// If the cluster does not answer or the topics do not exist.
    pub fn list(&self, progress: &mut dyn FnMut(ReadProgress<'_>)) -> Result<DlqListing> {
        let (ledgers, _) = self.read(self.reader(progress)?)?;
        Ok(DlqListing::new(&ledgers, &self.selection))
    }

    /// Writes them out one by one, and returns how many they are.
    ///
    /// # Errors
    /// If the cluster does not answer, the topics do not exist, or they cannot be written.
    pub fn show(
        &self,
        options: ShowOptions,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(ReadProgress<'_>),
    ) -> Result<u64> {
        let (ledgers, mut reader) = self.read(self.reader(progress)?)?;
        let mut shown = 0;
        for ledger in &ledgers {
            let topic = ledger.stage.dead_letters();
            let mut chosen: BTreeMap<i32, BTreeMap<i64, Option<Resolved>>> = BTreeMap::new();
            for (id, filed) in ledger.selected(&self.selection) {
                if filed.resolved.is_none() || options.resolved {
                    chosen
                        .entry(id.partition)
                        .or_default()
                        .insert(id.offset, filed.resolved);
                }
            }
            for (partition, letters) in chosen {
                let (Some((first, _)), Some((last, _))) =
                    (letters.first_key_value(), letters.last_key_value())
                else {
                    continue;
                };
                let mut written = Ok(());
                reader.read_range(&topic, partition, (*first, *last), &mut |record| {
                    let (Some(resolved), Ok(())) = (letters.get(&record.offset), &written) else {
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
                    written = write!(out, "{}{page}", if shown > 0 { "\n" } else { "" });
                    shown += 1;
                })?;
                match written {
                    // Whoever reads has seen enough.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(shown),
                    written => written.map_err(|error| Error::new("showing letters", error))?,
                }
            }
        }
        Ok(shown)
    }

    /// What replaying or dropping them would do.
    ///
    /// # Errors
    /// If the cluster does not answer or the topics do not exist.
    pub fn plan(
        &self,
        resolved: Resolved,
        progress: &mut dyn FnMut(ReadProgress<'_>),
    ) -> Result<Plan<'p>> {
        // What a replay that was killed left open is ended by the next one, which asks first.
        let (ledgers, _) = self.read(self.reader(progress)?.without_waiting())?;
        Ok(Plan::new(
            self.pipeline,
            resolved,
            &ledgers,
            &self.selection,
        ))
    }

    fn topics(&self) -> Vec<String> {
        self.stages
            .iter()
            .map(|stage| stage.dead_letters())
            .collect()
    }

    fn reader<'r>(&self, progress: &'r mut dyn FnMut(ReadProgress<'_>)) -> Result<Reader<'r>> {
        Reader::new(&self.pipeline.kafka, &self.topics(), progress)
    }

    fn read<'r>(&self, mut reader: Reader<'r>) -> Result<(Vec<Ledger<'p>>, Reader<'r>)> {
        let mut ledgers = Vec::new();
        for stage in &self.stages {
            ledgers.push(Ledger::read(self.pipeline, stage, &mut reader)?);
        }
        if ledgers.iter().all(|ledger| !ledger.exists) {
            let topics = self.topics().join(", ");
            return Err(Error::new(
                format!("looking for dead letters in {topics}"),
                "there is no such topic",
            )
            .help(
                "create the pipeline's topics with `rivulet topics create`, or name the right \
                 brokers with --brokers",
            ));
        }
        Ok((ledgers, reader))
    }
}

#[cfg(test)]
mod tests;
