//! `convert`: converts between units of temperature.

use serde::Deserialize;
use stream::catalog::Component;
use stream::operator::{Flow, KeyState, Operator};
use stream::pipeline::ComponentConfig;
use stream::reading::{InvalidReading, Reading, Unit};

/// Converts between Celsius, Fahrenheit and kelvin: F = C·9/5 + 32, K = C + 273.15.
///
/// A reading in another unit than `from` is invalid. A reading without a unit counts as in `from`.
///
/// ```
/// use operators::{Operator, catalog};
/// use stream::pipeline::ComponentConfig;
/// use stream::reading::{Reading, Unit};
///
/// let step = "convert = { from = \"celsius\", to = \"fahrenheit\" }";
/// let convert = catalog::build(&ComponentConfig::parse(step)?)?;
/// let mut reading =
///     Reading { sensor: "s".into(), seq: 0, time: 0, value: 7.0, unit: Some(Unit::Celsius) };
/// convert.apply(&mut reading, &mut [])?;
/// assert_eq!((reading.value, reading.unit), (44.6, Some(Unit::Fahrenheit)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Convert {
    /// The unit that readings come in.
    from: Unit,
    /// The unit that they are converted to.
    to: Unit,
}

impl Component for Convert {
    const NAME: &'static str = "convert";
    const ABOUT: &'static str = "converts between celsius, fahrenheit and kelvin";
    const EXAMPLE: &'static str = "convert = { from = \"celsius\", to = \"fahrenheit\" }";
}

impl Operator for Convert {
    fn apply(&self, reading: &mut Reading<'_>, _: &mut [KeyState]) -> Result<Flow, InvalidReading> {
        if let Some(unit) = reading.unit
            && unit != self.from
        {
            return Err(InvalidReading::new(
                "wrong-unit",
                format!("the reading is in {unit}, not in {}", self.from),
            ));
        }
        reading.value = convert(reading.value, self.from, self.to);
        reading.unit = Some(self.to);
        Ok(Flow::Pass)
    }

    fn describe(&self) -> String {
        format!("convert(from={}, to={})", self.from, self.to)
    }

    fn migrate(&self, before: &ComponentConfig, _: &mut [KeyState]) -> Result<(), String> {
        let Convert { to, .. } = before
            .settings()
            .map_err(|diagnostic| diagnostic.to_string())?;
        if to == self.to {
            return Ok(());
        }
        Err(format!(
            "the state is in {to}, and readings would come in {}",
            self.to
        ))
    }
}

fn convert(value: f64, from: Unit, to: Unit) -> f64 {
    use Unit::{Celsius, Fahrenheit, Kelvin};
    let to_fahrenheit = |celsius: f64| celsius * 9.0 / 5.0 + 32.0;
    let from_fahrenheit = |fahrenheit: f64| (fahrenheit - 32.0) * 5.0 / 9.0;
    match (from, to) {
        (Celsius, Fahrenheit) => to_fahrenheit(value),
        (Fahrenheit, Celsius) => from_fahrenheit(value),
        (Celsius, Kelvin) => value + 273.15,
        (Kelvin, Celsius) => value - 273.15,
        (Fahrenheit, Kelvin) => from_fahrenheit(value) + 273.15,
        (Kelvin, Fahrenheit) => to_fahrenheit(value - 273.15),
        (Celsius, Celsius) | (Fahrenheit, Fahrenheit) | (Kelvin, Kelvin) => value,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNITS: [Unit; 3] = [Unit::Celsius, Unit::Fahrenheit, Unit::Kelvin];

    /// Freezing and boiling water in each unit fix every conversion, which is linear.
    #[test]
    fn water_freezes_and_boils_in_every_unit() {
        let water = [(0.0, 100.0), (32.0, 212.0), (273.15, 373.15)];
        for (from, &(cold, hot)) in UNITS.iter().zip(&water) {
            for (to, &(freezes, boils)) in UNITS.iter().zip(&water) {
                assert!(
                    (convert(cold, *from, *to) - freezes).abs() < 1e-9,
                    "{from} to {to}"
                );
                assert!(
                    (convert(hot, *from, *to) - boils).abs() < 1e-9,
                    "{from} to {to}"
                );
            }
        }
    }

    #[test]
    fn a_reading_in_another_unit_is_invalid() {
        let convert = Convert {
            from: Unit::Celsius,
            to: Unit::Kelvin,
        };
        let mut reading = Reading {
            sensor: "s".into(),
            seq: 0,
            time: 0,
            value: 1.0,
            unit: Some(Unit::Kelvin),
        };
        let invalid = convert.apply(&mut reading, &mut []).unwrap_err();
        assert_eq!(
            invalid.to_string(),
            "wrong-unit: the reading is in kelvin, not in celsius"
        );
        reading.unit = None;
        convert.apply(&mut reading, &mut []).unwrap();
        assert_eq!(reading.unit, Some(Unit::Kelvin));
    }

    proptest! {
        #[test]
        fn a_conversion_can_be_reversed(
            value in -1e6..1e6f64,
            from in 0..3usize,
            to in 0..3usize,
        ) {
            let back = convert(convert(value, UNITS[from], UNITS[to]), UNITS[to], UNITS[from]);
            prop_assert!((back - value).abs() <= 1e-9 * value.abs().max(1.0));
        }
    }
}
