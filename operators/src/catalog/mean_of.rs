//! `mean-of`: the mean of a measurement that several sensors make together.

use std::borrow::Cow;

use rivulet_core::component::Component;
use rivulet_core::description::StepDescription;
use rivulet_core::key_state::{KeyState, describe_numbers};
use rivulet_core::keyed::Keyed;
use rivulet_core::operator::Emitter;
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::unit::{LONGEST_UNIT, Unit};
use serde::Deserialize;

/// The mean of each measurement that several sensors make together: of all readings with one name
/// and one time. The mapping of the topic gives them one name: that of the experiment or the room.
///
/// A reading with any other time, also an earlier one, begins the next measurement. If that happens
/// before all `sensors` have come, the mean of those that came is emitted then. A further reading
/// of a complete measurement is a repeated one, and changes nothing. Without `sensors` the last
/// measurement waits for a next one.
///
/// The emitted reading has the time of its measurement, and the sequence number and the unit of the
/// last reading of it, also where the next measurement is what completes it.
///
/// The mean is Σx/n, summed in the order of the readings. Its error is at most about ε·Σ|x| with
/// ε = 2⁻⁵³. A reading with which the sum would overflow becomes a dead letter.
///
/// ```
/// use rivulet_core::operator::collect;
/// use rivulet_operators::catalog;
/// use rivulet_pipeline::ComponentConfig;
///
/// let mean = catalog::build(&ComponentConfig::parse("mean-of = { sensors = 3 }")?)?;
/// // All of these have one time. The fourth is a repeated one.
/// assert_eq!(collect(&*mean, &[20.0, 21.0, 25.0, 25.0]), [22.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MeanOf {
    /// How many readings a measurement has: its mean is emitted with the last of them. Unless it
    /// is set, the mean is emitted when the next measurement begins.
    sensors: Option<ExpectedSensors>,
}

/// How many sensors measure together: 1 to 100000.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("minimum" = 1, "maximum" = 100_000))
)]
pub struct ExpectedSensors(u64);

impl TryFrom<i64> for ExpectedSensors {
    type Error = String;

    fn try_from(sensors: i64) -> Result<Self, String> {
        match u64::try_from(sensors) {
            Ok(sensors @ 1..=100_000) => Ok(ExpectedSensors(sensors)),
            _ => Err(format!(
                "a measurement cannot have {sensors} sensors; give a number from 1 to 100000, or \
                 leave it out"
            )),
        }
    }
}

impl Component for MeanOf {
    const NAME: &'static str = "mean-of";
    const ABOUT: &'static str = "mean of the readings that have one name and one time";
    const EXAMPLE: &'static str = "mean-of = { sensors = 10 }";
}

/// The measurement of the last reading; `None` before the first.
#[derive(Debug, Default)]
pub struct CurrentMeasurement(Option<Measurement>);

/// The readings of one time.
#[derive(Debug, Clone, Copy)]
struct Measurement {
    time: i64,
    /// The last reading's.
    seq: u64,
    /// How many readings are in the sum: none once the mean has been emitted.
    count: u64,
    sum: f64,
    /// The last reading's.
    unit: Option<Unit>,
}

impl KeyState for CurrentMeasurement {
    fn numbers(&self) -> Cow<'_, [f64]> {
        self.0.map(Measurement::numbers).unwrap_or_default().into()
    }

    fn describe(&self) -> String {
        match self.0 {
            None => "-".to_owned(),
            Some(Measurement { time, count: 0, .. }) => format!("complete at {time}"),
            Some(Measurement {
                time, count, sum, ..
            }) => format!("sum {} of {count} at {time}", describe_numbers(&[sum])),
        }
    }
}

impl Keyed for MeanOf {
    type State = CurrentMeasurement;

