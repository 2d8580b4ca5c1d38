//! The ticks of an axis: round numbers and round times.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::look;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Numbers of this size or larger are written with an exponent.
const LARGE: f64 = 1e7;

/// What is written at a place of an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick<T> {
    pub(super) at: T,
    pub(super) label: String,
}

/// At most `most` (at least 2) round numbers within a range, the lowest first.
pub(super) fn numbers([low, high]: [f64; 2], most: usize) -> Vec<Tick<f64>> {
    let span = high - low;
    if !span.is_normal() || span < 0.0 {
        return Vec::new();
    }
    let least = span / most.max(2) as f64;
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let factor = factors.into_iter().find(|factor| factor * power >= least);
    let step = factor.unwrap_or(10.0) * power;
    // Where steps are too small for numbers of this size there is nothing to tell apart.
    if !step.is_normal() || low.abs().max(high.abs()) / step > 1e12 {
        return Vec::new();
    }
    // As many digits as the step has, and a little less than one is one.
    let digits = (0..12)
        .zip(0..)
        .find(|(_, power)| step * 10_f64.powi(*power) > 0.99);
    let digits = digits.map_or(12, |(digits, _)| digits);
    let first = (low / step).ceil();
    let steps = (0..most.max(2)).map(|index| (first + index as f64) * step);
    let ticks = steps.filter(|at| *at <= high).map(|at| Tick {
        at,
        label: number(at, digits),
    });
    ticks.collect()
}

fn number(number: f64, digits: usize) -> String {
    if number.abs() < LARGE {
        look::number(number, digits)
    } else {
        format!("{number:.1e}").replace('-', "−")
    }
}

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeLabels {
    format: &'static str,
    /// How many columns a label has.
    pub(super) width: usize,
    /// Whether a label says which day it is.
    pub(super) has_day: bool,
}

impl TimeLabels {
    fn new(step: i64, times: &RangeInclusive<i64>) -> Self {
        let days = times.start().div_euclid(DAY)..=times.end().div_euclid(DAY);
        let is_one_day = days.start() == days.end();
        let (format, width, has_day) = match step {
            DAY.. => ("%Y-%m-%d", 10, true),
            MINUTE.. if !is_one_day => ("%m-%d %H:%M", 11, true),
            MINUTE.. => ("%H:%M", 5, false),
            SECOND.. => ("%H:%M:%S", 8, false),
            _ => ("%H:%M:%S%.3f", 12, false),
        };
        TimeLabels {
            format,
            width,
            has_day,
        }
    }

    fn label(self, time: i64) -> String {
        formatted(time, self.format)
    }
}

/// The day of a time, as in `2026-03-01`.
pub(super) fn day(time: i64) -> String {
    formatted(time, "%Y-%m-%d")
}

fn formatted(time: i64, format: &str) -> String {
    Timestamp::from_millisecond(time).map_or_else(
        |_| time.to_string(),
        |time| time.to_zoned(TimeZone::UTC).strftime(format).to_string(),
    )
}

/// Round times within a range of event time whose labels fit side by side into so many columns.
pub(super) fn times(times: &RangeInclusive<i64>, columns: usize) -> (Vec<Tick<i64>>, TimeLabels) {
    let (start, end) = (*times.start(), *times.end());
    let span = i128::from(end) - i128::from(start);
    let fits = |step: i64| {
        let labels = TimeLabels::new(step, times);
        let room = (columns / (labels.width + 3)).max(1);
        (span / i128::from(step) < room as i128).then_some((step, labels))
    };
    let (step, labels) = steps()
        .find_map(fits)
        .unwrap_or((i64::MAX, TimeLabels::new(i64::MAX, times)));
    let first = i128::from(start) + (-i128::from(start)).rem_euclid(i128::from(step));
    let all = (0..=columns as i128).map(|index| first + index * i128::from(step));
    let within = all.take_while(|at| *at <= i128::from(end));
    let ticks = within.filter_map(|at| {
        let at = i64::try_from(at).ok()?;
        let label = labels.label(at);
        Some(Tick { at, label })
    });
    (ticks.collect(), labels)
}

/// The steps between round times.
fn steps() -> impl Iterator<Item = i64> {
    let millis = [1, 2, 5, 10, 20, 50, 100, 200, 500].into_iter();
    let seconds = [1, 2, 5, 10, 15, 30].map(|count| count * SECOND);
    let minutes = [1, 2, 5, 10, 15, 30].map(|count| count * MINUTE);
    let hours = [1, 2, 3, 6, 12].map(|count| count * HOUR);
    let powers = (0..10).map(|power| 10_i64.pow(power) * DAY);
    let days = powers.flat_map(|power| [1, 2, 5].map(|count| count * power));
    millis
        .chain(seconds)
        .chain(minutes)
        .chain(hours)
        .chain(days)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels<T>(ticks: &[Tick<T>]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn numbers_are_round() {
        assert_eq!(labels(&numbers([50.3, 70.9], 5)), ["55", "60", "65", "70"]);
        assert_eq!(labels(&numbers([-0.2, 0.21], 3)), ["−0.2", "0.0", "0.2"]);
        assert_eq!(labels(&numbers([0.0, 3e8], 3)), ["0", "1.0e8", "2.0e8"]);
    }

    #[test]
    fn times_say_as_much_as_the_span_needs() {
        let noon = 1_772_366_400_000;
        let shown = |span: i64| {
            let (ticks, labels) = times(&(noon..=noon + span), 42);
            (ticks[0].label.clone(), ticks.len(), labels.has_day)
        };
        assert_eq!(shown(900), ("12:00:00.000".into(), 2, false));
        assert_eq!(shown(40 * SECOND), ("12:00:00".into(), 3, false));
        assert_eq!(shown(2 * HOUR), ("12:00".into(), 5, false));
        assert_eq!(shown(30 * HOUR), ("03-01 12:00".into(), 3, true));
        assert_eq!(shown(1500 * DAY), ("2027-07-01".into(), 2, true));
    }

    proptest! {
        #[test]
        fn ticks_are_within_their_range(
            low in -1e300..1e300_f64,
            span in prop_oneof![0.0..1e-9_f64, 0.0..1e3_f64, 0.0..1e300_f64],
            most in 0..20_usize,
        ) {
            let ticks = numbers([low, low + span], most);
            prop_assert!(ticks.len() <= most.max(2));
            for tick in ticks {
                prop_assert!((low..=low + span).contains(&tick.at));
            }
        }

        #[test]
        fn labels_of_times_fit_side_by_side(
            start in prop_oneof![Just(i64::MIN), any::<i64>(), 0..2_000_000_000_000_i64],
            span in prop_oneof![Just(i64::MAX), 0..1_000_000_000_000_i64, 0..9_i64],
            columns in 0..200_usize,
        ) {
            let all = start..=start.saturating_add(span);
            let (ticks, labels) = times(&all, columns);
            prop_assert!(ticks.len() <= 1 || ticks.len() * (labels.width + 3) <= columns);
            for tick in ticks {
                prop_assert!(all.contains(&tick.at));
            }
        }
    }
}
