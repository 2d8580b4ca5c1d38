//! How times are written.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;
use rivulet_core::reading::InvalidReading;
use serde::Deserialize;

use super::field::{Field, invalid};

/// How a time is written: `milliseconds`, `seconds` or `microseconds` since the epoch, `rfc3339`,
/// or a pattern such as `%Y-%m-%d %H:%M:%S`. A pattern without an offset is read as UTC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(with = "String")
)]
pub enum TimeFormat {
    /// Since the epoch.
    #[default]
    Milliseconds,
    /// Since the epoch, also fractions.
    Seconds,
    /// Since the epoch.
    Microseconds,
    /// Text such as `2026-11-29T12:00:00.25Z`.
    Rfc3339,
    /// Text of this pattern of `strftime`.
    Pattern(String),
}

impl TryFrom<String> for TimeFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(match text.as_str() {
            "milliseconds" => TimeFormat::Milliseconds,
            "seconds" => TimeFormat::Seconds,
            "microseconds" => TimeFormat::Microseconds,
            "rfc3339" => TimeFormat::Rfc3339,
            _ => {
                check_pattern(&text)?;
                TimeFormat::Pattern(text)
            }
        })
    }
}

/// Whether a time that is written by a pattern can be read by it.
fn check_pattern(pattern: &str) -> Result<(), String> {
    let known = "write milliseconds, seconds, microseconds, rfc3339, or a pattern such as \
                 %Y-%m-%d %H:%M:%S";
    if !pattern.contains('%') {
        return Err(format!("`{pattern}` is not a time format; {known}"));
    }
    let cannot = |why: String| format!("`{pattern}` is no pattern for times: {why}; {known}");
    // A day that is not also a month, in the evening.
    let written = write_pattern(pattern, 1_700_000_000_000).map_err(cannot)?;
    read_pattern(pattern, &written).map_err(cannot)?;
    Ok(())
}

impl TimeFormat {
    /// The time in a field, in milliseconds since the epoch.
    pub(super) fn read(&self, field: &Field<'_>) -> Result<i64, InvalidReading> {
        match (self, field) {
            // The schema says what it is.
            (_, Field::Time(time)) => Ok(*time),
            (TimeFormat::Rfc3339 | TimeFormat::Pattern(_), Field::Text(text)) => self.text(text),
            (TimeFormat::Rfc3339 | TimeFormat::Pattern(_), other) => {
                Err(invalid("not-a-time", "a time as text", other))
            }
            (_, other) => self
                .number(other)
                .ok_or_else(|| invalid("not-a-time", "a time as a number", other)),
        }
    }

    fn text(&self, text: &str) -> Result<i64, InvalidReading> {
        let time = match self {
            TimeFormat::Pattern(pattern) => read_pattern(pattern, text),
            _ => text
                .parse::<Timestamp>()
                .map(milliseconds)
                .map_err(|error| error.to_string()),
        };
        time.map_err(|why| InvalidReading::new("not-a-time", format!("{why}, in {text:?}")))
    }

    fn number(&self, field: &Field<'_>) -> Option<i64> {
        let (times, by) = match self {
            TimeFormat::Seconds => (1000, 1),
            TimeFormat::Microseconds => (1, 1000),
            _ => (1, 1),
        };
        let whole = match field {
            Field::Integer(number) => Some(*number),
            Field::Text(text) => text.trim_ascii().parse().ok(),
            _ => None,
        };
        if let Some(whole) = whole {
            return i64::try_from(i128::checked_mul(whole, times)?.div_euclid(by)).ok();
        }
        let number = field.number().ok()?;
        let time = number * times as f64 / by as f64;
        // Larger numbers are not whole milliseconds any more.
        (time.round().abs() <= 9e15).then(|| nearest(time))
    }

    /// Writes a time, as a number or as text.
    pub(super) fn write(&self, time: i64) -> Result<Field<'static>, InvalidReading> {
        let failed = |why: String| InvalidReading::new("not-a-time", why);
        Ok(match self {
            TimeFormat::Milliseconds => Field::Integer(time.into()),
            TimeFormat::Microseconds => Field::Integer(i128::from(time) * 1000),
            TimeFormat::Seconds if time % 1000 == 0 => Field::Integer((time / 1000).into()),
            TimeFormat::Seconds => Field::Float(time as f64 / 1000.0),
            TimeFormat::Rfc3339 => {
                let time = Timestamp::from_millisecond(time);
                Field::Text(
                    time.map_err(|error| failed(error.to_string()))?
                        .to_string()
                        .into(),
                )
            }
            TimeFormat::Pattern(pattern) => {
                Field::Text(write_pattern(pattern, time).map_err(failed)?.into())
            }
        })
    }
}

