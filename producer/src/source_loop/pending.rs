//! The records since the last commit.

use std::ops::Range;

use rivulet_core::processing::OutputTopic;
use rivulet_core::reading::{InvalidReading, Reading};

/// The longest sensor's name in the place of a dead letter, in characters.
const LONGEST_NAME: usize = 200;

/// The records since the last commit. Not every source can go back, so they are kept here to be
/// sent again after an abort. The size of a commit limits them.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) bytes: Vec<u8>,
    pub(super) records: Vec<PendingRecord>,
}

pub(super) enum PendingRecord {
    Reading {
        output: usize,
        sensor: Range<usize>,
        value: Range<usize>,
    },
    Bad {
        place: String,
        bytes: Range<usize>,
        invalid: InvalidReading,
    },
}

impl Pending {
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    /// Turns a record that the brokers reject into a dead letter, and drops the same reading's
    /// records for other outputs. A dead letter that is rejected loses its bytes. Returns `false`
    /// if it has none.
    pub(super) fn reject(&mut self, index: usize, invalid: InvalidReading) -> bool {
        match &mut self.records[index] {
            PendingRecord::Reading { sensor, value, .. } => {
                let (sensor, bytes) = (sensor.clone(), value.clone());
                let name = String::from_utf8_lossy(&self.bytes[sensor.clone()]);
                let name: String = name.chars().take(LONGEST_NAME).collect();
                self.records[index] = PendingRecord::Bad {
                    place: format!("sensor {name}"),
                    bytes,
                    invalid,
                };
                // A reading goes to all outputs or to none.
                self.records.retain(|record| match record {
                    PendingRecord::Reading { sensor: other, .. } => *other != sensor,
                    PendingRecord::Bad { .. } => true,
                });
                true
            }
            PendingRecord::Bad { bytes, .. } => {
                let had_bytes = bytes.start < bytes.end;
                bytes.end = bytes.start;
                had_bytes
            }
        }
    }
}

/// Encodes a reading in the format of each output. A reading that a format cannot encode, or that
/// is too large for a topic, becomes a dead letter.
pub(super) fn encode(pending: &mut Pending, outputs: &[OutputTopic], reading: &Reading<'_>) {
    let (bytes_before, records_before) = (pending.bytes.len(), pending.records.len());
    let sensor = pending.push_bytes(reading.sensor.as_bytes());
    for (
        output,
        OutputTopic {
            name: topic,
            format,
            largest_record,
        },
    ) in outputs.iter().enumerate()
    {
        let start = pending.bytes.len();
        let encoded = format.encode(reading, &mut pending.bytes).and_then(|()| {
            let key = if format.keyed() { sensor.len() } else { 0 };
            match key + pending.bytes.len() - start {
                size if size > *largest_record => {
                    let detail =
                        format!("it has {size} bytes, and {topic} allows {largest_record}");
                    Err(InvalidReading::new("too-large", detail))
                }
                _ => Ok(()),
            }
        });
        match encoded {
            Ok(()) => {
                let value = start..pending.bytes.len();
                pending.records.push(PendingRecord::Reading {
                    output,
                    sensor: sensor.clone(),
                    value,
                });
            }
            Err(invalid) => {
                pending.bytes.truncate(bytes_before);
                pending.records.truncate(records_before);
                // A name may be as long as a line of the source.
                let name: String = reading.sensor.chars().take(LONGEST_NAME).collect();
                let place = format!("sensor {name} reading {}", reading.seq);
                let bytes = pending.push_bytes(format!("{reading:?}").as_bytes());
                pending.records.push(PendingRecord::Bad {
                    place,
                    bytes,
                    invalid,
                });
                return;
            }
        }
    }
}
