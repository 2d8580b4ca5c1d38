//! The ticks of an axis: numbers that people read at a glance.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::look;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The steps of a time axis that are shorter than a month, in milliseconds.
const STEPS: [i64; 21] = [
    1,
    10,
    100,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
];

/// The steps in months.
const MONTHS: [i32; 8] = [1, 3, 6, 12, 24, 60, 120, 1200];

/// Numbers of this size or larger are written with an exponent.
const LARGE: f64 = 1e7;

/// What is written at a place of an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct AxisTick<T> {
    /// The place.
    pub at: T,
    /// The text.
    pub label: String,
}

/// At most `most` (at least 2) numbers from `low` to `high`, the lowest first. Their step is 1, 2
/// or 5 times a power of ten. None if there is nothing to tell apart.
#[must_use]
pub fn number_ticks(low: f64, high: f64, most: usize) -> Vec<AxisTick<f64>> {
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
    let ticks = steps.filter(|at| *at <= high).map(|at| AxisTick {
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

/// Round times from `start` to `end` whose labels have room in so many columns, each with `room`
/// columns around it. A long label can still reach its neighbour.
#[must_use]
pub fn time_ticks_within(start: i64, end: i64, columns: usize, room: usize) -> Vec<AxisTick<i64>> {
    let width = |tick: &AxisTick<i64>| tick.label.chars().count() + room;
    let most = (columns / (room + 4)).max(2);
    let all = (2..=most).rev().map(|most| time_ticks(start, end, most));
    let mut fitting = all.filter(|ticks| ticks.iter().map(width).sum::<usize>() <= columns);
    fitting.next().unwrap_or_default()
}

/// At most `most` (at least 2) times from `start` to `end`, in milliseconds since the epoch, at
/// round times of UTC, each with its label. The first label of a day has the date, too.
#[must_use]
pub fn time_ticks(start: i64, end: i64, most: usize) -> Vec<AxisTick<i64>> {
    let most = most.max(2);
    let few = i64::try_from(most).unwrap_or(i64::MAX);
    let span = end.saturating_sub(start).max(0);
    let fits = |step: &&i64| span / **step < few;
    let mut ticks: Vec<AxisTick<i64>> = Vec::new();
    if let Some(step) = STEPS.iter().find(fits) {
        let first = start.div_euclid(*step) + i64::from(start.rem_euclid(*step) > 0);
        let times = (first..).map(|count| count.saturating_mul(*step));
        let mut date = None;
        for time in times.take_while(|time| *time <= end).take(most) {
            let Some(at) = civil(time) else { continue };
            let is_new = date.replace(at.date()) != Some(at.date());
            let label = label(at, *step, is_new);
            ticks.push(AxisTick { at: time, label });
        }
        return ticks;
    }
    let Some(first) = civil(start).map(|at| at.date().first_of_month()) else {
        return ticks;
    };
    for months in MONTHS {
        ticks = by_months(first, months, start, end);
        if ticks.len() <= most {
            break;
        }
    }
    ticks.truncate(most);
    ticks
}

fn civil(time: i64) -> Option<jiff::civil::DateTime> {
    let at = Timestamp::from_millisecond(time).ok()?;
    Some(at.to_zoned(TimeZone::UTC).datetime())
}

fn label(at: jiff::civil::DateTime, step: i64, is_new_date: bool) -> String {
    let time = match step {
        _ if step >= DAY => return at.strftime("%-d %b %Y").to_string(),
        _ if step >= MINUTE => at.strftime("%H:%M").to_string(),
        _ if step >= SECOND => at.strftime("%H:%M:%S").to_string(),
        _ => at.strftime("%H:%M:%S%.3f").to_string(),
    };
    if is_new_date {
        format!("{} {time}", at.strftime("%-d %b %Y"))
    } else {
        time
    }
}

/// The firsts of every so many months.
fn by_months(first: Date, months: i32, start: i64, end: i64) -> Vec<AxisTick<i64>> {
    let month = i32::from(first.month()) - 1 + 12 * i32::from(first.year());
    let mut date = first
        .checked_sub((month % months).months())
        .unwrap_or(first);
    let mut ticks = Vec::new();
    while let Ok(at) = date.to_zoned(TimeZone::UTC) {
        let time = at.timestamp().as_millisecond();
        if time > end || ticks.len() > 1000 {
            break;
        }
        if time >= start {
            let format = if months < 12 { "%b %Y" } else { "%Y" };
            let label = date.strftime(format).to_string();
            ticks.push(AxisTick { at: time, label });
        }
        let Ok(next) = date.checked_add(months.months()) else {
            break;
        };
        date = next;
    }
    ticks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_round() {
        let labels = |low, high, most| {
            let ticks = number_ticks(low, high, most).into_iter();
            ticks.map(|tick| tick.label).collect::<Vec<_>>()
        };
        assert_eq!(labels(50.3, 70.9, 5), ["55", "60", "65", "70"]);
        assert_eq!(labels(-0.2, 0.21, 3), ["−0.2", "0.0", "0.2"]);
        assert_eq!(labels(0.0, 3e8, 3), ["0", "1.0e8", "2.0e8"]);
        assert_eq!(labels(7.0, 7.0, 5), Vec::<String>::new());
    }

    fn labels(start: &str, end: &str, most: usize) -> Vec<String> {
        let time = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        let ticks = time_ticks(time(start), time(end), most);
        ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn times_are_round_and_dates_are_said_once() {
        assert_eq!(
            labels("2026-03-01T23:58:10Z", "2026-03-02T00:01:40Z", 5),
            ["1 Mar 2026 23:59", "2 Mar 2026 00:00", "00:01"]
        );
        assert_eq!(
            labels("2026-03-01T23:58:10Z", "2026-03-01T23:58:12Z", 5),
            ["1 Mar 2026 23:58:10", "23:58:11", "23:58:12"]
        );
        assert_eq!(
            labels("2012-01-01T00:00:00Z", "2015-12-31T00:00:00Z", 6),
            ["2012", "2013", "2014", "2015"]
        );
        assert_eq!(
            labels("2012-01-05T00:00:00Z", "2012-08-05T00:00:00Z", 8),
            [
                "Feb 2012", "Mar 2012", "Apr 2012", "May 2012", "Jun 2012", "Jul 2012", "Aug 2012"
            ]
        );
    }

    proptest! {
        #[test]
        fn ticks_are_few_in_order_and_within(
            low in -1e300..1e300_f64,
            span in prop_oneof![0.0..1e-9_f64, 0.0..1e3_f64, 0.0..1e300_f64],
            start in -1_000_000_000_000..1_000_000_000_000_i64,
            length in 0..1_000_000_000_000_i64,
            most in 2..12_usize,
        ) {
            let ticks = number_ticks(low, low + span, most);
            prop_assert!(ticks.len() <= most, "{:?}", ticks);
            prop_assert!(ticks.iter().all(|tick| (low..=low + span).contains(&tick.at)));
            let ticks = time_ticks(start, start + length, most);
            prop_assert!(ticks.len() <= most);
            prop_assert!(ticks.is_sorted_by_key(|tick| tick.at));
            prop_assert!(ticks.iter().all(|tick| (start..=start + length).contains(&tick.at)));
        }

        #[test]
        fn no_time_is_an_error_and_labels_fit(
            start in prop_oneof![Just(i64::MIN), any::<i64>(), 0..2_000_000_000_000_i64],
            span in prop_oneof![Just(i64::MAX), 0..1_000_000_000_000_i64, 0..9_i64],
            columns in 0..200_usize,
        ) {
            let end = start.saturating_add(span);
            let ticks = time_ticks_within(start, end, columns, 2);
            let widths = ticks.iter().map(|tick| tick.label.chars().count() + 2);
            prop_assert!(widths.sum::<usize>() <= columns);
        }
    }
}
