//! Recovers the offsets of a file without a record from its lines.

use std::convert::Infallible;
use std::io::{self, BufRead};

use serde::Deserialize;

use super::OutputFormat;
use super::record::CommittedLength;
use crate::offsets::SinkOffset;

/// The longest line in bytes. Kafka's records are limited to a megabyte by default.
const LONGEST: usize = 16 << 20;

/// The record according to the file's lines, or the number of the first line that this sink did not
/// write. An incomplete last line does not count.
pub(super) fn recover(
    mut file: impl BufRead,
    format: OutputFormat,
) -> io::Result<Result<CommittedLength, u64>> {
    let mut record = CommittedLength {
        length: 0,
        offsets: <_>::default(),
    };
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        loop {
            let more = file.read_until(b'\n', &mut line)?;
            if more == 0 && line.len() <= LONGEST {
                return Ok(Ok(record));
            }
            if line.len() > LONGEST {
                return Ok(Err(number));
            }
            // A quoted sensor's name may contain a line end.
            if line.ends_with(b"\n") && (format == OutputFormat::JsonLines || is_closed(&line)) {
                break;
            }
        }
        if !(number == 1 && format == OutputFormat::Csv) {
            let Some((topic, partition, offset)) = parse_offset(&line, format) else {
                return Ok(Err(number));
            };
            // Lines do not contain the timestamps of their records.
            let first = SinkOffset {
                topic: topic.clone(),
                partition,
                next: 0,
                latest: i64::MAX,
            };
            let Ok(stored) = record
                .offsets
                .find(&topic, partition, || Ok::<_, Infallible>(Some(first)));
            stored.next = stored.next.max(offset.saturating_add(1));
        }
        record.length += line.len() as u64;
    }
}

fn is_closed(row: &[u8]) -> bool {
    row.iter()
        .fold(true, |closed, byte| closed != (*byte == b'"'))
}

/// The topic, partition and offset of a line.
fn parse_offset(line: &[u8], format: OutputFormat) -> Option<(String, i32, i64)> {
    #[derive(Deserialize)]
    struct Origin {
        topic: String,
        partition: i32,
        offset: i64,
    }
    match format {
        OutputFormat::Csv => {
            let mut fields = std::str::from_utf8(line).ok()?.split(',');
            let topic = fields.next().filter(|topic| !topic.is_empty())?;
            Some((
                topic.to_owned(),
                fields.next()?.parse().ok()?,
                fields.next()?.parse().ok()?,
            ))
        }
        OutputFormat::JsonLines => {
            let Origin {
                topic,
                partition,
                offset,
            } = serde_json::from_slice(line).ok()?;
            Some((topic, partition, offset))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rivulet_core::reading::Reading;

    use super::*;
    use crate::offsets::SinkOffsets;
    use crate::sink::Delivery;

    proptest! {
        #[test]
        fn a_truncated_file_has_the_offsets_of_its_complete_lines(
            sensors in prop::collection::vec("[a\"\n,]{0,6}", 1..8),
            json: bool,
            cut in any::<prop::sample::Index>(),
        ) {
            let format = if json { OutputFormat::JsonLines } else { OutputFormat::Csv };
            let mut text = if json { Vec::new() } else { format.beginning().to_vec() };
            let mut ends = vec![(text.len(), 0)];
            for (offset, sensor) in (0..).zip(&sensors) {
                let reading = Reading {
                    sensor: sensor.into(),
                    seq: 0,
                    time: 0,
                    value: 0.5,
                    unit: None,
                };
                let delivery = Delivery {
                    topic: "t",
                    partition: 3,
                    offset,
                    timestamp: 0,
                    key: None,
                    readings: &[reading],
                };
                format.push(&mut text, &delivery);
                ends.push((text.len(), offset + 1));
            }
            let cut = ends[0].0 + cut.index(text.len() - ends[0].0);
            let (length, next) = *ends.iter().rfind(|(end, _)| *end <= cut).unwrap();
            let record = recover(&text[..cut], format).unwrap().unwrap();
            prop_assert_eq!(record.length, length as u64);
            let mut expected = SinkOffsets::default();
            if next > 0 {
                let stored = SinkOffset {
                    topic: "t".to_owned(),
                    partition: 3,
                    next,
                    latest: i64::MAX,
                };
                let Ok(_) = expected.find("t", 3, || Ok::<_, Infallible>(Some(stored)));
            }
            prop_assert_eq!(record.offsets, expected);
        }
    }
}
