//! `average`: the mean of the last readings.

use std::borrow::Cow;

use rivulet_core::component::Component;
use rivulet_core::description::StepDescription;
use rivulet_core::key_state::KeyState;
use rivulet_core::keyed::Keyed;
use rivulet_core::operator::Emitter;
use rivulet_core::reading::{InvalidReading, Reading};
use serde::Deserialize;

/// The mean of the last `window` readings of each sensor, sliding by one. It emits nothing before
/// the window is full.
///
/// Each sum is computed from all readings in the window, so no rounding error accumulates, however
/// long the stage runs. The sum is compensated twice (A. Klein, "A Generalized
/// Kahan-Babuška-Summation-Algorithm", Computing 76 (2006)): the error of the mean is at most about
/// ε·|mean| + n³·ε³·max|x| with ε = 2⁻⁵³, whatever the signs of the readings. It costs `window`
/// such additions for each reading, less than its JSON for windows of up to a few hundred.
///
/// ```
/// use rivulet_core::operator::collect;
/// use rivulet_operators::catalog;
/// use rivulet_pipeline::ComponentConfig;
///
/// let average = catalog::build(&ComponentConfig::parse("average = { window = 3 }")?)?;
/// assert_eq!(collect(&*average, &[1.0, 2.0, 6.0, 7.0]), [3.0, 5.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Average {
    window: Window,
}

/// How many readings a mean is taken of: 1 to 4096.
///
/// Each commit writes the whole window to the changelog, and its record must stay small.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("minimum" = 1, "maximum" = 4096))
)]
pub struct Window(usize);

/// The largest window, a power of two.
const LARGEST_WINDOW: f64 = 4096.0;

impl TryFrom<i64> for Window {
    type Error = String;

    fn try_from(window: i64) -> Result<Self, String> {
        match usize::try_from(window) {
            Ok(window @ 1..=4096) => Ok(Window(window)),
            _ => Err(format!(
                "a window cannot hold {window} readings; give a number from 1 to 4096"
            )),
        }
    }
}

impl Component for Average {
    const NAME: &'static str = "average";
    const ABOUT: &'static str = "moving average over the last readings of each sensor";
    const EXAMPLE: &'static str = "average = { window = 3 }";
}

/// The last readings, the newest at the end.
#[derive(Debug, Default)]
pub struct RecentReadings(Vec<f64>);

impl KeyState for RecentReadings {
    fn numbers(&self) -> Cow<'_, [f64]> {
        self.0.as_slice().into()
    }
}

impl Keyed for Average {
    type State = RecentReadings;

    fn process(
        &self,
        reading: Reading<'_>,
        RecentReadings(recent): &mut RecentReadings,
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading> {
        let Window(window) = self.window;
        if recent.len() < window {
            // Growing by doubling would leave up to half of the memory unused.
            recent.reserve_exact(window - recent.len());
        } else {
            recent.remove(0);
        }
        recent.push(reading.value);
        if recent.len() < window {
            return Ok(());
        }
        let value = mean(recent);
        out.emit(Reading { value, ..reading })
    }

    fn numbers(&self) -> usize {
        self.window.0
    }

    fn restore(&self, numbers: &[f64]) -> Result<RecentReadings, String> {
        let Window(window) = self.window;
        if numbers.len() > window {
            return Err(format!("it has {} readings of {window}", numbers.len()));
        }
        Ok(RecentReadings(numbers.to_vec()))
    }

    /// A shorter window keeps the last readings. A longer one must fill up first.
    fn migrate(&self, _: &StepDescription, numbers: &[f64]) -> Result<RecentReadings, String> {
        let older = numbers.len().saturating_sub(self.window.0);
        Ok(RecentReadings(numbers[older..].to_vec()))
    }

    fn describe(&self) -> String {
        format!("average(window={})", self.window.0)
    }
}

/// The mean of at least one value.
fn mean(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let total = sum(values.iter().copied());
    if total.is_finite() {
        return total / count;
    }
    // The sum of huge values overflows where their mean does not. A power of two scales exactly.
    let scaled = sum(values.iter().map(|value| value / LARGEST_WINDOW));
    scaled / count * LARGEST_WINDOW
}

/// The sum of values after Klein. It is not finite if it overflows on the way.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut total, mut lost, mut lost_again) = (0.0, 0.0, 0.0);
    for value in values {
        let error;
        (total, error) = add(total, value);
        let error_again;
        (lost, error_again) = add(lost, error);
        lost_again += error_again;
    }
    total + lost + lost_again
}

