//! The ticks of an axis: numbers that people read at a glance.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

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

/// At most `most` (at least 2) numbers from `low` to `high` with the same step, which is 1, 2 or 5
/// times a power of ten; and how many digits after the point they need.
#[must_use]
pub fn number_ticks(low: f64, high: f64, most: usize) -> (Vec<f64>, usize) {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return (vec![low], 1);
    }
    let least = span / most.saturating_sub(1).max(1) as f64;
    let power = 10_f64.powi(exponent(least));
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power);
    let digits = usize::try_from(-exponent(step)).unwrap_or(0);
    let first = (low / step - 1e-9).ceil();
    let count = (high / step + 1e-9).floor() - first;
    let ticks = (0..=most).map(|index| index as f64);
    let ticks = ticks.take_while(|index| *index <= count);
    (ticks.map(|index| (first + index) * step).collect(), digits)
}

/// The exponent of the power of ten below a positive number.
fn exponent(number: f64) -> i32 {
    let text = format!("{number:e}");
    let exponent = text
        .rsplit('e')
        .next()
        .and_then(|digits| digits.parse().ok());
    exponent.unwrap_or_default()
}

/// At most `most` (at least 2) times from `start` to `end`, in milliseconds since the epoch, at
/// round times of UTC, each with its label. The first label of a day has the date, too.
#[must_use]
pub fn time_ticks(start: i64, end: i64, most: usize) -> Vec<(i64, String)> {
    let most = most.max(2);
    let few = i64::try_from(most).unwrap_or(i64::MAX);
    let span = end.saturating_sub(start).max(0);
    let fits = |step: &&i64| span / **step < few;
    let mut ticks: Vec<(i64, String)> = Vec::new();
    if let Some(step) = STEPS.iter().find(fits) {
        let first = start.div_euclid(*step) + i64::from(start.rem_euclid(*step) > 0);
        let times = (first..).map(|count| count.saturating_mul(*step));
        let mut date = None;
        for time in times.take_while(|time| *time <= end).take(most) {
            let Some(at) = civil(time) else { continue };
            let is_new = date.replace(at.date()) != Some(at.date());
            ticks.push((time, label(at, *step, is_new)));
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
        format!("{} {time}", at.strftime("%-d %b"))
    } else {
        time
    }
}

/// The firsts of every so many months.
fn by_months(first: Date, months: i32, start: i64, end: i64) -> Vec<(i64, String)> {
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
            let label = date.strftime(if months < 12 { "%b %Y" } else { "%Y" });
            ticks.push((time, label.to_string()));
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
        assert_eq!(
            number_ticks(48.2, 97.9, 6),
            (vec![50.0, 60.0, 70.0, 80.0, 90.0], 0)
        );
        assert_eq!(number_ticks(0.0, 0.2, 4), (vec![0.0, 0.1, 0.2], 1));
        assert_eq!(number_ticks(-3.0, 3.0, 3), (vec![0.0], 0));
        assert_eq!(number_ticks(7.0, 7.0, 5), (vec![7.0], 1));
    }

    fn labels(start: &str, end: &str, most: usize) -> Vec<String> {
        let time = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        let ticks = time_ticks(time(start), time(end), most);
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn times_are_round_and_dates_are_said_once() {
        assert_eq!(
            labels("2026-03-01T23:58:10Z", "2026-03-02T00:01:40Z", 5),
            ["1 Mar 23:59", "2 Mar 00:00", "00:01"]
        );
        assert_eq!(
            labels("2026-03-01T23:58:10Z", "2026-03-01T23:58:12Z", 5),
            ["1 Mar 23:58:10", "23:58:11", "23:58:12"]
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
            low in -1e9..1e9_f64,
            span in 1e-6..1e9_f64,
            start in -1_000_000_000_000..1_000_000_000_000_i64,
            length in 0..1_000_000_000_000_i64,
            most in 2..12_usize,
        ) {
            let (ticks, _) = number_ticks(low, low + span, most);
            prop_assert!(ticks.len() <= most, "{:?}", ticks);
            let slack = 1e-6 * (low.abs() + span);
            let is_within = |tick: &f64| (low - slack..=low + span + slack).contains(tick);
            prop_assert!(ticks.iter().all(is_within));
            let ticks = time_ticks(start, start + length, most);
            prop_assert!(ticks.len() <= most);
            prop_assert!(ticks.is_sorted());
            let all = start..=start + length;
            prop_assert!(ticks.iter().all(|(time, _)| all.contains(time)));
        }

        #[test]
        fn no_time_is_an_error(start: i64, end: i64, most in 0..9_usize) {
            prop_assert!(time_ticks(start, end, most).len() <= most.max(2));
        }
    }
}
