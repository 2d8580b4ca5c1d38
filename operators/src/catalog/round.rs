//! `round`: rounds to a number of decimal digits.

use serde::Deserialize;
use stream::catalog::Component;
use stream::operator::{Flow, KeyState, Operator};
use stream::reading::{InvalidReading, Reading};

/// Rounds to `digits` decimal digits (by default 0), and halves to even, so that the mean of a long
/// series is not shifted upwards.
///
/// The 64-bit float decides what a half is: 0.125 is one, 0.15 is slightly less than one. A value
/// that is too large to have such digits is unchanged.
///
/// ```
/// use operators::{Operator, catalog};
/// use stream::pipeline::ComponentConfig;
/// use stream::reading::Reading;
///
/// let round = catalog::build(&ComponentConfig::parse("round = { digits = 0 }")?)?;
/// let mut reading = Reading { sensor: "s".into(), seq: 0, time: 0, value: 68.5, unit: None };
/// round.apply(&mut reading, &mut [])?;
/// assert_eq!(reading.value, 68.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Round {
    #[serde(default)]
    digits: Digits,
}

/// How many digits after the decimal point are kept: 0 to 15.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "i64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("minimum" = 0, "maximum" = 15))
)]
pub struct Digits(u8);

impl TryFrom<i64> for Digits {
    type Error = String;

    fn try_from(digits: i64) -> Result<Self, String> {
        match u8::try_from(digits) {
            Ok(digits @ 0..=15) => Ok(Digits(digits)),
            _ => Err(format!(
                "{digits} digits cannot be kept; give a number from 0 to 15"
            )),
        }
    }
}

impl Component for Round {
    const NAME: &'static str = "round";
    const ABOUT: &'static str = "rounds to a number of decimal digits, halves to even";
    const EXAMPLE: &'static str = "round = { digits = 0 }";
}

impl Operator for Round {
    fn apply(&self, reading: &mut Reading<'_>, _: &mut [KeyState]) -> Result<Flow, InvalidReading> {
        let scale = 10_f64.powi(i32::from(self.digits.0));
        let scaled = reading.value * scale;
        // Every float from 2^52 on is whole.
        if scaled.abs() < (1_u64 << 52) as f64 {
            reading.value = scaled.round_ties_even() / scale;
        }
        Ok(Flow::Pass)
    }

    fn describe(&self) -> String {
        format!("round(digits={})", self.digits.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(value: f64, digits: u8) -> f64 {
        let mut reading = Reading {
            sensor: "s".into(),
            seq: 0,
            time: 0,
            value,
            unit: None,
        };
        Round {
            digits: Digits(digits),
        }
        .apply(&mut reading, &mut [])
        .unwrap();
        reading.value
    }

    #[test]
    fn halves_are_rounded_to_even() {
        assert_eq!(
            [0.5, 1.5, 2.5, -0.5, -1.5].map(|value| round(value, 0)),
            [0.0, 2.0, 2.0, -0.0, -2.0]
        );
        assert_eq!(round(0.125, 2), 0.12);
        assert_eq!(round(68.249, 1), 68.2);
    }

    #[test]
    fn a_value_without_such_digits_is_unchanged() {
        assert_eq!(round(f64::MAX, 15), f64::MAX);
        assert_eq!(round(9_007_199_254_740_993.0, 3), 9_007_199_254_740_993.0);
    }

    #[test]
    fn too_many_digits_are_an_error() {
        assert!(Digits::try_from(16).is_err() && Digits::try_from(-1).is_err());
    }
}