/// The rounded sum of two numbers, and what the rounding lost.
fn add(one: f64, other: f64) -> (f64, f64) {
    let sum = one + other;
    let lost = if one.abs() >= other.abs() {
        (one - sum) + other
    } else {
        (other - sum) + one
    };
    (sum, lost)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rivulet_core::operator::collect;
    use rivulet_pipeline::ComponentConfig;

    use super::*;

    fn run(window: usize, values: &[f64]) -> Vec<f64> {
        let step = format!("average = {{ window = {window} }}");
        let average = ComponentConfig::parse(&step)
            .unwrap()
            .settings::<Average>()
            .unwrap();
        collect(&average, values)
    }

    #[test]
    fn a_window_of_one_passes_everything_through() {
        assert_eq!(run(1, &[3.0, -1.0]), [3.0, -1.0]);
    }

    #[test]
    fn an_error_shows_the_range_of_the_window() {
        for window in ["0", "-3", "4097", "1000000"] {
            let step =
                ComponentConfig::parse(&format!("average = {{ window = {window} }}")).unwrap();
            assert!(format!("{:?}", step.settings::<Average>()).contains("from 1 to 4096"));
        }
    }

    #[test]
    fn a_huge_reading_has_no_effect_after_it_leaves_the_window() {
        let mut values = vec![1e16];
        values.extend([0.125; 5]);
        assert_eq!(run(3, &values).last(), Some(&0.125));
    }

    #[test]
    fn a_state_of_more_than_the_window_is_not_restored() {
        let average = ComponentConfig::parse("average = { window = 2 }")
            .unwrap()
            .settings::<Average>()
            .unwrap();
        let error = average.restore(&[100.0, 7.0, 1.0]).unwrap_err();
        assert_eq!(error, "it has 3 readings of 2");
        let restored = average.restore(&[7.0, 1.0]).unwrap();
        assert_eq!(*restored.numbers(), [7.0, 1.0]);
    }

    #[test]
    fn a_shorter_window_keeps_the_last_readings() {
        for (window, expected) in [(2, &[2.0, 3.0][..]), (5, &[1.0, 2.0, 3.0])] {
            let average =
                ComponentConfig::parse(&format!("average = {{ window = {window} }}")).unwrap();
            let average = average.settings::<Average>().unwrap();
            let before = StepDescription::parse("average(window=3)").unwrap();
            let migrated = average.migrate(&before, &[1.0, 2.0, 3.0]).unwrap();
            assert_eq!(*migrated.numbers(), *expected);
        }
    }

    #[test]
    fn the_mean_of_huge_readings_does_not_overflow() {
        assert_eq!(run(2, &[f64::MAX, f64::MAX]), [f64::MAX]);
    }

    #[test]
    fn a_sum_that_overflows_on_the_way_loses_no_digits() {
        let found = run(3, &[f64::MAX, 1.5e300, -f64::MAX]);
        assert_eq!(found, [0.5e300]);
        let found = run(4, &[f64::MAX, f64::MAX, -f64::MAX, f64::MAX]);
        assert_eq!(found, [f64::MAX / 2.0]);
    }

    #[test]
    fn readings_of_three_magnitudes_keep_their_digits() {
        let found = run(6, &[-1e16, f64::MAX, -f64::MAX, 0.0, -32.5, 1e16]);
        assert_eq!(found, [-32.5 / 6.0]);
    }

    #[test]
    fn small_readings_count_beside_huge_ones_in_any_order() {
        for values in [
            [1.0, 1e16, 1.0, -1e16],
            [1e16, 1.0, 1.0, -1e16],
            [1.0, 1.0, -1e16, 1e16],
            [-1e16, 1.0, 1e16, 1.0],
        ] {
            assert_eq!(run(4, &values), [0.5], "{values:?}");
        }
    }

    #[test]
    fn a_million_readings_do_not_drift() {
        let values: Vec<f64> = (0..1_000_000_u32).map(|n| f64::from(n % 7) * 0.1).collect();
        let found = run(7, &values);
        assert!(
            found.iter().all(|mean| (mean - 0.3).abs() < 1e-15),
            "the mean of a whole period is always the same"
        );
    }

    proptest! {
        #[test]
        fn it_is_the_plain_mean_of_each_window(
            values in proptest::collection::vec(-1e6..1e6f64, 0..200),
            window in 1..20usize,
        ) {
            let windows = values.windows(window);
            let expected: Vec<f64> =
                windows.map(|values| values.iter().sum::<f64>() / window as f64).collect();
            let found = run(window, &values);
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!((found - expected).abs() < 1e-6);
            }
        }
    }
}
