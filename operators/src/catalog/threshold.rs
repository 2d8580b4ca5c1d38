//! `threshold`: keeps the readings on one side of a limit.

use rivulet_core::component::Component;
use rivulet_core::key_state::KeyState;
use rivulet_core::operator::{Emitter, Operator};
use rivulet_core::reading::{InvalidReading, Reading};
use serde::Deserialize;

/// Keeps the readings above, below, at least or at most a limit and drops the others.
///
/// ```
/// use rivulet_core::operator::collect;
/// use rivulet_operators::catalog;
/// use rivulet_pipeline::ComponentConfig;
///
/// let threshold = catalog::build(&ComponentConfig::parse("threshold = { above = 50 }")?)?;
/// assert_eq!(collect(&*threshold, &[50.0, 50.5]), [50.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Threshold {
    /// Strictly greater.
    Above(Limit),
    /// Strictly less.
    Below(Limit),
    /// Greater or equal.
    AtLeast(Limit),
    /// Less or equal.
    AtMost(Limit),
}

/// A finite number to compare with.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Limit(f64);

impl TryFrom<f64> for Limit {
    type Error = String;

    fn try_from(limit: f64) -> Result<Self, String> {
        if limit.is_finite() {
            Ok(Limit(limit))
        } else {
            Err(format!("a threshold cannot be {limit}; give a number"))
        }
    }
}

impl Component for Threshold {
    const NAME: &'static str = "threshold";
    const ABOUT: &'static str = "keeps readings above, below, at-least or at-most a limit";
    const EXAMPLE: &'static str = "threshold = { above = 50 }";
}

impl Operator for Threshold {
    fn process(
        &self,
        reading: Reading<'_>,
        _: &mut [Box<dyn KeyState>],
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading> {
        let value = reading.value;
        let kept = match self {
            Threshold::Above(limit) => value > limit.0,
            Threshold::Below(limit) => value < limit.0,
            Threshold::AtLeast(limit) => value >= limit.0,
            Threshold::AtMost(limit) => value <= limit.0,
        };
        if kept { out.emit(reading) } else { Ok(()) }
    }

    fn describe(&self) -> String {
        let (side, limit) = match self {
            Threshold::Above(limit) => ("above", limit),
            Threshold::Below(limit) => ("below", limit),
            Threshold::AtLeast(limit) => ("at-least", limit),
            Threshold::AtMost(limit) => ("at-most", limit),
        };
        format!("threshold({side}={})", limit.0)
    }
}

#[cfg(test)]
mod tests {
    use rivulet_core::operator::collect;
    use rivulet_pipeline::ComponentConfig;

    use super::*;

    fn keeps(step: &str, value: f64) -> bool {
        let threshold = ComponentConfig::parse(step)
            .unwrap()
            .settings::<Threshold>()
            .unwrap();
        !collect(&threshold, &[value]).is_empty()
    }

    #[test]
    fn each_side_of_each_kind() {
        for (step, kept) in [
            ("threshold = { above = 50 }", [false, false, true]),
            ("threshold = { below = 50 }", [true, false, false]),
            ("threshold = { at-least = 50 }", [false, true, true]),
            ("threshold = { at-most = 50.0 }", [true, true, false]),
        ] {
            assert_eq!(
                [49.9, 50.0, 50.1].map(|value| keeps(step, value)),
                kept,
                "{step}"
            );
        }
    }

    #[test]
    fn no_side_or_two_sides_or_no_number_is_an_error() {
        for step in [
            "threshold = {}",
            "threshold = { above = 1, below = 2 }",
            "threshold = { above = nan }",
        ] {
            ComponentConfig::parse(step)
                .unwrap()
                .settings::<Threshold>()
                .expect_err(step);
        }
    }
}
