//! The operator: one step of a chain.

use crate::description::StepDescription;
use crate::key_state::KeyState;
use crate::reading::{InvalidReading, Reading};

/// One step of a chain, stateless or with state by sensor.
///
/// An operator is pure: it uses no Kafka, no clock and no randomness. The same reading with the
/// same state gives the same result on every machine, so records that are processed again after a
/// crash give the same results. The operator itself never changes. It gets a sensor's state with
/// each reading.
///
/// An operator with state implements [`Keyed`](crate::keyed::Keyed) instead.
///
/// ```
/// use rivulet_core::key_state::KeyState;
/// use rivulet_core::operator::{Emitter, Operator, collect};
/// use rivulet_core::reading::{InvalidReading, Reading};
///
/// /// Passes on what is above zero.
/// struct Positive;
///
/// impl Operator for Positive {
///     fn process(
///         &self,
///         reading: Reading<'_>,
///         _: &mut [Box<dyn KeyState>],
///         out: &mut Emitter<'_>,
///     ) -> Result<(), InvalidReading> {
///         if reading.value > 0.0 { out.emit(reading) } else { Ok(()) }
///     }
///
///     fn describe(&self) -> String {
///         "positive()".into()
///     }
/// }
///
/// assert_eq!(collect(&Positive, &[20.0, -3.0]), [20.0]);
/// ```
pub trait Operator: Send + Sync {
    /// Processes a reading, and emits none, one or several.
    ///
    /// `states` is the state for the reading's sensor: [`states`](Self::states) elements, which
    /// this operator has made.
    ///
    /// # Errors
    /// If it cannot process the reading. An error of [`Emitter::emit`] is passed on. The record
    /// becomes a dead letter then, and all states are again as they were before it.
    fn process(
        &self,
        reading: Reading<'_>,
        states: &mut [Box<dyn KeyState>],
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading>;

    /// How many [`KeyState`]s it keeps for each sensor: 0 for a stateless operator.
    fn states(&self) -> usize {
        0
    }

    /// How many numbers its states of one sensor have at most, in total.
    fn numbers(&self) -> usize {
        0
    }

    /// The states of a sensor without a reading.
    fn new_states(&self) -> Vec<Box<dyn KeyState>> {
        Vec::new()
    }

    /// The states with these numbers, which this operator has written to the changelog.
    ///
    /// # Errors
    /// Why it has no states with such numbers.
    fn restore(&self, numbers: &[Vec<f64>]) -> Result<Vec<Box<dyn KeyState>>, String> {
        debug_assert_eq!(numbers.len(), self.states(), "a list for each state");
        Ok(self.new_states())
    }

    /// The states with the numbers of the same operator under the settings `before`. Also called
    /// for a stateless operator if later steps have state, because their readings come from it.
    ///
    /// # Errors
    /// Why the state means nothing under these settings.
    fn migrate(
        &self,
        before: &StepDescription,
        numbers: &[Vec<f64>],
    ) -> Result<Vec<Box<dyn KeyState>>, String> {
        let _ = before;
        self.restore(numbers)
    }

    /// Its name and settings, such as `ewma(alpha=0.5)`: everything that its results depend on. The
    /// same operator can be created from its [`StepDescription`]. State with another description
    /// belongs to another operator.
    fn describe(&self) -> String;
}

/// Takes the readings that an operator emits, one after the other.
pub struct Emitter<'e>(Next<'e>);

/// What happens to an emitted reading next.
type Next<'e> = &'e mut dyn FnMut(Reading<'_>) -> Result<(), InvalidReading>;

impl<'e> Emitter<'e> {
    /// An emitter that passes readings to `next`.
    pub fn new(next: Next<'e>) -> Self {
        Emitter(next)
    }

    /// Emits a reading.
    ///
    /// # Errors
    /// If a later step cannot process the reading, or it cannot be written. All that the operator
    /// has emitted for the same reading is dropped then.
    pub fn emit(&mut self, reading: Reading<'_>) -> Result<(), InvalidReading> {
        (self.0)(reading)
    }
}

/// What an operator emits for a reading: for tests and examples.
///
/// # Errors
/// If it cannot process the reading.
pub fn emitted(
    operator: &dyn Operator,
    reading: Reading<'_>,
    states: &mut [Box<dyn KeyState>],
) -> Result<Vec<Reading<'static>>, InvalidReading> {
    let mut emitted = Vec::new();
    let mut take = |reading: Reading<'_>| {
        emitted.push(Reading {
            sensor: reading.sensor.into_owned().into(),
            ..reading
        });
        Ok(())
    };
    operator.process(reading, states, &mut Emitter::new(&mut take))?;
    Ok(emitted)
}

/// The values that an operator emits for readings of one sensor with these values: for tests and
/// examples. Readings that it cannot process are left out.
pub fn collect(operator: &dyn Operator, values: &[f64]) -> Vec<f64> {
    let mut states = operator.new_states();
    let mut values_emitted = Vec::new();
    for (value, seq) in values.iter().zip(0..) {
        let reading = Reading {
            sensor: "s".into(),
            seq,
            time: 0,
            value: *value,
            unit: None,
        };
        let readings = emitted(operator, reading, &mut states).unwrap_or_default();
        values_emitted.extend(readings.iter().map(|reading| reading.value));
    }
    values_emitted
}
