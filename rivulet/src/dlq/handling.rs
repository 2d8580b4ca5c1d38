//! Letters sent back or dropped, exactly once.

use std::collections::BTreeMap;

use stream::dead_letter::{Header, LedgerRecord, Resolution, Resolved};
use stream::error::{Error, Result};
use stream::kafka::KafkaLog;
use stream::log::{Fault, Log, ProducerRecord};
use stream::pipeline::{Guarantee, Pipeline, Rules, Stage, StageKind};
use stream::shutdown::Shutdown;

use super::ledger::{Id, Ledger};
use super::plan::{Plan, PlanPart, letters};
use crate::read::Reader;

/// How many letters and how many of their bytes go into one transaction. While it is open nobody
/// who reads the topics that it writes gets any further.
const LETTERS: usize = 100;
const BYTES: usize = 4 << 20;

/// Ends the transactional id. Nothing else in the pipeline begins with the name of a dead-letter
/// topic.
const INSTANCE: &str = "dlq";

/// What [`handle`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    /// Letters that were replayed or dropped.
    pub done: u64,
    /// Letters that somebody else had dealt with, or retention had taken, since the plan was made.
    pub gone: u64,
}

/// Does what is planned, and tells `progress` how many letters are done.
///
/// Whatever ends it in between, what is done is done and the rest is untouched.
///
/// # Errors
/// If the cluster does not answer, somebody else has begun to handle the same stage's letters, or
/// it was asked to stop.
pub fn handle(plan: &Plan<'_>, shutdown: &Shutdown, progress: &mut dyn FnMut(u64)) -> Result<Done> {
    let mut done = Done::default();
    for part in plan.parts.iter().filter(|part| !part.letters.is_empty()) {
        handle_part(plan, part, shutdown, &mut done, progress).map_err(|fault| {
            let cause = match fault {
                Fault::Abortable(error) | Fault::Rejected(_, error) | Fault::Fatal(error) => {
                    error.into_parts().0
                }
                Fault::Shutdown => "asked to stop".to_owned(),
            };
            let doing = match plan.resolved {
                Resolved::Replayed => format!("replaying letters of {}", part.stage.name),
                Resolved::Dropped => format!("dropping letters of {}", part.stage.name),
            };
            let so_far = format!(
                "{} of {} were {}",
                done.done,
                letters(plan.count()),
                plan.resolved.name()
            );
            Error::new(doing, format!("{cause}; {so_far}")).help(
                "run it again: it goes on with what is open. Only one at a time can handle a \
                 stage's letters, and the last to begin wins",
            )
        })?;
    }
    Ok(done)
}

