//! The operator: one step of a chain.

use crate::description::StepDescription;
use crate::reading::{InvalidReading, Reading};

/// The state that one operator keeps for one sensor: a few numbers, at first none.
///
/// Plain numbers fit in the changelog for any operator, and people can read them.
pub type KeyState = Vec<f64>;

/// One step of a chain, stateless or with state by sensor.
///
/// An operator is pure: it uses no Kafka, no clock and no randomness. The same reading with the
/// same state gives the same result on every machine, so records that are processed again after a
/// crash give the same results. The operator itself never changes. It gets a sensor's state with
/// each reading.
///
/// ```
/// use rivulet_core::operator::{Emitter, KeyState, Operator, collect};
/// use rivulet_core::reading::{InvalidReading, Reading};
///
/// /// How much each reading of a sensor differs from the one before it.
/// struct Difference;
///
/// impl Operator for Difference {
///     fn process(
///         &self,
///         reading: Reading<'_>,
///         states: &mut [KeyState],
///         out: &mut Emitter<'_>,
///     ) -> Result<(), InvalidReading> {
///         let value = reading.value;
///         if let [before] = states[0][..] {
///             out.emit(Reading { value: value - before, ..reading })?;
///         }
///         states[0] = vec![value];
///         Ok(())
///     }
///
///     fn states(&self) -> usize {
///         1
///     }
///
///     fn numbers(&self) -> usize {
///         1
///     }
///
///     fn describe(&self) -> String {
///         "difference()".into()
///     }
/// }
///
/// assert_eq!(collect(&Difference, &[20.0, 23.0, 22.5]), [3.0, -0.5]);
/// ```
pub trait Operator: Send {
    /// Processes a reading, and emits none, one or several.
    ///
    /// `states` is the state of this operator for the reading's sensor: [`states`](Self::states)
    /// elements.
    ///
    /// # Errors
    /// If it cannot process the reading. It leaves its state unchanged then. An error of
    /// [`Emitter::emit`] is passed on.
    fn process(
        &self,
        reading: Reading<'_>,
        states: &mut [KeyState],
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading>;

    /// How many [`KeyState`]s it keeps for each sensor: 0 for a stateless operator.
    fn states(&self) -> usize {
        0
    }

    /// How many numbers its state of one sensor has at most, in total.
    fn numbers(&self) -> usize {
        0
    }

    /// Its name and settings, such as `ewma(alpha=0.5)`: everything that its results depend on. The
    /// same operator can be created from its [`StepDescription`]. State with another description
    /// belongs to another operator.
    fn describe(&self) -> String;

    /// Migrates `states`, its state under the settings `before`, to its own settings. Also called
    /// for a stateless operator if later steps have state, because their readings come from it.
    ///
    /// # Errors
    /// Why the state cannot be migrated to these settings.
    fn migrate(&self, before: &StepDescription, states: &mut [KeyState]) -> Result<(), String> {
        let _ = (before, states);
        Ok(())
    }
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
    states: &mut [KeyState],
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
    let mut states = vec![KeyState::new(); operator.states()];
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
