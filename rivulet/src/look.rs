//! The colours of everything that shows readings: one series has the same colour everywhere.
//!
//! They are the colours for the colour-blind of M. Okabe and K. Ito ("Color Universal Design"),
//! darker on light paper, so that thin lines have a contrast of at least 3 : 1 on both.

use rivulet_sinks::catalog::compare::Side;

use crate::groups::GroupLag;

/// The colours of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesColours {
    /// On light paper, as in CSS.
    pub light: &'static str,
    /// On dark paper, as in CSS.
    pub dark: &'static str,
    /// At a terminal with 256 colours, on light and on dark ones.
    pub terminal: u8,
}

/// The input of both averages: it stays in the background.
pub const INPUT: SeriesColours = colours("#59636e", "#9ea7b3", 245);
/// The exponentially weighted moving average.
pub const EWMA: SeriesColours = colours("#0072b2", "#56b4e9", 32);
/// The moving average.
pub const AVERAGE: SeriesColours = colours("#c44e00", "#ff8c42", 208);

/// Series that are not compared, in this order.
pub const OTHERS: [SeriesColours; 8] = [
    EWMA,
    AVERAGE,
    colours("#00805d", "#2ec99b", 36),
    colours("#a8437f", "#e59bc6", 169),
    colours("#8a6d00", "#e6c34a", 178),
    colours("#6a4fb3", "#b39dff", 98),
    INPUT,
    colours("#7a4a21", "#c9956b", 137),
];

const fn colours(light: &'static str, dark: &'static str, terminal: u8) -> SeriesColours {
    SeriesColours {
        light,
        dark,
        terminal,
    }
}

/// The colours of a side of the comparison.
#[must_use]
pub fn of_side(side: Side) -> SeriesColours {
    match side {
        Side::Ewma => EWMA,
        Side::Average => AVERAGE,
        Side::Input => INPUT,
    }
}

/// What is drawn above what: the input in the background, and above it the moving average and then
/// the EWMA, which stays closer to the input.
#[must_use]
pub fn layer(side: Option<Side>) -> u8 {
    match side {
        Some(Side::Input) => 0,
        Some(Side::Average) => 1,
        Some(Side::Ewma) => 2,
        None => 3,
    }
}

/// The name of a side of the comparison, as people see it everywhere.
#[must_use]
pub fn name_of_side(side: Side) -> &'static str {
    match side {
        Side::Ewma => "EWMA",
        Side::Average => "moving average",
        Side::Input => "input",
    }
}

/// The name of a side of the comparison in style sheets and scripts.
#[must_use]
pub fn class_of_side(side: Side) -> &'static str {
    match side {
        Side::Ewma => "ewma",
        Side::Average => "average",
        Side::Input => "input",
    }
}

/// A number with thin spaces between groups of three digits, and so many digits after the point.
#[must_use]
pub fn number(number: f64, digits: usize) -> String {
    if !number.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{:.digits$}", number.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push('\u{2009}');
        }
        grouped.push(digit);
    }
    // A number that rounds to zero has no sign.
    let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let sign = if number < 0.0 && !is_zero { "−" } else { "" };
    format!("{sign}{grouped}{rest}")
}

/// A consumer lag in records, with `~` if it may be less. No more than nothing is nothing.
#[must_use]
pub fn lag(lag: GroupLag) -> String {
    let about = if matches!(lag, GroupLag::AtMost(1..)) {
        "~"
    } else {
        ""
    };
    format!("{about}{}", number(lag.most() as f64, 0))
}

/// A time in seconds with its unit and three digits: `3.20 ms`, `61.5 ms`, `1.25 s`, `2.0 min`.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    match seconds {
        under if under < 0.001 => "< 1 ms".to_owned(),
        under if under < 0.01 => format!("{:.1} ms", under * 1e3),
        under if under < 1.0 => format!("{:.0} ms", under * 1e3),
        under if under < 100.0 => format!("{under:.1} s"),
        long => format!("{:.0} min", long / 60.0),
    }
}

/// A size in bytes with its unit: `10.6 MB`.
#[must_use]
pub fn megabytes(bytes: f64) -> String {
    format!("{} MB", number(bytes / 1e6, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_thin_spaces_and_no_sign_at_zero() {
        assert_eq!(number(1_234_567.891, 2), "1\u{2009}234\u{2009}567.89");
        assert_eq!(number(-999.0, 0), "−999");
        assert_eq!(number(-0.004, 2), "0.00");
        assert_eq!(number(f64::NAN, 2), "–");
        assert_eq!(megabytes(10_640_000.0), "10.6 MB");
        let lags = [
            GroupLag::Records(5),
            GroupLag::AtMost(5),
            GroupLag::AtMost(0),
        ];
        assert_eq!(lags.map(lag), ["5", "~5", "0"]);
    }

    #[test]
    fn times_have_a_unit_that_fits() {
        let shown = [0.0002, 0.0032, 0.0615, 1.25, 120.0].map(seconds);
        assert_eq!(shown, ["< 1 ms", "3.2 ms", "62 ms", "1.2 s", "2 min"]);
    }

    /// The contrast of two colours (WCAG 2.2, relative luminance).
    fn contrast(one: &str, other: &str) -> f64 {
        let luminance = |colour: &str| {
            let part = |at: usize| {
                let part = u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
                let part = f64::from(part) / 255.0;
                if part <= 0.040_45 {
                    part / 12.92
                } else {
                    ((part + 0.055) / 1.055).powf(2.4)
                }
            };
            0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
        };
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn every_line_stands_out_from_its_paper() {
        for colours in OTHERS {
            assert!(contrast(colours.light, "#ffffff") >= 3.0, "{colours:?}");
            assert!(contrast(colours.dark, "#14171b") >= 3.0, "{colours:?}");
        }
    }
}
