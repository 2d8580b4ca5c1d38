//! The temperatures that an experiment is to keep: [`TemperatureRange`].

use serde::{Deserialize, Serialize};

/// How near to a threshold no average is sent. Otherwise the rounding of a consumer that averages
/// could change a verdict.
pub const EDGE: f32 = 0.01;
/// How far from the threshold such an average is sent instead.
const CLEAR_OF_EDGE: f32 = 0.011;

/// The temperatures that an experiment is to keep, in the unit of its sensors.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Thresholds")]
pub struct TemperatureRange {
    lower: f32,
    upper: f32,
}

/// A range as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Thresholds {
    lower_threshold: f32,
    upper_threshold: f32,
}

impl TryFrom<Thresholds> for TemperatureRange {
    type Error = String;

    fn try_from(
        Thresholds {
            lower_threshold,
            upper_threshold,
        }: Thresholds,
    ) -> Result<Self, String> {
        TemperatureRange::new(lower_threshold, upper_threshold)
    }
}

impl TemperatureRange {
    /// The range between two thresholds, both included.
    ///
    /// # Errors
    /// If the lower threshold is above the upper one, or one is not a number.
    pub fn new(lower: f32, upper: f32) -> Result<Self, String> {
        if lower.is_finite() && upper.is_finite() && lower <= upper {
            return Ok(TemperatureRange { lower, upper });
        }
        Err(format!(
            "the lower threshold {lower} is above the upper threshold {upper}; exchange them"
        ))
    }

    /// The lower threshold.
    #[must_use]
    pub fn lower(self) -> f32 {
        self.lower
    }

    /// The upper threshold.
    #[must_use]
    pub fn upper(self) -> f32 {
        self.upper
    }

    /// Whether a temperature is out of range. The thresholds themselves are in range.
    #[must_use]
    pub fn is_out(self, temperature: f32) -> bool {
        temperature > self.upper || temperature < self.lower
    }

    /// The upper threshold minus the lower one.
    #[must_use]
    pub fn width(self) -> f32 {
        self.upper - self.lower
    }

    /// The temperature in the middle.
    #[must_use]
    pub fn middle(self) -> f32 {
        self.lower + self.width() / 2.0
    }

    /// The temperature, or one that is clear of a threshold if it is nearly on it.
    #[must_use]
    pub fn clear_of_edges(self, temperature: f32) -> f32 {
        if (temperature - self.upper).abs() <= EDGE {
            self.upper - CLEAR_OF_EDGE
        } else if (temperature - self.lower).abs() <= EDGE {
            self.lower + CLEAR_OF_EDGE
        } else {
            temperature
        }
    }
}

/// What a consumer has to tell its researcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum RangeEvent {
    /// The temperature has come into the range. Only while it stabilizes.
    Stabilized,
    /// The temperature has left the range. Only while the experiment is carried out.
    OutOfRange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_average_is_nearly_on_a_threshold() {
        let range = TemperatureRange::new(10.0, 20.0).unwrap();
        for (temperature, sent) in [
            (10.0, 10.011),
            (9.991, 10.011),
            (10.009, 10.011),
            (20.0, 19.989),
            (20.009, 19.989),
            (9.98, 9.98),
            (20.02, 20.02),
            (15.0, 15.0),
        ] {
            assert_eq!(range.clear_of_edges(temperature), sent, "{temperature}");
        }
        // Both edges are the upper one.
        let point = TemperatureRange::new(10.0, 10.0).unwrap();
        assert_eq!(point.clear_of_edges(10.0), 9.989);
    }

    #[test]
    fn a_range_whose_thresholds_are_exchanged_is_rejected() {
        for (lower, upper) in [(2.0, 1.0), (f32::NAN, 1.0), (1.0, f32::INFINITY)] {
            assert!(TemperatureRange::new(lower, upper).is_err());
        }
        assert!(!TemperatureRange::new(1.0, 1.0).unwrap().is_out(1.0));
    }
}
