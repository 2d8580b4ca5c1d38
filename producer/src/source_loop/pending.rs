//! The records since the last commit.

use std::ops::Range;

use rivulet_core::log::Header;
use rivulet_core::processing::OutputTopic;
use rivulet_core::reading::{InvalidReading, Reading};

use crate::source::SourceRecord;

/// The longest sensor's name in the place of a dead letter, in characters.
const LONGEST_NAME: usize = 200;

/// The records since the last commit. Not every source can go back, so they are kept here to be
/// sent again after an abort. The size of a commit limits them.
pub(super) struct Pending {
    /// The names of the outputs in the pipeline file. A source knows no others.
    names: Vec<String>,
    pub(super) bytes: Vec<u8>,
    pub(super) records: Vec<PendingRecord>,
    /// The size of the headers in bytes.
    header_bytes: usize,
    /// How many items of the source there were since the last commit.
    items: usize,
}

pub(super) enum PendingRecord {
    Output {
        output: usize,
        key: Option<Range<usize>>,
        value: Option<Range<usize>>,
        headers: Vec<Header>,
        /// The sensor's name. `None` for a whole record.
        sensor: Option<Range<usize>>,
        /// Which item of the source it belongs to: an item goes to all its outputs or to none.
        item: usize,
    },
    Bad {
        place: String,
        bytes: Range<usize>,
        invalid: InvalidReading,
    },
}

impl Pending {
    /// Without records. `names` are those of the outputs in the pipeline file.
    pub(super) fn new(names: Vec<String>) -> Self {
        Pending {
            names,
            bytes: Vec::new(),
            records: Vec::new(),
            header_bytes: 0,
            items: 0,
        }
    }

    /// How much memory the records take, in bytes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.header_bytes
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    pub(super) fn push_bad(&mut self, place: String, bytes: &[u8], invalid: InvalidReading) {
        let bytes = self.push_bytes(bytes);
        self.records.push(PendingRecord::Bad {
            place,
            bytes,
            invalid,
        });
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        (self.header_bytes, self.items) = (0, 0);
    }

