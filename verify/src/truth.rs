//! What must be in the topics: what stages make of the readings of their inputs.

use std::borrow::Cow;

use crate::history::StageHistory;
use crate::stream::{Order, Sensors, StageCounts, Stream};

mod records;

/// What a stage makes of its inputs.
#[derive(Debug, PartialEq)]
pub(crate) struct Output {
    pub(crate) stream: Stream,
    pub(crate) counts: StageCounts,
}

/// Computes the output of a stage from its inputs (name and readings of each topic). If readings
/// were deleted, `found` is its actual output.
///
/// # Errors
/// Why the output cannot be computed.
pub(crate) fn process(
    history: &StageHistory,
    inputs: &[(&str, &Stream)],
    found: &Stream,
    sensors: &Sensors,
) -> Result<Output, String> {
    history.check_verifiable()?;
    let mut output = Output {
        stream: Stream::new(),
        counts: StageCounts::default(),
    };
    let stateful = history.is_ordered();
    for (topic, input) in inputs {
        if history.is_noisy() && !input.numbered {
            return Err(format!(
                "its noise depends on sequence numbers, which are offsets in `{topic}` and depend \
                 on when stages committed"
            ));
        }
        if history.is_timed() && !input.numbered {
            return Err(format!(
                "its means depend on times, and the records of `{topic}` do not hold the sequence \
                 number and the exact time of a reading"
            ));
        }
        if !input.numbered && input.has_lost() {
            return Err(format!(
                "the first records of `{topic}` were deleted, and bare numbers do not show which \
                 results are theirs"
            ));
        }
        // Readings of a sensor in one input may have been deleted from another input.
        let is_lost_elsewhere = inputs
            .iter()
            .any(|(other, stream)| other != topic && stream.lost);
        let mut stream = Stream {
            numbered: input.numbered,
            lost: input.lost,
            ..Stream::new()
        };
        let mut has_records = false;
        for (&sensor, series) in &input.series {
            let name = sensors.name(sensor);
            if stateful && series.order == Order::Undefined && series.entries.len() > 1 {
                return Err(format!(
                    "it keeps state, and the order of the readings of sensor \"{name}\" in \
                     `{topic}` is not defined"
                ));
            }
            if stateful && output.stream.series.contains_key(&sensor) {
                return Err(format!(
                    "it keeps state, and the order of readings of sensor \"{name}\" between its \
                     inputs is not defined"
                ));
            }
            let mut series = Cow::Borrowed(series);
            if is_lost_elsewhere && !series.lost {
                series.to_mut().lost = true;
            }
            if series.lost {
                stream.origins.insert(
                    sensor,
                    series
                        .entries
                        .iter()
                        .map(|entry| (entry.seq, entry.time))
                        .collect(),
                );
            }
            if !series.records.is_empty() {
                has_records = true;
                continue;
            }
            let found = found.series.get(&sensor);
            stream.series.insert(
                sensor,
                history.run(topic, (sensor, name), &series, found, &mut output.counts)?,
            );
        }
        if has_records {
            records::process(
                history,
                (topic, input),
                sensors,
                &mut stream,
                &mut output.counts,
            )?;
        }
        output.stream.join(stream);
    }
    Ok(output)
}

#[cfg(test)]
pub(crate) mod tests;
