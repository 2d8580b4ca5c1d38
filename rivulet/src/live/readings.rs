//! What has been read of the topics of a pipeline, sensor by sensor: [`LiveReadings`].

use std::collections::BTreeMap;

use rivulet_core::error::Result;
use rivulet_core::format::{DecodeError, Format};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::reading::Reading;
use rivulet_sinks::catalog::compare::{Comparison, SensorFigures, Side};

use super::series::{TimeSeries, TimedValue};

/// How many values all series together keep: some 100 MB.
const MOST: usize = 6_000_000;
/// How many values a series keeps if there is memory.
const MOST_OF_ONE: usize = 50_000;
/// How many values a series keeps at least. If there are more series than have room, readings of
/// further sensors are counted and left out.
const LEAST_OF_ONE: usize = 1000;

/// A topic that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveTopic {
    /// Its name in the pipeline file.
    pub name: String,
    /// Its name in Kafka.
    pub in_kafka: String,
    /// What it is in the comparison.
    pub side: Option<Side>,
}

/// The last readings of topics, sensor by sensor, and the comparison of all readings so far.
#[derive(Debug)]
pub struct LiveReadings {
    topics: Vec<LiveTopic>,
    /// A series for each topic.
    sensors: BTreeMap<String, Vec<TimeSeries>>,
    comparison: Option<Comparison>,
    /// How many values each series keeps.
    most: usize,
    invalid: u64,
    left_out: u64,
}

impl LiveReadings {
    /// Nothing yet of these topics.
    #[must_use]
    pub fn new(topics: Vec<LiveTopic>, comparison: Option<Comparison>) -> Self {
        LiveReadings {
            topics,
            sensors: BTreeMap::new(),
            comparison,
            most: MOST_OF_ONE,
            invalid: 0,
            left_out: 0,
        }
    }

    /// Adds a reading of the topic with this index.
    pub fn add(&mut self, topic: usize, partition: i32, reading: &Reading<'_>) {
        let name = reading.sensor.as_ref();
        if !self.sensors.contains_key(name) {
            let series = (self.sensors.len() + 1) * self.topics.len();
            let most = (MOST / series).min(MOST_OF_ONE);
            if most < LEAST_OF_ONE {
                self.left_out += 1;
                return;
            }
            if most < self.most {
                self.most = most;
                let all = self.sensors.values_mut().flatten();
                all.for_each(|series| series.keep(most));
            }
            let none = vec![TimeSeries::default(); self.topics.len()];
            self.sensors.insert(name.to_owned(), none);
        }
        if let Some(series) = self.sensors.get_mut(name) {
            let value = TimedValue {
                time: reading.time,
                value: reading.value,
            };
            series[topic].push(value, reading.unit, self.most);
        }
        if let (Some(comparison), Some(side)) = (&mut self.comparison, self.topics[topic].side) {
            comparison.add(side, partition, reading);
        }
    }

    /// Forgets all readings: their topics are gone.
    pub fn clear(&mut self) {
        self.sensors.clear();
        if let Some(comparison) = &mut self.comparison {
            comparison.clear();
        }
        (self.most, self.invalid, self.left_out) = (MOST_OF_ONE, 0, 0);
    }

    /// Adds the readings of a record of the topic with its index, or counts it if it has none.
    ///
    /// # Errors
    /// If it cannot be decoded now, because a schema registry does not answer.
    pub fn take(&mut self, record: &ConsumerRecord<'_>, format: &dyn Format) -> Result<()> {
        match format.decode(record) {
            Ok(decoded) => {
                for reading in decoded.as_slice() {
                    self.add(record.topic, record.partition, reading);
                }
                Ok(())
            }
            Err(DecodeError::Invalid(_)) => {
                self.invalid += 1;
                Ok(())
            }
            Err(DecodeError::Unavailable(error)) => Err(error),
        }
    }

    /// The topics.
    #[must_use]
    pub fn topics(&self) -> &[LiveTopic] {
        &self.topics
    }

    /// The names of the sensors, in alphabetical order.
    pub fn sensors(&self) -> impl Iterator<Item = &str> {
        self.sensors.keys().map(String::as_str)
    }

    /// How many sensors there are.
    #[must_use]
    pub fn sensor_count(&self) -> usize {
        self.sensors.len()
    }

    /// The series of a sensor, one for each topic. Empty if there is no such sensor.
    #[must_use]
    pub fn series(&self, sensor: &str) -> &[TimeSeries] {
        self.sensors.get(sensor).map_or(&[], Vec::as_slice)
    }

    /// The figures of the comparison of a sensor, if there are any.
    #[must_use]
    pub fn figures(&self, sensor: &str) -> Option<SensorFigures> {
        self.comparison.as_ref()?.figures(sensor)
    }

    /// Whether topics are compared.
    #[must_use]
    pub fn is_comparing(&self) -> bool {
        self.comparison.is_some()
    }

    /// What the figures do not include, as a sentence. `None` if nothing is compared.
    #[must_use]
    pub fn not_compared(&self) -> Option<String> {
        self.comparison.as_ref().map(Comparison::left_out)
    }

    /// How many records were not readings.
    #[must_use]
    pub fn invalid(&self) -> u64 {
        self.invalid
    }

    /// How many readings were left out because there is no memory for further sensors.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> LiveTopic {
        LiveTopic {
            name: name.into(),
            in_kafka: format!("team7-{name}"),
            side: None,
        }
    }

    fn reading(sensor: &str, time: i64) -> Reading<'_> {
        Reading {
            sensor: sensor.into(),
            seq: 0,
            time,
            value: 1.0,
            unit: None,
        }
    }

    #[test]
    fn a_flood_of_sensors_and_of_readings_stays_within_the_memory() {
        let mut readings = LiveReadings::new(vec![topic("a"), topic("b")], None);
        for time in 0..60_000 {
            readings.add(1, 0, &reading("first", time));
        }
        assert_eq!(readings.series("first")[1].values().len(), MOST_OF_ONE);
        let room = MOST / LEAST_OF_ONE / 2;
        for number in 0..room + 5 {
            readings.add(0, 0, &reading(&format!("sensor {number}"), 0));
        }
        assert_eq!((readings.sensor_count(), readings.left_out()), (room, 6));
        assert_eq!(readings.series("first")[1].values().len(), LEAST_OF_ONE);
        assert_eq!(readings.series("first")[1].count(), 60_000);
        assert!(readings.series("another").is_empty());
    }
}
