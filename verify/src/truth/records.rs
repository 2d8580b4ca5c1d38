//! Records with several readings: they go through a chain together, or not at all.

use std::collections::BTreeMap;

use crate::history::{Applied, SensorRun, StageHistory};
use crate::stream::{Sensors, StageCounts, Stream};

/// Computes the output of a stage for an input whose records have several readings, record by
/// record.
///
/// # Errors
/// Why it cannot be computed.
pub(super) fn process(
    history: &StageHistory,
    (topic, input): (&str, &Stream),
    sensors: &Sensors,
    output: &mut Stream,
    counts: &mut StageCounts,
) -> Result<(), String> {
    if input.has_lost() {
        return Err(format!(
            "the first records of `{topic}` were deleted, and its records have several readings"
        ));
    }
    // The readings of each record: sensor and index.
    let mut records: BTreeMap<u32, Vec<(u32, usize)>> = BTreeMap::new();
    let mut runs: BTreeMap<u32, SensorRun<'_>> = BTreeMap::new();
    for (&sensor, series) in &input.series {
        let run = history.start(topic, (sensor, sensors.name(sensor)), series, None)?;
        runs.insert(sensor, run);
        for (index, record) in series.records.iter().enumerate() {
            records.entry(*record).or_default().push((sensor, index));
        }
    }
    for readings in records.into_values() {
        let mut applied: Vec<(u32, Applied)> = Vec::new();
        for (sensor, index) in &readings {
            let is_first = applied.iter().all(|(other, _)| other != sensor);
            if let Some(run) = runs.get_mut(sensor) {
                applied.push((*sensor, run.apply(*index, is_first)?));
            }
        }
        let is_dead_letter = applied.iter().any(|(_, applied)| applied.is_dead_letter());
        if is_dead_letter && history.expires() && readings.len() > 1 {
            return Err(format!(
                "a record of `{topic}` with several readings is a dead letter, and which of them \
                 count for state-ttl is not known here"
            ));
        }
        counts.dead_letters += u64::from(is_dead_letter);
        for (sensor, applied) in applied {
            let Some(run) = runs.get_mut(&sensor) else {
                continue;
            };
            if is_dead_letter {
                run.undo();
            } else {
                run.keep(&applied, counts);
            }
        }
    }
    for (sensor, run) in runs {
        output.series.insert(sensor, run.finish()?);
    }
    Ok(())
}
