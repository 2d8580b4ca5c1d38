//! `convert`: converts between units of temperature.

use std::fmt;

use rivulet_core::component::Component;
use rivulet_core::description::StepDescription;
use rivulet_core::key_state::KeyState;
use rivulet_core::operator::{Emitter, Operator};
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::unit::Unit;
use serde::Deserialize;

/// Converts between Celsius, Fahrenheit and kelvin: F = C·9/5 + 32, K = C + 273.15.
///
/// A reading in another unit than `from` is invalid. A reading without a unit counts as in `from`.
///
/// ```
/// use rivulet_core::operator::emitted;
/// use rivulet_core::reading::Reading;
/// use rivulet_core::unit::Unit;
/// use rivulet_operators::catalog;
/// use rivulet_pipeline::ComponentConfig;
///
/// let step = "convert = { from = \"celsius\", to = \"fahrenheit\" }";
/// let convert = catalog::build(&ComponentConfig::parse(step)?)?;
/// let reading =
///     Reading { sensor: "s".into(), seq: 0, time: 0, value: 7.0, unit: Some(Unit::Celsius) };
/// let converted = &emitted(&*convert, reading, &mut [])?[0];
/// assert_eq!((converted.value, converted.unit), (44.6, Some(Unit::Fahrenheit)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Convert {
    /// The unit that readings come in.
    from: Temperature,
    /// The unit that they are converted to.
    to: Temperature,
}

/// A unit that can be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Temperature {
    /// °C
    Celsius,
    /// °F
    Fahrenheit,
    /// K
    Kelvin,
}

impl From<Temperature> for Unit {
    fn from(temperature: Temperature) -> Self {
        match temperature {
            Temperature::Celsius => Unit::Celsius,
            Temperature::Fahrenheit => Unit::Fahrenheit,
            Temperature::Kelvin => Unit::Kelvin,
        }
    }
}

impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Unit::from(*self).fmt(f)
    }
}

impl Component for Convert {
    const NAME: &'static str = "convert";
    const ABOUT: &'static str = "converts between celsius, fahrenheit and kelvin";
    const EXAMPLE: &'static str = "convert = { from = \"celsius\", to = \"fahrenheit\" }";
}

impl Operator for Convert {
    fn process(
        &self,
        reading: Reading<'_>,
        _: &mut [Box<dyn KeyState>],
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading> {
        if let Some(unit) = reading.unit
            && unit != self.from.into()
        {
            return Err(InvalidReading::new(
                "wrong-unit",
                format!("the reading is in {unit}, not in {}", self.from),
            ));
        }
        out.emit(Reading {
            value: convert(reading.value, self.from, self.to),
            unit: Some(self.to.into()),
            ..reading
        })
    }

    fn describe(&self) -> String {
        format!("convert(from={}, to={})", self.from, self.to)
    }

    fn migrate(
        &self,
        before: &StepDescription,
        _: &[Vec<f64>],
    ) -> Result<Vec<Box<dyn KeyState>>, String> {
        let Convert { to, .. } = before.settings()?;
        if to == self.to {
            return Ok(self.new_states());
        }
        Err(format!(
            "the state is in {to}, and readings would come in {}",
            self.to
        ))
    }
}

fn convert(value: f64, from: Temperature, to: Temperature) -> f64 {
    use Temperature::{Celsius, Fahrenheit, Kelvin};
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
    use rivulet_core::operator::emitted;
    use rivulet_pipeline::ComponentConfig;

    use super::*;

    const UNITS: [Temperature; 3] = [
        Temperature::Celsius,
        Temperature::Fahrenheit,
        Temperature::Kelvin,
    ];

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
            from: Temperature::Celsius,
            to: Temperature::Kelvin,
        };
        let mut reading = Reading {
            sensor: "s".into(),
            seq: 0,
            time: 0,
            value: 1.0,
            unit: Some(Unit::Kelvin),
        };
        let invalid = emitted(&convert, reading.clone(), &mut []).unwrap_err();
        assert_eq!(
            invalid.to_string(),
            "wrong-unit: the reading is in kelvin, not in celsius"
        );
        reading.unit = None;
        let converted = emitted(&convert, reading, &mut []).unwrap();
        assert_eq!(converted[0].unit, Some(Unit::Kelvin));
    }

    #[test]
    fn another_unit_than_a_temperature_is_named() {
        let step = "convert = { from = \"percent\", to = \"kelvin\" }";
        let step = ComponentConfig::parse(step).unwrap();
        let error = format!("{:?}", step.settings::<Convert>().unwrap_err());
        assert!(
            error.contains("percent") && error.contains("celsius"),
            "{error}"
        );
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
