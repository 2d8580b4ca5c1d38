//! The consumer lag in records.

use std::collections::BTreeMap;

use rivulet_core::error::Result;
use rivulet_core::topic_source::ReadProgress;
use rivulet_kafka::{Connection, TopicReader};

use super::{GroupLag, GroupRow, LagPosition};

/// Up to this number the records of a topic are counted. A larger lag is a difference of offsets.
const MAX_COUNTED: usize = 10_000;

/// Counts the records that groups have not read.
#[derive(Default)]
pub(crate) struct LagCounter {
    /// The lags of the last count, by topic, partition and two offsets: they do not change.
    known: BTreeMap<(String, i32, i64, i64), GroupLag>,
}

impl LagCounter {
    /// Counts the records between positions and ends. Offsets do not show the lag: some belong to
    /// transaction markers.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub(crate) fn count(&mut self, connection: &Connection, rows: &mut [GroupRow]) -> Result<()> {
        let (mut known, mut unknown) = (BTreeMap::new(), Vec::new());
        for row in &*rows {
            let mut spans: BTreeMap<&str, BTreeMap<i32, (i64, i64)>> = BTreeMap::new();
            for ((topic, partition), LagPosition { next, end, .. }) in &row.positions {
                let span = (topic.clone(), *partition, *next, *end);
                if next >= end {
                    known.insert(span, GroupLag::default());
                } else if let Some(lag) = self.known.get(&span) {
                    known.insert(span, *lag);
                } else {
                    spans
                        .entry(topic)
                        .or_default()
                        .insert(*partition, (*next, *end));
                }
            }
            unknown.extend(spans);
        }
        // Stages that read the same topic are often at the same offsets.
        unknown.dedup();
        let mut silent = |_: ReadProgress<'_>| ();
        let mut reader = if unknown.is_empty() {
            None
        } else {
            Some(TopicReader::new(connection, &[], &mut silent)?)
        };
        for (topic, spans) in unknown {
            let Some(reader) = &mut reader else { break };
            let counts = reader.count(topic, &spans, MAX_COUNTED)?;
            for (partition, (next, end)) in spans {
                let counted = counts.as_ref().and_then(|counts| counts.get(&partition));
                let lag = counted.map_or(GroupLag::AtMost(end - next), |count| {
                    GroupLag::Records(*count)
                });
                known.insert((topic.to_owned(), partition, next, end), lag);
            }
        }
        for row in rows {
            for ((topic, partition), position) in &mut row.positions {
                let lag = known.get(&(topic.clone(), *partition, position.next, position.end));
                position.lag = lag.copied().unwrap_or(position.lag);
            }
        }
        self.known = known;
        Ok(())
    }
}
