//! Readings in the order of their topics.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use rivulet_core::unit::Unit;

/// A reading without its sensor. There can be millions of them, so it is small.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) time: i64,
    pub(crate) value: f64,
    pub(crate) unit: Option<Unit>,
}

/// The readings of a record, each with its sensor; `None` if the record is invalid.
pub(crate) type RecordReadings = Option<Vec<(u32, Entry)>>;

/// The names of sensors, each stored once.
#[derive(Debug, Default)]
pub(crate) struct Sensors {
    names: Vec<Rc<str>>,
    ids: HashMap<Rc<str>, u32>,
}

impl Sensors {
    pub(crate) fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let name: Rc<str> = name.into();
        let id =
            u32::try_from(self.names.len()).expect("four billion names do not fit into memory");
        self.names.push(name.clone());
        self.ids.insert(name, id);
        id
    }

    pub(crate) fn name(&self, id: u32) -> &str {
        &self.names[id as usize]
    }
}

/// The readings of one sensor in one topic.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) entries: Vec<Entry>,
    /// The record of each entry, as its number in the order of reading. Empty if each record has
    /// one reading.
    pub(crate) records: Vec<u32>,
    /// Whether Kafka keeps them in this order.
    pub(crate) order: Order,
    /// Whether earlier readings of the sensor were deleted.
    pub(crate) lost: bool,
    /// How many of the first entries were deleted from the topic.
    pub(crate) deleted: usize,
    /// How many entries were accepted as found, because they cannot be computed.
    pub(crate) unverified: usize,
    /// How many of the first entries may be incomplete if the topic has lost its first records:
    /// whether further readings were among them is unknown.
    pub(crate) unsure: usize,
}

/// Whether the order of readings is defined.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    #[default]
    Defined,
    Undefined,
}

/// The readings of one topic.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stream {
    pub(crate) series: BTreeMap<u32, Series>,
    /// Whether sequence numbers and times are known. In a topic of format `number` they are not:
    /// the offset of a reading is its number there, and offsets depend on when stages committed.
    pub(crate) numbered: bool,
    /// Whether readings were deleted, perhaps all of some sensors.
    pub(crate) lost: bool,
    /// For each sensor with readings whose record has another key, or none: the indices of these
    /// readings, and the order of the others.
    pub(crate) wrong_keys: BTreeMap<u32, (Vec<usize>, Order)>,
    /// For each sensor with deleted readings, the input readings that are left: sequence number and
    /// time. Every result has both of one reading.
    pub(crate) origins: BTreeMap<u32, HashSet<(u64, i64)>>,
}

