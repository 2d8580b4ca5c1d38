//! `ewma`: the exponentially weighted moving average.

use std::borrow::Cow;

use rivulet_core::component::Component;
use rivulet_core::key_state::KeyState;
use rivulet_core::keyed::Keyed;
use rivulet_core::operator::Emitter;
use rivulet_core::reading::{InvalidReading, Reading};
use serde::Deserialize;

/// Smooths the readings of each sensor: e = α·x + (1−α)·e, with α in (0, 1].
///
/// The first reading of a sensor only seeds e. It is not emitted unless `emit-seed` is set.
///
/// Each e is a convex combination of the readings so far, so it stays in their range. Rounding
/// errors decay with the factor 1−α, as old readings do: the error stays below about ε·max|x|/α
/// with ε = 2⁻⁵³.
///
/// Formula: S. W. Roberts, "Control Chart Tests Based on Geometric Moving Averages", Technometrics
/// 1 (1959).
///
/// ```
/// use rivulet_core::operator::collect;
/// use rivulet_operators::catalog;
/// use rivulet_pipeline::ComponentConfig;
///
/// let ewma = catalog::build(&ComponentConfig::parse("ewma = { alpha = 0.5 }")?)?;
/// assert_eq!(collect(&*ewma, &[20.0, 30.0, 20.0]), [25.0, 22.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ewma {
    alpha: Alpha,
    /// Whether the first reading of a sensor, which starts its average, is passed on as well.
    #[serde(default)]
    emit_seed: bool,
}

/// The weight of the newest reading, in (0, 1].
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))
)]
pub struct Alpha(f64);

impl TryFrom<f64> for Alpha {
    type Error = String;

    fn try_from(alpha: f64) -> Result<Self, String> {
        if alpha > 0.0 && alpha <= 1.0 {
            Ok(Alpha(alpha))
        } else {
            Err(format!(
                "alpha cannot be {alpha}; it must be above 0 (old readings last long) and at most \
                 1 (no smoothing)"
            ))
        }
    }
}

impl Component for Ewma {
    const NAME: &'static str = "ewma";
    const ABOUT: &'static str = "exponentially weighted moving average of each sensor";
    const EXAMPLE: &'static str = "ewma = { alpha = 0.5 }";
}

/// The e of the last reading; `None` before the first.
#[derive(Debug, Default)]
pub struct WeightedAverage(Option<f64>);

impl KeyState for WeightedAverage {
    fn numbers(&self) -> Cow<'_, [f64]> {
        self.0.as_slice().into()
    }
}

impl Keyed for Ewma {
    type State = WeightedAverage;

    fn process(
        &self,
        reading: Reading<'_>,
        WeightedAverage(average): &mut WeightedAverage,
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading> {
        let Alpha(alpha) = self.alpha;
        let Some(previous) = *average else {
            *average = Some(reading.value);
            return if self.emit_seed {
                out.emit(reading)
            } else {
                Ok(())
            };
        };
        let value = alpha * reading.value + (1.0 - alpha) * previous;
        *average = Some(value);
        out.emit(Reading { value, ..reading })
    }

    fn numbers(&self) -> usize {
        1
    }

    fn restore(&self, numbers: &[f64]) -> Result<WeightedAverage, String> {
        match numbers {
            [] => Ok(WeightedAverage(None)),
            [average] => Ok(WeightedAverage(Some(*average))),
            more => Err(format!("an average is one number, not {}", more.len())),
        }
    }

    fn describe(&self) -> String {
        let seed = if self.emit_seed {
            ", emit-seed=true"
        } else {
            ""
        };
        format!("ewma(alpha={}{seed})", self.alpha.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rivulet_core::operator::collect;
    use rivulet_pipeline::ComponentConfig;

    use super::*;

    fn run(step: &str, values: &[f64]) -> Vec<f64> {
        let ewma = ComponentConfig::parse(step)
            .unwrap()
            .settings::<Ewma>()
            .unwrap();
        collect(&ewma, values)
    }

    #[test]
    fn the_first_reading_is_emitted_only_with_emit_seed() {
        assert_eq!(run("ewma = { alpha = 0.5 }", &[1.0]), [] as [f64; 0]);
        assert_eq!(
            run("ewma = { alpha = 0.5, emit-seed = true }", &[1.0, 3.0]),
            [1.0, 2.0]
        );
    }

    #[test]
    fn alpha_one_passes_everything_through() {
        assert_eq!(run("ewma = { alpha = 1 }", &[1.0, 3.0, -7.0]), [3.0, -7.0]);
    }

    #[test]
    fn an_error_shows_the_range_of_alpha() {
        for alpha in ["0", "0.0", "1.5", "-0.1", "nan", "inf"] {
            let diagnostic = ComponentConfig::parse(&format!("ewma = {{ alpha = {alpha} }}"))
                .unwrap()
                .settings::<Ewma>();
            assert!(
                format!("{diagnostic:?}").contains("above 0"),
                "{alpha}: {diagnostic:?}"
            );
        }
    }

    proptest! {
        /// The sum written out: eₙ = (1−α)ⁿ·x₀ + Σ α·(1−α)ⁿ⁻ⁱ·xᵢ.
        #[test]
        fn it_is_the_weighted_sum_of_all_readings(
            values in proptest::collection::vec(-1e3..1e3f64, 2..200),
            alpha in 0.01..1.0f64,
        ) {
            let found = run(&format!("ewma = {{ alpha = {alpha:?} }}"), &values);
            for (n, found) in (1..).zip(&found) {
                let age = |i: usize| i32::try_from(n - i).unwrap();
                let mut expected = (1.0 - alpha).powi(age(0)) * values[0];
                for (i, value) in values.iter().enumerate().take(n + 1).skip(1) {
                    expected += alpha * (1.0 - alpha).powi(age(i)) * value;
                }
                prop_assert!((found - expected).abs() <= 1e-9 * 1e3, "{found} is not {expected}");
            }
        }
    }
}
