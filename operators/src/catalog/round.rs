//! `round`: rounds to a number of decimal digits.

use rivulet_core::component::Component;
use rivulet_core::key_state::KeyState;
use rivulet_core::operator::{Emitter, Operator};
use rivulet_core::reading::{InvalidReading, Reading};
use serde::Deserialize;

/// Rounds to `digits` decimal digits (by default 0), and halves to even, so that the mean of a long
/// series is not shifted upwards.
///
/// The 64-bit float decides what a half is: 0.125 is one, 0.15 is slightly less than one. A value
/// that is too large to have such digits is unchanged.
///
/// ```
/// use rivulet_core::operator::collect;
/// use rivulet_operators::catalog;
/// use rivulet_pipeline::ComponentConfig;
///
/// let round = catalog::build(&ComponentConfig::parse("round = { digits = 0 }")?)?;
/// assert_eq!(collect(&*round, &[68.5, 69.5]), [68.0, 70.0]);
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
    derive(schemars::JsonSchema, serde::Serialize),
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
    fn process(
        &self,
        reading: Reading<'_>,
        _: &mut [Box<dyn KeyState>],
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading> {
        let scale = 10_f64.powi(i32::from(self.digits.0));
        let scaled = reading.value * scale;
        // Every float from 2^52 on is whole.
        let value = if scaled.abs() < (1_u64 << 52) as f64 {
            scaled.round_ties_even() / scale
        } else {
            reading.value
        };
        out.emit(Reading { value, ..reading })
    }

    fn describe(&self) -> String {
        format!("round(digits={})", self.digits.0)
    }
}

#[cfg(test)]
mod tests {
    use rivulet_core::operator::collect;

    use super::*;

    fn round(value: f64, digits: u8) -> f64 {
        let digits = Digits(digits);
        collect(&Round { digits }, &[value])[0]
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