    fn process(
        &self,
        reading: Reading<'_>,
        CurrentMeasurement(current): &mut CurrentMeasurement,
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading> {
        let (same, before) = match *current {
            Some(before) if before.time == reading.time => (Some(before), None),
            before => (None, before),
        };
        let mut measurement = match same {
            Some(Measurement { count: 0, .. }) => return Ok(()),
            same => Measurement::with(same, &reading)?,
        };
        let sensors = self.sensors.map(|ExpectedSensors(sensors)| sensors);
        let is_complete = sensors.is_some_and(|sensors| measurement.count >= sensors);
        let complete = is_complete.then_some(measurement);
        if is_complete {
            (measurement.count, measurement.sum) = (0, 0.0);
        }
        *current = Some(measurement);
        for emitted in before.into_iter().chain(complete) {
            emitted.emit(&reading, out)?;
        }
        Ok(())
    }

    fn numbers(&self) -> usize {
        NUMBERS
    }

    fn restore(&self, numbers: &[f64]) -> Result<CurrentMeasurement, String> {
        if numbers.is_empty() {
            return Ok(CurrentMeasurement(None));
        }
        match Measurement::restore(numbers) {
            // What was written differently was not written by this operator.
            Some(measurement)
                if measurement.numbers() == numbers
                    && (measurement.count > 0 || measurement.sum == 0.0) =>
            {
                Ok(CurrentMeasurement(Some(measurement)))
            }
            _ => Err(format!(
                "these are not the numbers of a measurement: {}",
                describe_numbers(numbers)
            )),
        }
    }

    /// A measurement goes on with another number of sensors. It cannot where each reading is a
    /// measurement of its own.
    fn migrate(&self, _: &StepDescription, numbers: &[f64]) -> Result<CurrentMeasurement, String> {
        let state = self.restore(numbers)?;
        match (&state, self.sensors) {
            (CurrentMeasurement(Some(measurement)), Some(ExpectedSensors(1)))
                if measurement.count > 0 =>
            {
                Err(format!(
                    "the measurement at time {} has {} readings and waits for more, and with \
                     `sensors = 1` each reading is a measurement",
                    measurement.time, measurement.count
                ))
            }
            _ => Ok(state),
        }
    }

    fn describe(&self) -> String {
        match self.sensors {
            Some(ExpectedSensors(sensors)) => format!("mean-of(sensors={sensors})"),
            None => "mean-of()".to_owned(),
        }
    }
}

impl Measurement {
    /// A measurement with one more reading. `None` is a new one.
    fn with(measurement: Option<Self>, reading: &Reading<'_>) -> Result<Self, InvalidReading> {
        let (count, sum) = measurement.map_or((0, 0.0), |before| (before.count, before.sum));
        let sum = sum + reading.value;
        if !sum.is_finite() {
            let what = format!(
                "with the value {} the sum of the measurement at time {} overflows",
                reading.value, reading.time
            );
            return Err(InvalidReading::new("not-finite", what));
        }
        Ok(Measurement {
            time: reading.time,
            seq: reading.seq,
            count: count.saturating_add(1),
            sum,
            unit: reading.unit,
        })
    }

    /// Emits its mean, unless that was done before. `reading` has the name of the sensor.
    fn emit(self, reading: &Reading<'_>, out: &mut Emitter<'_>) -> Result<(), InvalidReading> {
        if self.count == 0 {
            return Ok(());
        }
        out.emit(Reading {
            sensor: Cow::Borrowed(&reading.sensor),
            seq: self.seq,
            time: self.time,
            value: self.sum / self.count as f64,
            unit: self.unit,
        })
    }

    /// Its [`NUMBERS`] in the changelog.
    fn numbers(self) -> Vec<f64> {
        let [time, time_rest] = split(self.time.into());
        let [seq, seq_rest] = split(self.seq.into());
        let mut numbers = vec![time, time_rest, seq, seq_rest, self.count as f64, self.sum];
        numbers.extend(name_numbers(self.unit.as_ref().map_or("", Unit::name)));
        numbers
    }

    /// The measurement with these numbers. `None` if there is none.
    fn restore(numbers: &[f64]) -> Option<Self> {
        let (&[time, time_rest, seq, seq_rest, count, sum], unit) = numbers.split_first_chunk()?;
        let name = name_of(unit)?;
        Some(Measurement {
            time: whole(time)?
                .checked_add(whole(time_rest)?)?
                .try_into()
                .ok()?,
            seq: whole(seq)?.checked_add(whole(seq_rest)?)?.try_into().ok()?,
            count: whole(count)?.try_into().ok()?,
            sum,
            unit: match name.as_str() {
                "" => None,
                name => Some(name.parse().ok()?),
            },
        })
    }
}

/// How many bytes of a unit's name are in a number, so that it is exact.
const BYTES: usize = 6;

/// How many numbers the name of a unit has: always as many, so that all states are of one size.
const UNIT_NUMBERS: usize = LONGEST_UNIT.div_ceil(BYTES);

/// How many numbers a measurement has.
const NUMBERS: usize = 6 + UNIT_NUMBERS;

/// A whole number as the nearest `f64`, and the rest. Up to 2⁵³ the rest is 0.
fn split(number: i128) -> [f64; 2] {
    let nearest = number as f64;
    let rest = whole(nearest).map_or(0, |nearest| number - nearest);
    [nearest, rest as f64]
}

/// A number without a fraction that may be a part of 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "it is checked before")]
fn whole(number: f64) -> Option<i128> {
    const LARGEST: f64 = (1_u128 << 64) as f64;
    (number.fract() == 0.0 && number.abs() <= LARGEST).then_some(number as i128)
}

/// The name of a unit as numbers.
fn name_numbers(name: &str) -> [f64; UNIT_NUMBERS] {
    let mut numbers = [0.0; UNIT_NUMBERS];
    for (number, bytes) in numbers.iter_mut().zip(name.as_bytes().chunks(BYTES)) {
        // The last one is filled with zeros.
        let bytes = bytes.iter().chain(&[0; BYTES]).take(BYTES);
        *number = bytes.fold(0.0, |number, byte| number * 256.0 + f64::from(*byte));
    }
    numbers
}

/// The name of a unit of its numbers. `None` if they are not such numbers.
fn name_of(numbers: &[f64]) -> Option<String> {
    let mut name = Vec::with_capacity(LONGEST_UNIT);
    for number in numbers {
        let bytes = u64::try_from(whole(*number)?).ok()?.to_be_bytes();
        name.extend_from_slice(&bytes[bytes.len() - BYTES..]);
    }
    let name = String::from_utf8(name).ok()?;
    Some(name.trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests;
