//! `median`: the median of the last readings of each sensor.

use std::borrow::Cow;

use rivulet_core::component::Component;
use rivulet_core::key_state::KeyState;
use rivulet_core::keyed::Keyed;
use rivulet_core::operator::Emitter;
use rivulet_core::reading::{InvalidReading, Reading};
use schemars::JsonSchema;
use serde::Deserialize;

/// The median of the last `window` readings of each sensor. It emits nothing before the window is
/// full.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Median {
    /// How many readings a median is taken of; an even number takes the lower one in the middle.
    #[schemars(extend("minimum" = 1))]
    window: std::num::NonZeroU8,
}

impl Component for Median {
    const NAME: &'static str = "median";
    const ABOUT: &'static str = "median of the last readings of each sensor";
    const EXAMPLE: &'static str = "median = { window = 3 }";
}

/// The last readings of a sensor, the newest at the end.
#[derive(Debug, Default)]
pub struct LastReadings(Vec<f64>);

impl KeyState for LastReadings {
    fn numbers(&self) -> Cow<'_, [f64]> {
        self.0.as_slice().into()
    }
}

impl Keyed for Median {
    type State = LastReadings;

    fn process(
        &self,
        reading: Reading<'_>,
        LastReadings(recent): &mut LastReadings,
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading> {
        let window = self.numbers();
        recent.push(reading.value);
        recent.drain(..recent.len().saturating_sub(window));
        if recent.len() < window {
            return Ok(());
        }
        let mut sorted = recent.clone();
        sorted.sort_by(f64::total_cmp);
        let value = sorted[(window - 1) / 2];
        out.emit(Reading { value, ..reading })
    }

    fn numbers(&self) -> usize {
        self.window.get().into()
    }

    fn restore(&self, numbers: &[f64]) -> Result<LastReadings, String> {
        Ok(LastReadings(numbers.to_vec()))
    }

    fn describe(&self) -> String {
        format!("median(window={})", self.window)
    }
}

#[cfg(test)]
mod tests {
    use rivulet_core::operator::collect;

    use super::*;

    #[test]
    fn one_outlier_does_not_show() {
        let median = Median {
            window: 3.try_into().unwrap(),
        };
        let found = collect(&median, &[20.0, 21.0, 90.0, 22.0, 20.5]);
        assert_eq!(found, [21.0, 22.0, 22.0]);
    }
}
