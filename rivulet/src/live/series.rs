//! The last values of a sensor in a topic, in the order of event time: [`TimeSeries`].

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use rivulet_core::unit::Unit;

/// How many times longer than usual the time between two values must be to count as a gap.
const GAP: i64 = 5;

/// A value at an event time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimedValue {
    /// The event time in milliseconds since the epoch.
    pub time: i64,
    /// The value. Always finite.
    pub value: f64,
}

/// The last values of one sensor in one topic, in the order of event time.
#[derive(Debug, Clone, Default)]
pub struct TimeSeries {
    values: VecDeque<TimedValue>,
    unit: Option<Unit>,
    count: u64,
    disorder: u64,
}

impl TimeSeries {
    /// Adds a value. If there are more than `most` then, the earliest ones are dropped.
    pub fn push(&mut self, added: TimedValue, unit: Option<Unit>, most: usize) {
        self.unit = unit.or(self.unit);
        self.count += 1;
        // Almost always it is the latest.
        let later = self.values.iter().rev();
        let later = later.take_while(|value| value.time > added.time).count();
        self.disorder += u64::from(later > 0);
        self.values.insert(self.values.len() - later, added);
        self.keep(most);
    }

    /// Drops the earliest values, so that no more than `most` are left.
    pub fn keep(&mut self, most: usize) {
        let extra = self.values.len().saturating_sub(most);
        if extra > 0 {
            self.values.drain(..extra);
            // One series may have had most of the memory before there were others.
            self.values.shrink_to(2 * most);
        }
    }

    /// The values that are kept.
    #[must_use]
    pub fn values(&self) -> &VecDeque<TimedValue> {
        &self.values
    }

    /// The unit of the last value that has one.
    #[must_use]
    pub fn unit(&self) -> Option<Unit> {
        self.unit
    }

    /// How many values have come, whether they are kept or not.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many values have come that are earlier than one before. It changes when what was shown
    /// has changed.
    #[must_use]
    pub fn disorder(&self) -> u64 {
        self.disorder
    }

    /// The values with event times in a range, in order.
    #[must_use]
    pub fn within(
        &self,
        times: RangeInclusive<i64>,
    ) -> impl DoubleEndedIterator<Item = TimedValue> {
        let start = self
            .values
            .partition_point(|value| value.time < *times.start());
        let end = self
            .values
            .partition_point(|value| value.time <= *times.end());
        self.values.range(start.min(end)..end).copied()
    }

    /// The longest time between two values of a range that is not a gap: five times the median.
    /// `None` if there are fewer than three values.
    #[must_use]
    pub fn longest_step(&self, times: RangeInclusive<i64>) -> Option<i64> {
        let mut last = None;
        let mut steps: Vec<i64> = self
            .within(times)
            .filter_map(|value| {
                let step = last.map(|last: i64| value.time.saturating_sub(last));
                last = Some(value.time);
                step.filter(|step| *step > 0)
            })
            .collect();
        if steps.len() < 2 {
            return None;
        }
        let middle = steps.len() / 2;
        let (_, median, _) = steps.select_nth_unstable(middle);
        Some(median.saturating_mul(GAP))
    }
}

/// The first and the last event time of these series. `None` if they have no values.
#[must_use]
pub fn event_times<'s>(series: impl IntoIterator<Item = &'s TimeSeries>) -> Option<(i64, i64)> {
    let values = series.into_iter().map(TimeSeries::values);
    let ends = values.filter_map(|values| Some((values.front()?.time, values.back()?.time)));
    ends.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
}

/// The unit that all of these series have which have one. `None` if there are several, or none.
#[must_use]
pub fn common_unit(series: &[TimeSeries]) -> Option<Unit> {
    let mut units = series.iter().filter_map(TimeSeries::unit);
    let first = units.next()?;
    units.all(|unit| unit == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(times: &[i64], most: usize) -> TimeSeries {
        let mut series = TimeSeries::default();
        for time in times {
            let value = *time as f64;
            series.push(TimedValue { time: *time, value }, None, most);
        }
        series
    }

    fn times(values: impl Iterator<Item = TimedValue>) -> Vec<i64> {
        values.map(|value| value.time).collect()
    }

    proptest! {
        #[test]
        fn the_latest_values_are_kept_in_order(all in prop::collection::vec(0..50_i64, 0..60)) {
            let most = 20;
            let kept = series(&all, most);
            // What was too early when there was no room is gone, and no later value is.
            let mut expected: Vec<i64> = Vec::new();
            for time in &all {
                expected.push(*time);
                expected.sort_unstable();
                if expected.len() > most {
                    expected.remove(0);
                }
            }
            prop_assert_eq!(times(kept.values().iter().copied()), expected.clone());
            prop_assert_eq!(kept.count(), all.len() as u64);
            let within = expected.into_iter().filter(|time| (10..=30).contains(time));
            prop_assert_eq!(times(kept.within(10..=30)), within.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_gap_is_five_times_longer_than_usual() {
        let series = series(&[0, 10, 20, 20, 30, 90, 100], 100);
        assert_eq!(series.longest_step(0..=100), Some(50));
        assert_eq!(series.longest_step(0..=10), None);
        assert_eq!(series.disorder(), 0);
    }

    #[test]
    fn series_have_one_unit_or_none_in_common() {
        let in_unit = |unit: Option<Unit>| {
            let mut series = TimeSeries::default();
            let (time, value) = (0, 0.0);
            series.push(TimedValue { time, value }, unit, 1);
            series
        };
        let [celsius, kelvin] = [Unit::Celsius, Unit::Kelvin].map(|unit| in_unit(Some(unit)));
        let none = in_unit(None);
        let all = [none.clone(), celsius.clone(), celsius.clone()];
        assert_eq!(common_unit(&all), Some(Unit::Celsius));
        assert_eq!(common_unit(&[celsius, kelvin]), None);
        assert_eq!(common_unit(&[none]), None);
    }

    #[test]
    fn a_value_that_is_late_changes_what_was_shown() {
        assert_eq!(series(&[0, 10, 5, 10], 100).disorder(), 1);
    }
}
