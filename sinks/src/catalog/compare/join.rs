//! The join: combines the readings of several series with the same time.

use std::collections::BTreeMap;

/// The series that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The exponentially weighted moving average.
    Ewma,
    /// The moving average.
    Average,
    /// The input of both.
    Input,
}

/// The number of sides.
pub const SIDES: usize = 3;

/// The values of all sides at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    values: [Option<f64>; SIDES],
    /// The number of the input's reading, from 0. Meaningless without an input.
    pub input_index: u64,
}

impl Point {
    /// The value of one side. `None` if it has not come yet.
    #[must_use]
    pub fn get(&self, side: Side) -> Option<f64> {
        self.values[side as usize]
    }
}

/// Joins the series of one sensor by time.
///
/// Each side has an order of its own, and one side may be far ahead of another. A point waits until
/// every side has its value. If several readings of a side have the same time, the first one is
/// joined with the first one of the other sides, the second one with the second, and so on.
#[derive(Debug, Default)]
pub struct Join {
    /// By time, and by order of arrival within a time.
    waiting: BTreeMap<(i64, u32), Point>,
    inputs: u64,
    /// Readings that were dropped because too many points were waiting.
    pub dropped: u64,
}

impl Join {
    /// Adds a reading. Returns the point if it is complete. If more than `limit` points wait, the
    /// earliest is dropped.
    pub fn add(
        &mut self,
        side: Side,
        time: i64,
        value: f64,
        sides: &[Side],
        limit: usize,
    ) -> Option<Point> {
        let mut at_that_time = self.waiting.range_mut((time, 0)..=(time, u32::MAX));
        let mut key = (time, 0);
        let free = at_that_time.find(|(taken, point)| {
            key = (time, taken.1.saturating_add(1));
            point.get(side).is_none()
        });
        let (key, point) = match free {
            Some((key, point)) => (*key, point),
            None => (key, self.waiting.entry(key).or_default()),
        };
        point.values[side as usize] = Some(value);
        if side == Side::Input {
            point.input_index = self.inputs;
            self.inputs += 1;
        }
        if sides.iter().all(|side| point.get(*side).is_some()) {
            return self.waiting.remove(&key);
        }
        if self.waiting.len() > limit
            && let Some((_, earliest)) = self.waiting.pop_first()
        {
            self.dropped += earliest.values.iter().flatten().count() as u64;
        }
        None
    }

    /// How many points wait for their partners.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many readings of a side wait for their partners.
    #[must_use]
    pub fn waiting(&self, side: Side) -> u64 {
        self.waiting
            .values()
            .filter(|point| point.get(side).is_some())
            .count() as u64
    }

    /// How many readings of the input have come.
    #[must_use]
    pub fn inputs(&self) -> u64 {
        self.inputs
    }
}

/// Detects duplicates among the readings of one sensor and side.
///
/// Within a partition the readings of a sensor keep their order. A sequence number that does not
/// rise is a duplicate, unless the time is later: then the source has started from 0 again. The
/// last reading of each partition is enough to decide this.
#[derive(Debug, Default)]
pub struct Arrivals {
    last: Vec<(i32, u64, i64)>,
}

impl Arrivals {
    /// In how many partitions readings have come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.last.len()
    }

    /// Adds a reading. Returns whether it is a duplicate.
    pub fn is_duplicate(&mut self, partition: i32, seq: u64, time: i64) -> bool {
        let Some(last) = self.last.iter_mut().find(|last| last.0 == partition) else {
            self.last.push((partition, seq, time));
            return false;
        };
        if seq <= last.1 && time <= last.2 {
            return true;
        }
        *last = (partition, seq, time);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Side; 3] = [Side::Ewma, Side::Average, Side::Input];

    fn values(point: Option<Point>) -> Option<[f64; 3]> {
        point.map(|point| ALL.map(|side| point.get(side).unwrap()))
    }

    #[test]
    fn a_point_is_complete_when_every_side_has_a_value() {
        let mut join = Join::default();
        assert_eq!(join.add(Side::Input, 5, 1.0, &ALL, 10), None);
        assert_eq!(join.add(Side::Average, 5, 2.0, &ALL, 10), None);
        assert_eq!(ALL.map(|side| join.waiting(side)), [0, 1, 1]);
        assert_eq!(
            values(join.add(Side::Ewma, 5, 3.0, &ALL, 10)),
            Some([3.0, 2.0, 1.0])
        );
        assert_eq!(ALL.map(|side| join.waiting(side)), [0, 0, 0]);
    }

    #[test]
    fn readings_with_the_same_time_are_joined_in_order() {
        let sides = &ALL[..2];
        let mut join = Join::default();
        for value in [1.0, 2.0, 3.0] {
            assert_eq!(join.add(Side::Ewma, 5, value, sides, 10), None);
        }
        for value in [1.0, 2.0] {
            let point = join.add(Side::Average, 5, -value, sides, 10).unwrap();
            assert_eq!(
                (point.get(Side::Ewma), point.get(Side::Average)),
                (Some(value), Some(-value))
            );
        }
        assert_eq!(join.add(Side::Ewma, 5, 4.0, sides, 10), None);
        assert_eq!(
            join.add(Side::Average, 5, -3.0, sides, 10)
                .unwrap()
                .get(Side::Ewma),
            Some(3.0)
        );
    }

    #[test]
    fn too_many_waiting_points_are_dropped_and_counted() {
        let mut join = Join::default();
        for time in 0..1000 {
            assert_eq!(join.add(Side::Ewma, time, 0.0, &ALL, 10), None);
        }
        assert_eq!((join.waiting(Side::Ewma), join.dropped), (10, 990));
        assert_eq!(
            join.add(Side::Average, 0, 0.0, &ALL, 10),
            None,
            "its partner was dropped"
        );
        assert_eq!(
            (join.waiting(Side::Average), join.dropped),
            (0, 991),
            "the earliest is dropped first"
        );
    }

    #[test]
    fn a_duplicate_is_detected_by_sequence_number_and_time() {
        let mut seen = Arrivals::default();
        assert!(!seen.is_duplicate(0, 7, 70));
        assert!(!seen.is_duplicate(0, 9, 90), "a filter leaves gaps");
        assert!(seen.is_duplicate(0, 9, 90));
        assert!(seen.is_duplicate(0, 7, 70));
        assert!(
            !seen.is_duplicate(1, 7, 70),
            "each partition counts by itself"
        );
        assert!(
            !seen.is_duplicate(0, 10, 90),
            "two readings may share a time"
        );
        assert!(
            !seen.is_duplicate(0, 0, 100),
            "the source starts from 0 again"
        );
        assert!(seen.is_duplicate(0, 0, 100));
    }
}
