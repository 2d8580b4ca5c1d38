//! The join: puts together what several series say of the same time.

use std::collections::BTreeMap;

/// The series that are compared, in the order in which they index a [`Point`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The exponentially weighted moving average.
    Ewma,
    /// The moving average.
    Average,
    /// What both were made from.
    Input,
}

/// How many sides there are.
pub const SIDES: usize = 3;

/// What the sides say of one time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    values: [Option<f64>; SIDES],
    /// Which reading of the input it is, counted from 0; meaningless without an input.
    pub input_index: u64,
}

impl Point {
    /// The value of one side, if it has come.
    #[must_use]
    pub fn get(&self, side: Side) -> Option<f64> {
        self.values[side as usize]
    }
}

/// Joins the series of one sensor by time.
///
/// Each side brings its readings in an order of its own, and one may run far ahead of another. What
/// has come for a time waits until every side has spoken. Where several readings of one side share
/// a time, the first goes with the first of the other sides, the second with the second, and so on.
#[derive(Debug, Default)]
pub struct Join {
    /// By time, and by order of arrival within a time.
    waiting: BTreeMap<(i64, u32), Point>,
    inputs: u64,
    /// Readings that were given up because too many were waiting.
    pub dropped: u64,
}

impl Join {
    /// Takes one reading and gives the point that it completes, if it does. More than `limit` times
    /// never wait: then the earliest is given up.
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
            && let Some((_, given_up)) = self.waiting.pop_first()
        {
            self.dropped += given_up.values.iter().flatten().count() as u64;
        }
        None
    }

    /// How many readings of a side still wait for their partners.
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

/// Knows which readings of one sensor and side have come before.
///
/// Within a partition the readings of a sensor keep their order, so a sequence number that does not
/// rise has come before, unless its time is new: then a source began to count anew. Nothing but the
/// last reading of each partition needs to be remembered.
#[derive(Debug, Default)]
pub struct Arrivals {
    last: Vec<(i32, u64, i64)>,
}

impl Arrivals {
    /// Takes note of a reading; says whether it came before.
    pub fn before(&mut self, partition: i32, seq: u64, time: i64) -> bool {
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
    fn a_point_is_complete_when_every_side_has_spoken() {
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
    fn within_a_time_the_order_of_arrival_decides() {
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
    fn what_waits_is_bounded_and_what_is_given_up_is_counted() {
        let mut join = Join::default();
        for time in 0..1000 {
            assert_eq!(join.add(Side::Ewma, time, 0.0, &ALL, 10), None);
        }
        assert_eq!((join.waiting(Side::Ewma), join.dropped), (10, 990));
        assert_eq!(
            join.add(Side::Average, 0, 0.0, &ALL, 10),
            None,
            "its partner was given up"
        );
        assert_eq!(
            (join.waiting(Side::Average), join.dropped),
            (0, 991),
            "the earliest goes first"
        );
    }

    #[test]
    fn a_reading_that_came_before_is_known_by_its_sequence_and_time() {
        let mut seen = Arrivals::default();
        assert!(!seen.before(0, 7, 70));
        assert!(!seen.before(0, 9, 90), "a filter leaves gaps");
        assert!(seen.before(0, 9, 90));
        assert!(seen.before(0, 7, 70));
        assert!(
            !seen.before(1, 7, 70),
            "the offsets of another partition count for themselves"
        );
        assert!(!seen.before(0, 10, 90), "two readings may share a time");
        assert!(!seen.before(0, 0, 100), "the source began anew");
        assert!(seen.before(0, 0, 100));
    }
}