    /// Turns a record that the brokers reject into a dead letter, and drops the same item's records
    /// for other outputs. A dead letter that is rejected loses its bytes. Returns `false` if it has
    /// none.
    pub(super) fn reject(
        &mut self,
        index: usize,
        outputs: &[OutputTopic],
        invalid: InvalidReading,
    ) -> bool {
        match &mut self.records[index] {
            PendingRecord::Output {
                output,
                sensor,
                value,
                item,
                ..
            } => {
                let item = *item;
                let bytes = value.clone().unwrap_or(0..0);
                let place = match sensor {
                    Some(sensor) => {
                        let name = String::from_utf8_lossy(&self.bytes[sensor.clone()]);
                        format!("sensor {}", beginning(&name))
                    }
                    None => format!("a record for {}", outputs[*output].name),
                };
                self.records[index] = PendingRecord::Bad {
                    place,
                    bytes,
                    invalid,
                };
                self.records.retain(|record| match record {
                    PendingRecord::Output { item: other, .. } => *other != item,
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

    /// Encodes a reading in the format of each output. A reading that a format cannot encode, or
    /// that is too large for a topic, becomes a dead letter.
    pub(super) fn push_reading(&mut self, outputs: &[OutputTopic], reading: &Reading<'_>) {
        let before = self.mark();
        let sensor = self.push_bytes(reading.sensor.as_bytes());
        for (output, topic) in outputs.iter().enumerate() {
            let start = self.bytes.len();
            // A key begins a sensor's name.
            let key_end = sensor.start + topic.format.key(&reading.sensor).len();
            let key = topic.format.keyed().then_some(sensor.start..key_end);
            let encoded = topic
                .format
                .encode(reading, &mut self.bytes)
                .and_then(|()| {
                    let key = key.as_ref().map_or(0, ExactSizeIterator::len);
                    check_size(key + self.bytes.len() - start, topic)
                });
            if let Err(invalid) = encoded {
                self.rewind(before);
                // A name may be as long as a line of the source.
                let name = beginning(&reading.sensor);
                let place = format!("sensor {name} reading {}", reading.seq);
                self.push_bad(place, format!("{reading:?}").as_bytes(), invalid);
                return;
            }
            self.records.push(PendingRecord::Output {
                output,
                key,
                value: Some(start..self.bytes.len()),
                headers: Vec::new(),
                sensor: Some(sensor.clone()),
                item: self.items,
            });
        }
        self.items += 1;
    }

    /// Takes a whole record. One for a topic that the stage does not write, or one that is too
    /// large for its topic, becomes a dead letter.
    pub(super) fn push_record(&mut self, outputs: &[OutputTopic], record: &SourceRecord<'_>) {
        let before = self.mark();
        let key = record.key.as_deref().map(|key| self.push_bytes(key));
        let value = record.value.as_deref().map(|value| self.push_bytes(value));
        let size = record.size();
        let mut checked = Ok(false);
        for (output, (topic, name)) in outputs.iter().zip(&self.names).enumerate() {
            if record.topic.as_ref().is_some_and(|topic| topic != name) {
                continue;
            }
            checked = checked.and_then(|_| check_size(size, topic)).map(|()| true);
            self.header_bytes += record.header_size();
            self.records.push(PendingRecord::Output {
                output,
                key: key.clone(),
                value: value.clone(),
                headers: record.headers.clone(),
                sensor: None,
                item: self.items,
            });
        }
        let name = record.topic.as_deref().unwrap_or_default();
        let invalid = match checked {
            Ok(true) => {
                self.items += 1;
                return;
            }
            Ok(false) => InvalidReading::new(
                "wrong-topic",
                format!("the stage does not write the topic {name:?}; add it to `to`"),
            ),
            Err(invalid) => invalid,
        };
        self.rewind(before);
        let place = format!("a record for {}", beginning(name));
        self.push_bad(place, record.value.as_deref().unwrap_or_default(), invalid);
    }

    fn mark(&self) -> (usize, usize, usize) {
        (self.bytes.len(), self.records.len(), self.header_bytes)
    }

    fn rewind(&mut self, (bytes, records, header_bytes): (usize, usize, usize)) {
        self.bytes.truncate(bytes);
        self.records.truncate(records);
        self.header_bytes = header_bytes;
    }
}

fn check_size(size: usize, topic: &OutputTopic) -> Result<(), InvalidReading> {
    let OutputTopic {
        name,
        largest_record,
        ..
    } = topic;
    if size <= *largest_record {
        return Ok(());
    }
    let detail = format!("it has {size} bytes, and {name} allows {largest_record}");
    Err(InvalidReading::new("too-large", detail))
}

/// The beginning of a name, for people.
fn beginning(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use rivulet_core::format::FormatContext;
    use rivulet_pipeline::ComponentConfig;

    use super::*;

    /// An output that Kafka calls `team7-NAME`.
    fn output(name: &str) -> OutputTopic {
        let number = ComponentConfig::parse("number = {}").unwrap();
        let formats = rivulet_formats::catalog::built_in();
        let settings = formats.read(&number).unwrap();
        OutputTopic {
            name: format!("team7-{name}"),
            format: settings.build(&FormatContext::new(name)).unwrap(),
            largest_record: 100,
        }
    }

    #[test]
    fn a_record_goes_to_the_topic_that_the_file_calls_so() {
        let outputs = ["warm", "cold"].map(output);
        let mut pending = Pending::new(vec!["warm".to_owned(), "cold".to_owned()]);
        let record = |topic: Option<&'static str>| SourceRecord {
            topic: topic.map(Into::into),
            key: None,
            value: Some(b"21"[..].into()),
            headers: Vec::new(),
        };
        for topic in [Some("cold"), None, Some("team7-warm")] {
            pending.push_record(&outputs, &record(topic));
        }
        let found = pending.records.iter().map(|record| match record {
            PendingRecord::Output { output, .. } => Ok(*output),
            PendingRecord::Bad { invalid, .. } => Err(invalid.reason),
        });
        assert_eq!(
            found.collect::<Vec<_>>(),
            [Ok(1), Ok(0), Ok(1), Err("wrong-topic")]
        );
    }
}
