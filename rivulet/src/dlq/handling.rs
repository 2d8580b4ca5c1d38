//! Replaying and dropping dead letters, exactly once.

use std::collections::BTreeMap;

use rivulet_core::dead_letter::{LedgerRecord, Resolution, Resolved};
use rivulet_core::error::{Error, Result};
use rivulet_core::guarantee::Guarantee;
use rivulet_core::log::Header;
use rivulet_core::log::{Fault, Log, ProducerRecord};
use rivulet_core::shutdown::Shutdown;
use rivulet_kafka::{KafkaLog, LogConfig};
use rivulet_pipeline::{Pipeline, Topic};

use super::HELP;
use super::plan::{Plan, PlanPart, dead_letters};
use super::topic::{DeadLetterTopic, Id};
use rivulet_core::topic_source::ReadProgress;
use rivulet_kafka::TopicReader;

/// The limits of one transaction, in dead letters and in bytes. While it is open, readers of the
/// output topics wait.
const MAX_COUNT: usize = 100;
const MAX_BYTES: usize = 4 << 20;

/// The end of the transactional id, which starts with the name of the dead-letter topic.
const INSTANCE: &str = "dlq";

/// The result of [`execute`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResolvedCounts {
    /// How many dead letters were replayed or dropped.
    pub resolved: u64,
    /// How many another process has resolved, or retention has deleted, since the plan was made.
    pub gone: u64,
}

/// Executes a plan, and calls `progress` with the number of resolved dead letters.
///
/// If it is interrupted, each dead letter is either resolved or unchanged.
///
/// # Errors
/// If the brokers are unreachable, another process has started to resolve dead letters of the same
/// stage, or it was asked to stop.
pub fn execute(
    plan: &Plan<'_>,
    shutdown: &Shutdown,
    progress: &mut dyn FnMut(u64),
) -> Result<ResolvedCounts> {
    let mut counts = ResolvedCounts::default();
    for part in plan.parts.iter().filter(|part| !part.ids.is_empty()) {
        execute_part(plan, part, shutdown, &mut counts, progress).map_err(|fault| {
            let cause = match fault {
                Fault::Abortable(error) | Fault::Rejected(_, error) | Fault::Fatal(error) => {
                    error.into_parts().0
                }
                Fault::Shutdown => "asked to stop".to_owned(),
            };
            let doing = match plan.resolved {
                Resolved::Replayed => format!("replaying dead letters of {}", part.stage.name),
                Resolved::Dropped => format!("dropping dead letters of {}", part.stage.name),
            };
            let so_far = format!(
                "{} of {} were {}",
                counts.resolved,
                dead_letters(plan.count()),
                plan.resolved.name()
            );
            Error::new(doing, format!("{cause}; {so_far}")).help(
                "run it again to continue with the open dead letters. Only one process at a time \
                 can resolve the dead letters of a stage: the last to start fences the others",
            )
        })?;
    }
    Ok(counts)
}

