//! The comparison of all sensors: [`Comparison`].

use std::collections::BTreeMap;

use rivulet_core::limits::Limits;
use rivulet_core::reading::Reading;

use super::figures::SensorFigures;
use super::join::Side;
use super::memory::Memory;
use super::sensor::{CompareRules, SensorComparison};
use super::table::{Block, Table};

/// Compares the readings of topics, sensor by sensor, within a limit of memory.
#[derive(Debug)]
pub struct Comparison {
    topics: Vec<(String, Side)>,
    pub(super) rules: CompareRules,
    pub(super) sensors: BTreeMap<String, SensorComparison>,
    limits: Limits,
    memory: Memory,
    /// Readings of sensors for which there is no memory.
    not_compared: u64,
}

impl Comparison {
    /// A comparison of these topics, which are named as in Kafka.
    pub(super) fn new(topics: Vec<(String, Side)>, rules: CompareRules, limits: Limits) -> Self {
        Comparison {
            topics,
            rules,
            sensors: BTreeMap::new(),
            limits,
            memory: Memory::new(limits),
            not_compared: 0,
        }
    }

    /// The topics by their names in Kafka, with what each is in the comparison.
    #[must_use]
    pub fn topics(&self) -> &[(String, Side)] {
        &self.topics
    }

    /// What a topic is in the comparison.
    #[must_use]
    pub fn side(&self, topic: &str) -> Option<Side> {
        let found = self.topics.iter().find(|(other, _)| other == topic);
        found.map(|(_, side)| *side)
    }

    /// Compares one more reading, if there is memory for its sensor.
    pub fn add(&mut self, side: Side, partition: i32, reading: &Reading<'_>) {
        let name = reading.sensor.as_ref();
        if !self.sensors.contains_key(name) {
            if !self.memory.take(self.rules.size(name)) {
                self.no_memory();
                return;
            }
            let sensor = SensorComparison::new(&self.rules);
            self.sensors.insert(name.to_owned(), sensor);
        }
        let Some(sensor) = self.sensors.get_mut(name) else {
            return;
        };
        let room = self.memory.has_room();
        self.memory.waiting -= sensor.waiting_size();
        sensor.add(side, partition, reading, &self.rules, room);
        self.memory.waiting += sensor.waiting_size();
    }

    /// Counts a reading of a sensor for which there is no memory.
    fn no_memory(&mut self) {
        self.not_compared += 1;
        if self.not_compared == 1 {
            tracing::warn!(
                "memory full: only the first {} sensors are compared\n  help: raise memory in \
                 [limits], or lower lag-max and waiting-max",
                self.sensors.len()
            );
        }
    }

    /// Forgets all readings.
    pub fn clear(&mut self) {
        self.sensors.clear();
        self.memory = Memory::new(self.limits);
        self.not_compared = 0;
    }

    /// The figures of a sensor. `None` if no reading of it has come.
    #[must_use]
    pub fn figures(&self, sensor: &str) -> Option<SensorFigures> {
        let sensor = self.sensors.get(sensor)?;
        Some(sensor.figures(&self.rules))
    }

    pub(super) fn table(&self, title: &str) -> Table {
        let mut blocks: Vec<Block> = self
            .sensors
            .iter()
            .map(|(name, sensor)| sensor.block(name, &self.rules))
            .collect();
        if blocks.is_empty() {
            blocks.push(Block {
                heading: "no readings".to_owned(),
                rows: Vec::new(),
            });
        }
        Table {
            title: title.to_owned(),
            blocks,
            closing: self.left_out(),
        }
    }

    /// What the figures do not include, as a sentence.
    #[must_use]
    pub fn left_out(&self) -> String {
        let sum = |count: &dyn Fn(&SensorComparison) -> u64| {
            self.sensors.values().map(count).sum::<u64>()
        };
        let alone: Vec<String> = self
            .topics
            .iter()
            .map(|(topic, side)| {
                format!("{} in {topic}", sum(&|sensor| sensor.join.waiting(*side)))
            })
            .collect();
        let mut left_out = format!(
            "left out: without a partner {}; duplicates {}; dropped because more than {} were \
             waiting {}; in another unit {}",
            alone.join(", "),
            sum(&|sensor| sensor.duplicates),
            self.rules.waiting_max,
            sum(&|sensor| sensor.join.dropped),
            sum(&|sensor| sensor.other_unit),
        );
        if self.not_compared > 0 {
            let rest = format!(
                "; of other than the first {} sensors, because the memory is full {}",
                self.sensors.len(),
                self.not_compared
            );
            left_out += &rest;
        }
        left_out
    }
}
