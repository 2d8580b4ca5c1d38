//! Records that are dead letters because of limits.

use std::collections::BTreeMap;

use rivulet_core::topic_source::FetchedRecord;

use crate::decode::Decoder;
use crate::stream::{Entry, RecordReadings, Sensors};

/// The records of a topic that are dead letters because of limits, and their readings, once they
/// are read.
#[derive(Default)]
pub(super) struct Limited<'p> {
    pub(super) places: BTreeMap<(i32, i64), Vec<&'p str>>,
    pub(super) found: Vec<(&'p str, RecordReadings)>,
}

impl Limited<'_> {
    /// Decodes a record of the topic.
    pub(super) fn decode(
        &mut self,
        decoder: &Decoder<'_>,
        record: &FetchedRecord<'_>,
        sensors: &mut Sensors,
    ) -> Result<Vec<(String, Entry)>, String> {
        let decoded = decoder.decode(record);
        if let Some(stages) = self.places.get(&(record.partition, record.offset)) {
            let readings = decoded.as_ref().ok().map(|readings| {
                let named = |(sensor, entry): &(String, Entry)| (sensors.id(sensor), *entry);
                readings.iter().map(named).collect::<Vec<_>>()
            });
            self.found
                .extend(stages.iter().map(|stage| (*stage, readings.clone())));
        }
        decoded
    }
}
