//! How a line of a chart changes: [`Splice`].

use std::fmt::Write;

use crate::live::TimedValue;

/// How many points may be new before those that a viewer has.
const HEAD: usize = 12;

/// A point of a line. `None` is a gap.
pub(super) type Point = Option<TimedValue>;

/// How one list of points becomes another: some new ones, some that are there, some new ones. Lines
/// change at their ends, so this is short.
#[derive(Debug, PartialEq)]
pub(super) struct Splice<'p> {
    head: &'p [Point],
    /// Where the points begin that stay.
    from: usize,
    /// How many stay.
    keep: usize,
    tail: &'p [Point],
}

impl<'p> Splice<'p> {
    /// What a viewer who has `old` needs to have `new`. `None` if both are the same.
    pub(super) fn new(old: &[Point], new: &'p [Point]) -> Option<Self> {
        if old == new {
            return None;
        }
        let mut best = Splice {
            head: &[],
            from: 0,
            keep: 0,
            tail: new,
        };
        for start in 0..new.len().min(HEAD) {
            let Some(from) = old.iter().position(|point| *point == new[start]) else {
                continue;
            };
            let both = old[from..].iter().zip(&new[start..]);
            let keep = both.take_while(|(old, new)| old == new).count();
            if keep > best.keep {
                best = Splice {
                    head: &new[..start],
                    from,
                    keep,
                    tail: &new[start + keep..],
                };
            }
        }
        Some(best)
    }

    /// Writes it as JSON: `[head, from, keep, tail]`.
    pub(super) fn write(&self, json: &mut String) {
        json.push('[');
        write_points(json, self.head);
        // Writing to a string cannot fail.
        let _ = write!(json, ",{},{},", self.from, self.keep);
        write_points(json, self.tail);
        json.push(']');
    }
}

/// Writes points as a flat list: the time of the first one, then the milliseconds from one to the
/// next, and after each its value. A gap is `null`.
fn write_points(json: &mut String, points: &[Point]) {
    json.push('[');
    let mut last = 0;
    for (index, point) in points.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        let Some(TimedValue { time, value }) = point else {
            json.push_str("null");
            continue;
        };
        let step = i128::from(*time) - i128::from(last);
        let _ = write!(json, "{step},{}", number(*value));
        last = *time;
    }
    json.push(']');
}

/// A number as JSON with six significant digits at most: a screen shows no more.
pub(super) fn number(number: f64) -> String {
    serde_json::to_string(&rounded(number)).unwrap_or_else(|_| "null".into())
}

/// The number with six significant digits.
pub(super) fn rounded(number: f64) -> f64 {
    format!("{number:.5e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::live::{ChartColumns, TimeSeries};

    /// What a page makes of it.
    fn points(list: &Value) -> Vec<Option<(i64, f64)>> {
        let (mut points, mut time) = (Vec::new(), 0);
        let mut numbers = list.as_array().unwrap().iter();
        while let Some(step) = numbers.next() {
            if step.is_null() {
                points.push(None);
            } else {
                time += step.as_i64().unwrap();
                points.push(Some((time, numbers.next().unwrap().as_f64().unwrap())));
            }
        }
        points
    }

    fn apply(old: &[Option<(i64, f64)>], splice: &Splice<'_>) -> Vec<Option<(i64, f64)>> {
        let mut json = String::new();
        splice.write(&mut json);
        let json: Value = serde_json::from_str(&json).unwrap();
        let index = |at: usize| usize::try_from(json[at].as_u64().unwrap()).unwrap();
        let kept = &old[index(1)..index(1) + index(2)];
        [&points(&json[0]), kept, &points(&json[3])].concat()
    }

    fn shown(points: &[Point]) -> Vec<Option<(i64, f64)>> {
        let point = |point: &Point| point.map(|point| (point.time, rounded(point.value)));
        points.iter().map(point).collect()
    }

    proptest! {
        /// Readings come in steps, some late, some after a gap, and the earliest ones are dropped.
        /// After each event the page has what a page has that is opened then.
        #[test]
        fn a_page_that_was_told_what_changed_has_it_all(
            steps in prop::collection::vec((-30..60_i64, -1e3..1e3_f64, any::<bool>()), 1..150),
            most in 10..80_usize, columns in 2..30_usize,
        ) {
            let mut series = TimeSeries::default();
            let (mut time, mut old, mut page) = (0, Vec::new(), Vec::new());
            for (step, value, is_seen) in steps {
                time += if step == 59 { 5000 } else { step };
                series.push(TimedValue { time, value }, None, most);
                if !is_seen {
                    continue;
                }
                let (first, last) = (series.values()[0].time, series.values().back().unwrap().time);
                let new = ChartColumns::new(&(first..=last), columns).of(&series, first..=last);
                if let Some(splice) = Splice::new(&old, &new) {
                    page = apply(&page, &splice);
                }
                prop_assert_eq!(&page, &shown(&new));
                old = new;
            }
        }
    }

    #[test]
    fn a_line_that_moves_on_costs_a_few_points() {
        let line = |times: std::ops::Range<i64>| -> Vec<Point> {
            let value = |time| Some(TimedValue { time, value: 1.5 });
            times.map(value).collect()
        };
        let (old, new) = (line(0..1000), line(3..1002));
        let mut json = String::new();
        Splice::new(&old, &new).unwrap().write(&mut json);
        assert_eq!(json, "[[],3,997,[1000,1.5,1,1.5]]");
        assert_eq!(Splice::new(&old, &old), None);
        assert_eq!(number(1_234_567.0), "1234570.0");
    }
}
