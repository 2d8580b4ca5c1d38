//! Values for a screen: no more than it can show, and no extreme less: [`ChartColumns`].

use std::ops::RangeInclusive;

use super::series::{TimeSeries, TimedValue};

/// The widest column: it holds half of all times.
const WIDEST: i64 = 1 << 61;

/// The columns of a chart. Each is a span of event time.
///
/// The width of a column is a power of two in milliseconds, and columns begin at multiples of it.
/// So a column stays what it is while time goes on, until all of them become twice as wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChartColumns {
    /// The width of a column in milliseconds.
    pub width: i64,
}

impl ChartColumns {
    /// The narrowest columns of which at most `most` (at least 2) show a range of event time.
    #[must_use]
    pub fn new(times: &RangeInclusive<i64>, most: usize) -> Self {
        let most = i64::try_from(most.max(2)).unwrap_or(i64::MAX);
        let mut width = 1_i64;
        while width < WIDEST && (ChartColumns { width }).count(times) > most {
            width *= 2;
        }
        ChartColumns { width }
    }

    fn count(self, times: &RangeInclusive<i64>) -> i64 {
        let first = times.start().div_euclid(self.width);
        let last = times.end().div_euclid(self.width);
        last.saturating_sub(first).saturating_add(1)
    }

    /// When the column begins that contains this time.
    #[must_use]
    pub fn start(self, time: i64) -> i64 {
        time.div_euclid(self.width) * self.width
    }

    /// The values of a series to draw: of each column the first, the lowest, the highest and the
    /// last, in order (the aggregation M4: U. Jugel et al., "M4: A Visualization-Oriented Time
    /// Series Data Aggregation", VLDB 2014). The line through them covers the same pixels as the
    /// line through all values. `None` is a [gap](TimeSeries::longest_step).
    #[must_use]
    pub fn of(self, series: &TimeSeries, times: RangeInclusive<i64>) -> Vec<Option<TimedValue>> {
        let longest = series.longest_step(times.clone()).unwrap_or(i64::MAX);
        let mut drawn = Vec::new();
        let mut column: Vec<TimedValue> = Vec::new();
        let mut last: Option<TimedValue> = None;
        for value in series.within(times) {
            if let Some(last) = last {
                let is_gap = value.time.saturating_sub(last.time) > longest;
                if is_gap || self.start(last.time) != self.start(value.time) {
                    drawn.extend(extremes(&column).map(Some));
                    column.clear();
                }
                if is_gap {
                    drawn.push(None);
                }
            }
            last = Some(value);
            column.push(value);
        }
        drawn.extend(extremes(&column).map(Some));
        drawn
    }
}

/// The first, the lowest, the highest and the last value, in order, and each once.
fn extremes(values: &[TimedValue]) -> impl Iterator<Item = TimedValue> {
    let by_value = |a: &usize, b: &usize| values[*a].value.total_cmp(&values[*b].value);
    let lowest = (0..values.len()).min_by(by_value);
    let highest = (0..values.len()).max_by(by_value);
    let mut indices = [
        (!values.is_empty()).then_some(0),
        lowest,
        highest,
        values.len().checked_sub(1),
    ];
    indices.sort_unstable();
    let mut last = None;
    indices.into_iter().flatten().filter_map(move |index| {
        let is_new = last != Some(index);
        last = Some(index);
        is_new.then(|| values[index])
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(values: &[(i64, f64)]) -> TimeSeries {
        let mut series = TimeSeries::default();
        for (time, value) in values {
            let (time, value) = (*time, *value);
            series.push(TimedValue { time, value }, None, usize::MAX);
        }
        series
    }

    /// Values in the order of time, some of which have the same time.
    fn values() -> impl Strategy<Value = Vec<(i64, f64)>> {
        let step = prop_oneof![8 => 0..20_i64, 1 => 1000..2000_i64];
        prop::collection::vec((step, -50.0..50.0_f64), 1..200).prop_map(|steps| {
            let mut time = -3000;
            let values = steps.into_iter().map(|(step, value)| {
                time += step;
                (time, value)
            });
            values.collect()
        })
    }

    proptest! {
        /// The naive way: each value is looked at for each column.
        #[test]
        fn no_extreme_of_any_column_is_hidden(values in values(), most in 2..60_usize) {
            let (first, last) = (values[0].0, values[values.len() - 1].0);
            let series = series(&values);
            let columns = ChartColumns::new(&(first..=last), most);
            let drawn = columns.of(&series, first..=last);
            let drawn: Vec<TimedValue> = drawn.into_iter().flatten().collect();
            let starts = values.iter().map(|(time, _)| columns.start(*time));
            let mut starts: Vec<i64> = starts.collect();
            starts.dedup();
            prop_assert!(starts.len() <= most);
            prop_assert!(drawn.is_sorted_by_key(|value| value.time));
            for start in starts {
                let is_in = |time: i64| (start..start + columns.width).contains(&time);
                let all = values.iter().filter(|(time, _)| is_in(*time)).map(|(_, value)| *value);
                let shown = drawn.iter().filter(|value| is_in(value.time)).map(|value| value.value);
                let (all, shown): (Vec<f64>, Vec<f64>) = (all.collect(), shown.collect());
                let least = |of: &[f64]| of.iter().copied().fold(f64::INFINITY, f64::min);
                let most = |of: &[f64]| of.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                prop_assert_eq!(least(&shown), least(&all));
                prop_assert_eq!(most(&shown), most(&all));
                prop_assert_eq!((shown[0], shown.last()), (all[0], all.last()));
            }
        }

        /// Each value that is drawn is one that came, and gaps are where nothing came for long.
        #[test]
        fn a_line_breaks_exactly_at_the_gaps(values in values(), most in 2..60_usize) {
            let (first, last) = (values[0].0, values[values.len() - 1].0);
            let series = series(&values);
            let longest = series.longest_step(first..=last).unwrap_or(i64::MAX);
            let steps = values.windows(2).map(|pair| pair[1].0 - pair[0].0);
            let gaps = steps.filter(|step| *step > longest).count();
            let drawn = ChartColumns::new(&(first..=last), most).of(&series, first..=last);
            prop_assert_eq!(drawn.iter().filter(|value| value.is_none()).count(), gaps);
            for value in drawn.into_iter().flatten() {
                prop_assert!(values.contains(&(value.time, value.value)));
            }
        }
    }

    #[test]
    fn event_times_may_be_as_far_apart_as_numbers_go() {
        let series = series(&[(i64::MIN, 1.0), (-1, 2.0), (0, 3.0), (i64::MAX, 4.0)]);
        let all = i64::MIN..=i64::MAX;
        let drawn = ChartColumns::new(&all, 10).of(&series, all);
        assert_eq!(drawn.into_iter().flatten().count(), 4);
    }

    #[test]
    fn columns_stay_where_they_are_while_time_goes_on() {
        assert_eq!(ChartColumns::new(&(0..=99), 100).width, 1);
        assert_eq!(ChartColumns::new(&(0..=100), 100).width, 2);
        assert_eq!(
            ChartColumns::new(&(i64::MIN..=i64::MAX), 2).start(-1),
            -(1 << 61)
        );
        let columns = ChartColumns { width: 8 };
        assert_eq!([-1, 0, 7, 8].map(|time| columns.start(time)), [-8, 0, 0, 8]);
    }
}
