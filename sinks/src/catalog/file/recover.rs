//! The way back to the positions of a file without a record: its lines tell.

use std::convert::Infallible;
use std::io::{self, BufRead};

use serde::Deserialize;

use super::OutputFormat;
use super::record::CommittedLength;
use crate::positions::SinkOffset;

/// No line of this sink is longer, in bytes: Kafka's records are a megabyte by default.
const LONGEST: usize = 16 << 20;

/// What a file's whole lines tell, or the number of the first that is none of this sink's. A last
/// line that is not whole does not count.
pub(super) fn recover(
    mut file: impl BufRead,
    format: OutputFormat,
) -> io::Result<Result<CommittedLength, u64>> {
    let mut record = CommittedLength {
        length: 0,
        positions: <_>::default(),
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
            // A sensor's name in quotes may hold a line's end.
            if line.ends_with(b"\n") && (format == OutputFormat::JsonLines || is_closed(&line)) {
                break;
            }
        }
        if !(number == 1 && format == OutputFormat::Csv) {
            let Some(place) = place(&line, format) else {
                return Ok(Err(number));
            };
            // Lines do not say when their readings entered the pipeline.
            let first = SinkOffset {
                topic: place.0.clone(),
                partition: place.1,
                next: 0,
                latest: i64::MAX,
            };
            let Ok(position) = record
                .positions
                .find(&place.0, place.1, || Ok::<_, Infallible>(Some(first)));
            position.next = position.next.max(place.2.saturating_add(1));
        }
        record.length += line.len() as u64;
    }
}

fn is_closed(row: &[u8]) -> bool {
    row.iter()
        .fold(true, |closed, byte| closed != (*byte == b'"'))
}

/// The topic, partition and offset that a line begins with.
fn place(line: &[u8], format: OutputFormat) -> Option<(String, i32, i64)> {
    #[derive(Deserialize)]
    struct Place {
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
            let Place {
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
    use stream::reading::Reading;

    use super::*;
    use crate::positions::SinkOffsets;
    use crate::sink::Delivery;

    proptest! {
        #[test]
        fn a_file_cut_anywhere_tells_the_positions_of_its_whole_lines(
            sensors in prop::collection::vec("[a\"\n,]{0,6}", 1..8), json: bool, cut in 0.0..1.0,
        ) {
            let format = if json { OutputFormat::JsonLines } else { OutputFormat::Csv };
            let mut text = if json { Vec::new() } else { format.beginning().to_vec() };
            let mut ends = vec![(text.len(), 0)];
            for (offset, sensor) in (0..).zip(&sensors) {
                let reading = Reading { sensor: sensor.into(), seq: 0, time: 0, value: 0.5, unit: None };
                let delivery = Delivery { topic: "t", partition: 3, offset, timestamp: 0, key: None, reading: &reading };
                format.push(&mut text, &delivery);
                ends.push((text.len(), offset + 1));
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a \
                                                                                         part of \
                                                                                         the \
                                                                                         length")]
            let cut = (ends[0].0 as f64 + (text.len() - ends[0].0) as f64 * cut) as usize;
            let (length, next) = *ends.iter().rfind(|(end, _)| *end <= cut).unwrap();
            let record = recover(&text[..cut], format).unwrap().unwrap();
            prop_assert_eq!(record.length, length as u64);
            let mut expected = SinkOffsets::default();
            if next > 0 {
                let position = SinkOffset { topic: "t".to_owned(), partition: 3, next, latest: i64::MAX };
                let Ok(_) = expected.find("t", 3, || Ok::<_, Infallible>(Some(position)));
            }
            prop_assert_eq!(record.positions, expected);
        }
    }
}
