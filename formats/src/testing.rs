//! What the tests of several formats need.

use rivulet_core::format::Format;
use rivulet_core::log::ConsumerRecord;
use rivulet_core::reading::Reading;

/// A record without a key, at offset 41.
pub(crate) fn record(value: &[u8]) -> ConsumerRecord<'_> {
    ConsumerRecord {
        topic: 0,
        partition: 0,
        offset: 41,
        timestamp: 0,
        key: None,
        value: Some(value),
        headers: &(),
    }
}

/// The sensor, the time and the value of each reading in a record, or why it has none.
pub(crate) fn decode(format: &dyn Format, value: &[u8]) -> Result<Vec<(String, i64, f64)>, String> {
    let readings = format.decode(&record(value));
    let readings = readings.map_err(|error| error.to_string())?;
    let parts = |reading: &Reading<'_>| {
        let sensor = reading.sensor.clone().into_owned();
        (sensor, reading.time, reading.value)
    };
    Ok(readings.as_slice().iter().map(parts).collect())
}