/// The nearest whole number that there is.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a number that is too large becomes the largest"
)]
pub(super) fn nearest(number: f64) -> i64 {
    number.round() as i64
}

/// The time in milliseconds, at or before it.
fn milliseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).expect("jiff's years end at 9999")
}

fn read_pattern(pattern: &str, text: &str) -> Result<i64, String> {
    let read = |time: BrokenDownTime| {
        // Without an offset it is UTC.
        time.to_timestamp().or_else(|_| {
            let zoned = time.to_datetime()?.to_zoned(TimeZone::UTC)?;
            Ok(zoned.timestamp())
        })
    };
    let time = strtime::parse(pattern, text).and_then(read);
    time.map(milliseconds).map_err(|error| error.to_string())
}

fn write_pattern(pattern: &str, time: i64) -> Result<String, String> {
    let time = Timestamp::from_millisecond(time).map_err(|error| error.to_string())?;
    let zoned = time.to_zoned(TimeZone::UTC);
    let mut text = String::new();
    write!(
        text,
        "{}",
        BrokenDownTime::from(&zoned)
            .to_string(pattern)
            .map_err(|error| error.to_string())?
    )
    .map_err(|error| error.to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> Result<TimeFormat, String> {
        text.to_owned().try_into()
    }

    fn read(name: &str, field: &Field<'_>) -> Option<i64> {
        format(name).unwrap().read(field).ok()
    }

    fn text(text: &str) -> Field<'_> {
        Field::Text(text.into())
    }

    #[test]
    fn times_are_read_in_each_format() {
        let time = Some(1_700_000_000_123);
        assert_eq!(
            read("milliseconds", &Field::Integer(1_700_000_000_123)),
            time
        );
        assert_eq!(read("milliseconds", &text(" 1700000000123 ")), time);
        assert_eq!(read("seconds", &Field::Float(1_700_000_000.123)), time);
        assert_eq!(read("seconds", &text("1700000000.123")), time);
        assert_eq!(
            read("seconds", &Field::Integer(1_700_000_000)),
            Some(1_700_000_000_000)
        );
        assert_eq!(
            read("microseconds", &Field::Integer(1_700_000_000_123_999)),
            time
        );
        assert_eq!(read("microseconds", &Field::Integer(-1)), Some(-1));
        assert_eq!(read("rfc3339", &text("2023-11-14T22:13:20.123Z")), time);
        assert_eq!(
            read("rfc3339", &text("2023-11-14T23:13:20.123456+01:00")),
            time
        );
        assert_eq!(
            read("%Y-%m-%dT%H:%M:%S%.f", &text("2023-11-14T22:13:20.123")),
            time
        );
        assert_eq!(
            read("%d%b%y:%H:%M:%S", &text("14NOV23:22:13:20")),
            Some(1_700_000_000_000)
        );
        assert_eq!(
            read("%Y-%m-%d", &text("2023-11-14")),
            Some(1_699_920_000_000)
        );
        assert_eq!(read("%s", &text("1700000000")), Some(1_700_000_000_000));
    }

    #[test]
    fn what_is_no_time_is_invalid() {
        for (name, field) in [
            ("milliseconds", text("2023-11-14T22:13:20Z")),
            ("milliseconds", Field::Integer(i128::MAX)),
            ("seconds", Field::Float(1e300)),
            ("seconds", Field::Bool(true)),
            ("rfc3339", Field::Integer(1_700_000_000)),
            ("rfc3339", text("2023-11-14T22:13:20")),
            ("rfc3339", text("yesterday")),
            ("%Y-%m-%d", text("2023-13-14")),
        ] {
            assert_eq!(read(name, &field), None, "{name} {field:?}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_is_an_error() {
        for pattern in ["", "milli", "%Q%Q%Q!", "%H:%M", "%Y", "%"] {
            let error = format(pattern).unwrap_err();
            assert!(error.contains("rfc3339"), "{pattern}: {error}");
        }
    }

    #[test]
    fn a_time_that_is_written_reads_back_the_same() {
        for name in ["milliseconds", "seconds", "microseconds", "rfc3339"] {
            for time in [0, -1, 1_700_000_000_123, 253_402_207_200_000] {
                let written = format(name).unwrap().write(time).unwrap();
                assert_eq!(read(name, &written), Some(time), "{name}");
            }
        }
        let pattern = format("%Y-%m-%d %H:%M:%S").unwrap();
        assert_eq!(
            pattern.write(1_700_000_000_123).unwrap(),
            text("2023-11-14 22:13:20")
        );
    }
}