/// Readings of a stage that do not become output.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StageCounts {
    /// Invalid readings.
    pub(crate) dead_letters: u64,
    /// Readings whose result cannot be computed.
    pub(crate) unknown: u64,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Stream {
            series: BTreeMap::new(),
            numbered: true,
            lost: false,
            wrong_keys: BTreeMap::new(),
            origins: BTreeMap::new(),
        }
    }

    /// Removes the readings whose record has another key than their sensor. Returns the number of
    /// records.
    pub(crate) fn drop_wrong_keys(&mut self) -> u64 {
        let (mut dropped, mut records) = (0, HashSet::new());
        for (sensor, (places, order)) in std::mem::take(&mut self.wrong_keys) {
            let series = self.series.entry(sensor).or_default();
            for place in places.iter().rev() {
                series.entries.remove(*place);
                if series.records.is_empty() {
                    dropped += 1;
                } else {
                    records.insert(series.records.remove(*place));
                }
            }
            series.order = order;
        }
        dropped + records.len() as u64
    }

    /// Removes a reading, given by its index among those of its sensor. Returns its index among
    /// those with the right key; `None` if its own key is wrong.
    pub(crate) fn remove(&mut self, sensor: u32, place: usize) -> Option<usize> {
        let series = self.series.get_mut(&sensor)?;
        series.entries.remove(place);
        if !series.records.is_empty() {
            series.records.remove(place);
        }
        series.deleted -= usize::from(place < series.deleted);
        let Some((wrong, _)) = self.wrong_keys.get_mut(&sensor) else {
            return Some(place);
        };
        let is_right = !wrong.contains(&place);
        let before = wrong.iter().filter(|other| **other < place).count();
        wrong.retain(|other| *other != place);
        wrong
            .iter_mut()
            .filter(|other| **other > place)
            .for_each(|other| *other -= 1);
        is_right.then(|| place - before)
    }

    /// Whether readings were deleted.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost || self.series.values().any(|series| series.lost)
    }

    /// Accepts the results of deleted readings as found in the topic: they cannot be computed, but
    /// what the next stages make of them can.
    pub(crate) fn accept(&mut self, found: &Stream) {
        for (sensor, found) in &found.series {
            if !self.series.contains_key(sensor) && self.lost {
                self.series.insert(
                    *sensor,
                    Series {
                        lost: true,
                        ..Series::default()
                    },
                );
            }
            let Some(series) = self.series.get_mut(sensor).filter(|series| series.lost) else {
                continue;
            };
            let origins = self.origins.get(sensor);
            let is_deleted = |entry: &&Entry| {
                origins.is_none_or(|origins| !origins.contains(&(entry.seq, entry.time)))
            };
            let entries = found.entries.iter();
            let accepted: Vec<Entry> = match series.order {
                // All their results come before those of the readings that are left.
                Order::Defined => entries.take_while(is_deleted).copied().collect(),
                Order::Undefined => entries.filter(is_deleted).copied().collect(),
            };
            series.unverified += accepted.len();
            if series.unsure > 0 {
                series.unsure += accepted.len();
            }
            series.entries.splice(0..0, accepted);
        }
    }

    /// How many readings there are.
    pub(crate) fn len(&self) -> usize {
        self.series
            .values()
            .map(|series| series.entries.len())
            .sum()
    }

    /// Accepts what was compared as the input of the next stages. `deleted` is the number of
    /// deleted readings for each sensor whose partition has lost its first records.
    pub(crate) fn accept_compared(&mut self, deleted: &BTreeMap<u32, usize>, is_trimmed: bool) {
        for (sensor, series) in &mut self.series {
            let first = deleted.get(sensor).copied();
            series.deleted = first.unwrap_or_default();
            series.lost &= first.is_some();
            if series.lost && series.deleted >= series.unsure {
                // What the topic held is known only after the part that may be incomplete.
                series.entries.drain(..series.unsure);
                series.deleted -= series.unsure;
            }
            (series.unverified, series.unsure) = (0, 0);
        }
        self.lost &= is_trimmed;
        self.origins.clear();
    }

    /// Adds the readings of another stream that is written to the same topic.
    pub(crate) fn join(&mut self, other: Stream) {
        self.numbered &= other.numbered;
        self.lost |= other.lost;
        self.origins.extend(other.origins);
        for (sensor, series) in other.series {
            let mine = self.series.entry(sensor).or_default();
            if mine.entries.is_empty() {
                *mine = series;
            } else if !series.entries.is_empty() {
                // Which of the two comes first is unknown.
                mine.order = Order::Undefined;
                mine.lost |= series.lost;
                mine.entries.extend(series.entries);
            }
        }
    }

    /// The stream as a reader of a topic sees it where a sensor's readings have other units.
    ///
    /// # Errors
    /// Those of `unit`.
    pub(crate) fn with_unit(
        mut self,
        unit: impl Fn(u32, Option<Unit>) -> Result<Option<Unit>, String>,
    ) -> Result<Stream, String> {
        for (sensor, series) in &mut self.series {
            for entry in &mut series.entries {
                entry.unit = unit(*sensor, entry.unit)?;
            }
        }
        Ok(self)
    }

    /// The stream as a reader of a topic of format `number` sees it: bare values in `partitions`
    /// partitions, without sensors.
    pub(crate) fn into_numbers(
        self,
        partitions: usize,
        unit: Option<Unit>,
        sensors: &mut Sensors,
    ) -> Stream {
        let mut whole = Stream {
            numbered: false,
            lost: self.has_lost(),
            ..Stream::new()
        };
        for series in self.series.into_values() {
            whole.join(Stream {
                series: [(sensors.id(""), series)].into(),
                numbered: false,
                ..Stream::new()
            });
        }
        for series in whole.series.values_mut() {
            if partitions > 1 {
                series.order = Order::Undefined;
            }
            series
                .entries
                .iter_mut()
                .for_each(|entry| entry.unit = unit);
        }
        whole
    }
}
