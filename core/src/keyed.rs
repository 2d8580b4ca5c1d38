//! Operators with state by sensor.

use std::any::Any;

use crate::description::StepDescription;
use crate::key_state::KeyState;
use crate::operator::{Emitter, Operator};
use crate::reading::{InvalidReading, Reading};

/// An operator that keeps state by sensor, in a type of its own. Everything that implements `Keyed`
/// is an [`Operator`].
///
/// ```
/// use std::borrow::Cow;
///
/// use rivulet_core::key_state::KeyState;
/// use rivulet_core::keyed::Keyed;
/// use rivulet_core::operator::{Emitter, collect};
/// use rivulet_core::reading::{InvalidReading, Reading};
///
/// /// How much each reading of a sensor differs from the one before it.
/// struct Difference;
///
/// /// The last reading, if there was one.
/// #[derive(Debug, Default)]
/// struct Last(Option<f64>);
///
/// impl KeyState for Last {
///     fn numbers(&self) -> Cow<'_, [f64]> {
///         self.0.as_slice().into()
///     }
/// }
///
/// impl Keyed for Difference {
///     type State = Last;
///
///     fn process(
///         &self,
///         reading: Reading<'_>,
///         last: &mut Last,
///         out: &mut Emitter<'_>,
///     ) -> Result<(), InvalidReading> {
///         let value = reading.value;
///         match last.0.replace(value) {
///             Some(before) => out.emit(Reading { value: value - before, ..reading }),
///             None => Ok(()),
///         }
///     }
///
///     fn numbers(&self) -> usize {
///         1
///     }
///
///     fn restore(&self, numbers: &[f64]) -> Result<Last, String> {
///         Ok(Last(numbers.first().copied()))
///     }
///
///     fn describe(&self) -> String {
///         "difference()".into()
///     }
/// }
///
/// assert_eq!(collect(&Difference, &[20.0, 23.0, 22.5]), [3.0, -0.5]);
/// ```
pub trait Keyed: Send + Sync {
    /// The state of one sensor. The default is that of a sensor without a reading.
    type State: KeyState + Default;

    /// Processes a reading, changes the state of its sensor, and emits none, one or several
    /// readings.
    ///
    /// # Errors
    /// If it cannot process the reading. It leaves the state unchanged then. An error of
    /// [`Emitter::emit`] is passed on.
    fn process(
        &self,
        reading: Reading<'_>,
        state: &mut Self::State,
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading>;

    /// How many numbers a state has at most.
    fn numbers(&self) -> usize;

    /// The state with these [`numbers`](KeyState::numbers), which this operator has written to the
    /// changelog.
    ///
    /// # Errors
    /// Why no state of this operator has such numbers. The stage does not start then.
    fn restore(&self, numbers: &[f64]) -> Result<Self::State, String>;

    /// The state with the numbers of the same operator under the settings `before`.
    ///
    /// # Errors
    /// Why the state means nothing under the settings of this operator.
    fn migrate(&self, before: &StepDescription, numbers: &[f64]) -> Result<Self::State, String> {
        let _ = before;
        self.restore(numbers)
    }

    /// See [`Operator::describe`].
    fn describe(&self) -> String;
}

impl<K: Keyed> Operator for K {
    fn process(
        &self,
        reading: Reading<'_>,
        states: &mut [Box<dyn KeyState>],
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading> {
        let state: &mut dyn Any = &mut *states[0];
        let state = state
            .downcast_mut()
            .expect("an operator gets the states that it has made");
        Keyed::process(self, reading, state, out)
    }

    fn states(&self) -> usize {
        1
    }

    fn numbers(&self) -> usize {
        Keyed::numbers(self)
    }

    fn new_states(&self) -> Vec<Box<dyn KeyState>> {
        vec![Box::new(K::State::default())]
    }

    fn restore(&self, numbers: &[Vec<f64>]) -> Result<Vec<Box<dyn KeyState>>, String> {
        Ok(vec![Box::new(Keyed::restore(self, only(numbers)?)?)])
    }

    fn migrate(
        &self,
        before: &StepDescription,
        numbers: &[Vec<f64>],
    ) -> Result<Vec<Box<dyn KeyState>>, String> {
        Ok(vec![Box::new(Keyed::migrate(
            self,
            before,
            only(numbers)?,
        )?)])
    }

    fn describe(&self) -> String {
        Keyed::describe(self)
    }
}

fn only(numbers: &[Vec<f64>]) -> Result<&[f64], String> {
    match numbers {
        [numbers] => Ok(numbers),
        others => Err(format!(
            "it has {} states for a sensor, not one",
            others.len()
        )),
    }
}