fn handle_part(
    plan: &Plan<'_>,
    part: &PlanPart<'_>,
    shutdown: &Shutdown,
    done: &mut Done,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Fault> {
    let topic = part.stage.dead_letters();
    // Fence first: only then is everything settled that others began, and only then read what is
    // open.
    let mut log = open(plan.pipeline, part, shutdown)?;
    let mut silent = |_: crate::read::ReadProgress<'_>| ();
    let mut reader = Reader::new(
        &plan.pipeline.kafka,
        std::slice::from_ref(&topic),
        &mut silent,
    )
    .map_err(Fault::Fatal)?;
    let ledger = Ledger::read(plan.pipeline, part.stage, &mut reader).map_err(Fault::Fatal)?;
    let open = part.letters.iter().filter_map(|id| {
        let filed = ledger
            .letters
            .get(id)
            .filter(|filed| filed.resolved.is_none())?;
        Some((*id, filed.size))
    });
    let batches = batches(open, plan.resolved);
    let before = done.done;
    for batch in batches {
        shutdown.check()?;
        let letters = match plan.resolved {
            Resolved::Dropped => batch.offsets.clone(),
            Resolved::Replayed => {
                let originals = batch.originals(&topic, &mut reader).map_err(Fault::Fatal)?;
                for original in originals.values() {
                    log.send(&original.outgoing())?;
                }
                originals.into_keys().collect()
            }
        };
        if !letters.is_empty() {
            let count = letters.len() as u64;
            let mark = Resolution {
                resolved: plan.resolved,
                letters: letters.into_iter().collect(),
            };
            // Into the letters' own partition: there retention takes them before their mark.
            let partition = Some(batch.partition);
            let headers = mark.headers();
            log.send(&ProducerRecord {
                topic: &topic,
                partition,
                timestamp: None,
                key: None,
                value: None,
                headers: &headers,
            })?;
            log.commit(&[])?;
            done.done += count;
            progress(done.done);
        }
    }
    done.gone += part.letters.len() as u64 - (done.done - before);
    Ok(())
}

/// A log whose transactional id belongs to the stage's dead letters. Opening it ends what another
/// one left open, and from then on that one can commit nothing.
fn open(pipeline: &Pipeline, part: &PlanPart<'_>, shutdown: &Shutdown) -> Result<KafkaLog, Fault> {
    // Whatever the stages promise: without a transaction a letter could be sent and not be marked.
    let pipeline = Pipeline {
        guarantee: Guarantee::ExactlyOnce,
        ..pipeline.clone()
    };
    let topics: Vec<String> = part
        .topics
        .keys()
        .cloned()
        .chain([part.stage.dead_letters()])
        .collect();
    let handler = Stage {
        name: part.stage.dead_letters(),
        place: part.stage.place.clone(),
        from: Vec::new(),
        to: topics.clone(),
        kind: StageKind::Operator { steps: Vec::new() },
        rules: Rules::default(),
    };
    KafkaLog::open(&pipeline, &handler, &topics, INSTANCE, shutdown)
}

/// The letters of one transaction, all in one partition.
#[derive(Debug, PartialEq, Eq)]
struct Batch {
    partition: i32,
    /// In ascending order, and at least one.
    offsets: Vec<i64>,
}

/// Letters, given in their order with their bytes, put together for transactions.
fn batches(open: impl Iterator<Item = (Id, usize)>, resolved: Resolved) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut bytes = 0;
    for (id, size) in open {
        // What is dropped is not sent.
        let size = if resolved == Resolved::Dropped {
            0
        } else {
            size
        };
        match batches.last_mut() {
            Some(batch)
                if batch.partition == id.partition
                    && batch.offsets.len() < LETTERS
                    && bytes + size <= BYTES =>
            {
                bytes += size;
                batch.offsets.push(id.offset);
            }
            _ => {
                bytes = size;
                batches.push(Batch {
                    partition: id.partition,
                    offsets: vec![id.offset],
                });
            }
        }
    }
    batches
}

impl Batch {
    /// The records as they were before they were refused, by the offsets of their letters.
    fn originals(&self, topic: &str, reader: &mut Reader<'_>) -> Result<BTreeMap<i64, Original>> {
        let mut originals = BTreeMap::new();
        let (Some(first), Some(last)) = (self.offsets.first(), self.offsets.last()) else {
            return Ok(originals);
        };
        reader.read_range(topic, self.partition, (*first, *last), &mut |record| {
            if self.offsets.binary_search(&record.offset).is_ok()
                && let LedgerRecord::DeadLetter(letter) = LedgerRecord::read(record.headers)
            {
                let original = Original {
                    topic: letter.topic.to_owned(),
                    timestamp: record.timestamp,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: letter.original.to_vec(),
                };
                originals.insert(record.offset, original);
            }
        })?;
        Ok(originals)
    }
}

/// A record as it was before it was refused.
#[derive(Debug)]
struct Original {
    topic: String,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

impl Original {
    fn outgoing(&self) -> ProducerRecord<'_> {
        ProducerRecord {
            topic: &self.topic,
            partition: None,
            timestamp: Some(self.timestamp).filter(|timestamp| *timestamp >= 0),
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(letters: &[(i32, usize)], resolved: Resolved) -> Vec<(i32, usize)> {
        let letters = (0..)
            .zip(letters)
            .map(|(offset, &(partition, size))| (Id { partition, offset }, size));
        batches(letters, resolved)
            .iter()
            .map(|batch| (batch.partition, batch.offsets.len()))
            .collect()
    }

    #[test]
    fn a_transaction_is_bounded_in_letters_and_bytes_and_keeps_to_a_partition() {
        let many = vec![(0, 10); 2 * LETTERS + 1];
        assert_eq!(
            sizes(&many, Resolved::Replayed),
            [(0, LETTERS), (0, LETTERS), (0, 1)]
        );
        let large = [
            (0, BYTES / 2),
            (0, BYTES / 2),
            (0, 1),
            (0, 2 * BYTES),
            (0, 1),
            (1, 1),
        ];
        assert_eq!(
            sizes(&large, Resolved::Replayed),
            [(0, 2), (0, 1), (0, 1), (0, 1), (1, 1)]
        );
        assert_eq!(sizes(&large, Resolved::Dropped), [(0, 5), (1, 1)]);
        assert_eq!(sizes(&[], Resolved::Replayed), []);
    }
}
