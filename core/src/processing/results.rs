//! The encoded results of one record.

use std::ops::Range;

use super::config::OutputTopic;
use crate::reading::{InvalidReading, Reading};

/// The encoded results of one record. Kept to reuse their memory.
#[derive(Default)]
pub(super) struct Results {
    /// Keys and values.
    pub(super) bytes: Vec<u8>,
    pub(super) records: Vec<ResultRecord>,
}

/// A record to send: an index into the outputs, and where its key and value are.
pub(super) struct ResultRecord {
    pub(super) output: usize,
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

impl Results {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    /// Adds a reading for each of the outputs.
    pub(super) fn encode(
        &mut self,
        outputs: &[OutputTopic],
        reading: &Reading<'_>,
    ) -> Result<(), InvalidReading> {
        let sensor = self.bytes.len();
        self.bytes.extend_from_slice(reading.sensor.as_bytes());
        for (output, topic) in outputs.iter().enumerate() {
            // A key begins a sensor's name.
            let key = sensor..sensor + topic.format.key(&reading.sensor).len();
            let start = self.bytes.len();
            topic.format.encode(reading, &mut self.bytes)?;
            let value = start..self.bytes.len();
            if value.len() + key.len() > topic.largest_record {
                return Err(InvalidReading::new(
                    "too-large",
                    format!("the result has {} bytes", value.len()),
                ));
            }
            self.records.push(ResultRecord { output, key, value });
        }
        Ok(())
    }
}
