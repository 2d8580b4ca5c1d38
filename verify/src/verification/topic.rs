//! A topic: its lost beginning, and its readings with who observes them.

use std::collections::BTreeMap;

use rivulet_core::topic_source::{FetchedRecord, TopicSource};
use rivulet_pipeline::{Pipeline, Topic};

use crate::decode::Decoder;
use crate::history::{SeenReading, StageHistory};
use crate::stream::Entry;

pub(super) fn unknown_format(topic: &Topic) -> String {
    format!("its format `{}` is not known here", topic.format.name())
}

/// The partitions of a topic whose first records were deleted, with their log start offsets.
pub(super) fn trimmed(topics: &dyn TopicSource, name: &str) -> BTreeMap<i32, i64> {
    let count = i32::try_from(topics.partitions(name).unwrap_or_default()).unwrap_or_default();
    let starts = (0..count).map(|partition| (partition, topics.start(name, partition)));
    starts.filter(|(_, start)| *start > 0).collect()
}

/// A reading at its position in an input.
pub(super) fn seen<'s>(
    (name, decoder): (&'s str, &Decoder<'_>),
    sensor: (u32, &'s str),
    entry: &Entry,
    record: &FetchedRecord<'_>,
) -> SeenReading<'s> {
    let FetchedRecord {
        partition,
        offset,
        timestamp,
        ..
    } = *record;
    // No reading is newer than its record's timestamp: that is when it entered the pipeline.
    let time = if timestamp < 0 {
        entry.time
    } else {
        entry.time.min(timestamp)
    };
    let is_keyed = decoder.is_keyed(record.key, sensor.1);
    SeenReading {
        topic: name,
        sensor,
        partition,
        offset,
        time,
        is_keyed,
    }
}

/// The histories of the stages that read a topic and must observe its readings.
pub(super) fn observing_readers<'c>(
    histories: &'c mut BTreeMap<&str, StageHistory>,
    pipeline: &Pipeline,
    topic: &str,
) -> Vec<&'c mut StageHistory> {
    let reads = |stage: &str| pipeline.readers(topic).any(|reader| reader.name == stage);
    histories
        .iter_mut()
        .filter(|(stage, history)| history.must_observe() && reads(stage))
        .map(|(_, history)| history)
        .collect()
}