fn execute_part(
    plan: &Plan<'_>,
    part: &PlanPart<'_>,
    shutdown: &Shutdown,
    counts: &mut ResolvedCounts,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Fault> {
    let topic = part.stage.dead_letters();
    // Fence first: only then the transactions of other processes are complete, and the topic shows
    // which dead letters are open.
    let mut log = open(plan.pipeline, part, shutdown)?;
    let mut silent = |_: ReadProgress<'_>| ();
    let mut reader = plan
        .pipeline
        .reader(std::slice::from_ref(&topic), HELP, &mut silent)
        .map_err(Fault::Fatal)?;
    let keeps = |id: Id, _: &str, _: i64| part.ids.contains(&id);
    let dlq = DeadLetterTopic::read(plan.pipeline, part.stage, &keeps, &mut reader)
        .map_err(Fault::Fatal)?;
    let open = part.ids.iter().filter_map(|id| {
        let entry = dlq.entries.get(id)?;
        entry.resolved.is_none().then_some((*id, entry.size))
    });
    let batches = batches(open, plan.resolved);
    let before = counts.resolved;
    for batch in batches {
        shutdown.check()?;
        let offsets: Vec<i64> = match plan.resolved {
            Resolved::Dropped => batch.offsets.clone(),
            Resolved::Replayed => {
                let originals = batch.originals(&topic, &mut reader).map_err(Fault::Fatal)?;
                for original in originals.values() {
                    log.send(&original.record())?;
                }
                originals.into_keys().collect()
            }
        };
        if !offsets.is_empty() {
            let count = offsets.len() as u64;
            let resolution = Resolution {
                resolved: plan.resolved,
                letters: offsets.into_iter().collect(),
            };
            // In the partition of the dead letters: retention deletes them before the resolution.
            let partition = Some(batch.partition);
            let headers = resolution.headers();
            log.send(&ProducerRecord {
                topic: &topic,
                partition,
                timestamp: None,
                key: None,
                value: None,
                headers: &headers,
            })?;
            log.commit(&[])?;
            counts.resolved += count;
            progress(counts.resolved);
        }
    }
    counts.gone += part.ids.len() as u64 - (counts.resolved - before);
    Ok(())
}

/// Opens a log with the transactional id for the stage's dead letters. That aborts the open
/// transaction of another process and fences it.
fn open(pipeline: &Pipeline, part: &PlanPart<'_>, shutdown: &Shutdown) -> Result<KafkaLog, Fault> {
    let topics: Vec<String> = part
        .topics
        .keys()
        .cloned()
        .chain([part.stage.dead_letters()])
        .collect();
    let sizes = || {
        topics
            .iter()
            .filter_map(|topic| pipeline.topics.get(topic))
            .map(Topic::largest_message)
    };
    let config = LogConfig {
        properties: pipeline.kafka.clone(),
        stage: part.stage.name.clone(),
        group: part.stage.dead_letters(),
        instance: INSTANCE.to_owned(),
        // Whatever the pipeline's guarantee: otherwise a record could be replayed without its
        // resolution.
        guarantee: Guarantee::ExactlyOnce,
        limits: pipeline.limits,
        inputs: Vec::new(),
        has_changelog: false,
        has_outputs: true,
        largest_message: sizes().max().unwrap_or_default(),
        smallest_message: sizes().min().unwrap_or(usize::MAX),
        topics,
        has_statistics: false,
    };
    KafkaLog::open(&config, shutdown, &std::sync::Arc::default())
}

/// The dead letters of one transaction, all in one partition.
#[derive(Debug, PartialEq, Eq)]
struct Batch {
    partition: i32,
    /// At least one, in ascending order.
    offsets: Vec<i64>,
}

/// Splits dead letters (id and size in bytes, in order) into transactions.
fn batches(open: impl Iterator<Item = (Id, usize)>, resolved: Resolved) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut bytes = 0;
    for (id, size) in open {
        // Dropped records are not sent.
        let size = if resolved == Resolved::Dropped {
            0
        } else {
            size
        };
        match batches.last_mut() {
            Some(batch)
                if batch.partition == id.partition
                    && batch.offsets.len() < MAX_COUNT
                    && bytes + size <= MAX_BYTES =>
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
    /// The original records, by the offsets of their dead letters.
    fn originals(
        &self,
        topic: &str,
        reader: &mut TopicReader<'_>,
    ) -> Result<BTreeMap<i64, Original>> {
        let mut originals = BTreeMap::new();
        let (Some(first), Some(last)) = (self.offsets.first(), self.offsets.last()) else {
            return Ok(originals);
        };
        reader.read_range(topic, self.partition, (*first, *last), &mut |record| {
            if self.offsets.binary_search(&record.offset).is_ok()
                && let LedgerRecord::DeadLetter(dead_letter) = LedgerRecord::read(record.headers)
            {
                let original = Original {
                    topic: dead_letter.topic.to_owned(),
                    timestamp: record.timestamp,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: dead_letter.original.to_vec(),
                };
                originals.insert(record.offset, original);
            }
        })?;
        Ok(originals)
    }
}

/// A record as it was before it became a dead letter.
#[derive(Debug)]
struct Original {
    topic: String,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

impl Original {
    fn record(&self) -> ProducerRecord<'_> {
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

    fn sizes(entries: &[(i32, usize)], resolved: Resolved) -> Vec<(i32, usize)> {
        let entries = (0..)
            .zip(entries)
            .map(|(offset, &(partition, size))| (Id { partition, offset }, size));
        batches(entries, resolved)
            .iter()
            .map(|batch| (batch.partition, batch.offsets.len()))
            .collect()
    }

    #[test]
    fn a_transaction_is_bounded_and_has_one_partition() {
        let many = vec![(0, 10); 2 * MAX_COUNT + 1];
        assert_eq!(
            sizes(&many, Resolved::Replayed),
            [(0, MAX_COUNT), (0, MAX_COUNT), (0, 1)]
        );
        let large = [
            (0, MAX_BYTES / 2),
            (0, MAX_BYTES / 2),
            (0, 1),
            (0, 2 * MAX_BYTES),
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
