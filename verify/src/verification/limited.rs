//! Records that are dead letters because of limits.

use std::collections::BTreeMap;

use rivulet_core::topic_source::FetchedRecord;
use rivulet_pipeline::Topic;

use crate::truth::{Entry, Sensors};

/// The records of a topic that are dead letters because of limits, and their readings, once they
/// are read.
#[derive(Default)]
pub(super) struct Limited<'p> {
    pub(super) places: BTreeMap<(i32, i64), Vec<&'p str>>,
    pub(super) found: Vec<(&'p str, Option<(u32, Entry)>)>,
}

impl Limited<'_> {
    /// Decodes a record of the topic.
    pub(super) fn decode(
        &mut self,
        topic: &Topic,
        record: &FetchedRecord<'_>,
        sensors: &mut Sensors,
    ) -> std::result::Result<(String, Entry), String> {
        let decoded = crate::decode::decode(topic, record);
        if let Some(stages) = self.places.get(&(record.partition, record.offset)) {
            let reading = decoded
                .as_ref()
                .ok()
                .map(|(sensor, entry)| (sensors.id(sensor), *entry));
            self.found
                .extend(stages.iter().map(|stage| (*stage, reading)));
        }
        decoded
    }
}
