//! Chains: several operators in a row.

use rivulet_core::description::{ARROW, StepDescription};
use rivulet_core::key_state::KeyState;
use rivulet_core::operator::{Emitter, Operator};
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_pipeline::{ComponentConfig, Diagnostic};

use crate::catalog;

/// Several operators in a row, and itself an operator.
///
/// A chain that is split into several stages gives the same results.
///
/// ```
/// use rivulet_core::operator::emitted;
/// use rivulet_core::reading::Reading;
/// use rivulet_core::unit::Unit;
/// use rivulet_operators::Chain;
/// use rivulet_pipeline::ComponentConfig;
///
/// let steps = [
///     ComponentConfig::parse("convert = { from = \"celsius\", to = \"fahrenheit\" }")?,
///     ComponentConfig::parse("threshold = { above = 50 }")?,
/// ];
/// let chain = Chain::build(&steps).map_err(|diagnostics| diagnostics[0].clone())?;
///
/// let reading = Reading {
///     sensor: "seattle".into(),
///     seq: 0,
///     time: 0,
///     value: 14.0,
///     unit: Some(Unit::Celsius),
/// };
/// assert_eq!(emitted(&chain, reading, &mut [])?[0].value, 57.2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Chain {
    steps: Vec<Box<dyn Operator>>,
    states: usize,
}

impl Chain {
    /// Builds a chain of built-in operators from the steps of a pipeline file.
    ///
    /// # Errors
    /// Every error in the steps, not only the first.
    pub fn build(steps: &[ComponentConfig]) -> Result<Self, Vec<Diagnostic>> {
        let catalog = catalog::built_in();
        let mut built = Vec::with_capacity(steps.len());
        let mut diagnostics = Vec::new();
        for step in steps {
            match catalog.read(step) {
                Ok(operator) => built.push(operator),
                Err(errors) => diagnostics.extend(errors),
            }
        }
        if diagnostics.is_empty() {
            Ok(Chain::new(built))
        } else {
            Err(diagnostics)
        }
    }

    /// A chain of these operators.
    #[must_use]
    pub fn new(steps: Vec<Box<dyn Operator>>) -> Self {
        let states = steps.iter().map(|step| step.states()).sum();
        Chain { steps, states }
    }

    /// Whether one of its operators keeps state.
    #[must_use]
    pub fn is_stateful(&self) -> bool {
        self.states > 0
    }

    /// For each [`KeyState`] of a sensor the description of its operator.
    #[must_use]
    pub fn state_owners(&self) -> Vec<String> {
        self.steps
            .iter()
            .flat_map(|step| std::iter::repeat_n(step.describe(), step.states()))
            .collect()
    }

    /// The states of a sensor, of the numbers that a chain of the same operators with other
    /// settings has written to the changelog. `made_by` is the description of that chain.
    ///
    /// # Errors
    /// Why the state cannot be migrated to this chain.
    pub fn migrate_from(
        &self,
        made_by: &str,
        numbers: &[Vec<f64>],
    ) -> Result<Vec<Box<dyn KeyState>>, String> {
        let (before, now) = (
            StepDescription::parse_chain(made_by),
            StepDescription::parse_chain(&self.describe()),
        );
        let Some((before, now)) = before.zip(now) else {
            return Err("this is not the description of a chain".to_owned());
        };
        let names_before = before.iter().map(StepDescription::name);
        if !names_before.eq(now.iter().map(StepDescription::name)) {
            return Err("these are not the same operators in the same order".to_owned());
        }
        if numbers.len() != self.states {
            return Err(format!(
                "it had {} states for a sensor, and now has {}",
                numbers.len(),
                self.states
            ));
        }
        let (mut states, mut rest) = (Vec::new(), numbers);
        for (step, before) in self.steps.iter().zip(&before) {
            // No state depends on the steps that follow.
            if rest.is_empty() {
                break;
            }
            let (own, others) = rest.split_at(step.states());
            rest = others;
            states.extend(step.migrate(before, own)?);
        }
        Ok(states)
    }
}

/// Applies the steps in order. A value that is not finite is an error before the next step, so that
/// it never enters a state.
fn process(
    steps: &[Box<dyn Operator>],
    reading: Reading<'_>,
    states: &mut [Box<dyn KeyState>],
    out: &mut Emitter<'_>,
) -> Result<(), InvalidReading> {
    let Some((step, later)) = steps.split_first() else {
        return out.emit(reading);
    };
    let (own, others) = states.split_at_mut(step.states());
    let mut next = |reading: Reading<'_>| {
        if !reading.value.is_finite() {
            let what = format!("{} made the value {}", step.describe(), reading.value);
            return Err(InvalidReading::new("not-finite", what));
        }
        process(later, reading, others, out)
    };
    step.process(reading, own, &mut Emitter::new(&mut next))
}

impl Operator for Chain {
    /// If a later step returns an error, earlier steps have already changed their states. The stage
    /// gives them the states back that they had before the record.
    fn process(
        &self,
        reading: Reading<'_>,
        states: &mut [Box<dyn KeyState>],
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading> {
        process(&self.steps, reading, states, out)
    }

    fn states(&self) -> usize {
        self.states
    }

    fn numbers(&self) -> usize {
        self.steps.iter().map(|step| step.numbers()).sum()
    }

    fn new_states(&self) -> Vec<Box<dyn KeyState>> {
        self.steps
            .iter()
            .flat_map(|step| step.new_states())
            .collect()
    }

    fn restore(&self, numbers: &[Vec<f64>]) -> Result<Vec<Box<dyn KeyState>>, String> {
        let (mut states, mut rest) = (Vec::new(), numbers);
        for step in &self.steps {
            let Some((own, others)) = rest.split_at_checked(step.states()) else {
                break;
            };
            rest = others;
            states.extend(step.restore(own)?);
        }
        if states.len() != self.states || !rest.is_empty() {
            return Err(format!(
                "it has {} states for a sensor, not {}",
                numbers.len(),
                self.states
            ));
        }
        Ok(states)
    }

    fn describe(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(|step| step.describe()).collect();
        steps.join(ARROW)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rivulet_core::key_state::numbers;
    use rivulet_core::operator::{collect, emitted};
    use rivulet_core::unit::Unit;

    use super::*;

    fn chain(steps: &[&str]) -> Chain {
        let steps: Vec<ComponentConfig> = steps
            .iter()
            .map(|step| ComponentConfig::parse(step).unwrap())
            .collect();
        Chain::build(&steps).unwrap()
    }

    const CONVERT: &str = "convert = { from = \"celsius\", to = \"fahrenheit\" }";
    const KEEP: &str = "threshold = { above = 50 }";
    const CELSIUS: [f64; 14] = [
        7., 6., 9., 14., 12., 17., 9., 13., 11., 12., 13., 16., 16., 19.,
    ];

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() <= expected.abs() * 1e-9,
                "{found} is not {expected}"
            );
        }
    }

    #[test]
    fn the_classwork_values_have_not_changed() {
        let ewma = [
            55.4, 59.0, 57.2, 54.5, 54.05, 54.725, 57.7625, 59.281_25, 62.740_625,
        ];
        close(
            &collect(&chain(&[CONVERT, KEEP, "ewma = { alpha = 0.5 }"]), &CELSIUS),
            &ewma,
        );
        let average = [57.8, 57.2, 56.6, 53.6, 53.6, 56.6, 59.0, 62.6];
        close(
            &collect(
                &chain(&[CONVERT, KEEP, "average = { window = 3 }"]),
                &CELSIUS,
            ),
            &average,
        );
    }

    #[test]
    fn an_overflow_is_an_error_before_it_enters_a_state() {
        let chain = chain(&[CONVERT, "ewma = { alpha = 0.5 }"]);
        let mut states = chain.new_states();
        let reading = Reading {
            sensor: "s".into(),
            seq: 0,
            time: 0,
            value: f64::MAX,
            unit: Some(Unit::Celsius),
        };
        assert_eq!(
            emitted(&chain, reading, &mut states).unwrap_err().reason,
            "not-finite"
        );
        assert!(states[0].numbers().is_empty());
    }

    #[test]
    fn each_state_has_its_owner() {
        let chain = chain(&[
            CONVERT,
            "ewma = { alpha = 0.5 }",
            KEEP,
            "average = { window = 3 }",
        ]);
        assert_eq!(
            chain.state_owners(),
            ["ewma(alpha=0.5)", "average(window=3)"]
        );
    }

    #[test]
    fn a_chain_has_the_description_and_the_states_of_its_steps() {
        let chain = chain(&[KEEP, "ewma = { alpha = 0.5 }", "average = { window = 3 }"]);
        assert_eq!(
            chain.describe(),
            "threshold(above=50) → ewma(alpha=0.5) → average(window=3)"
        );
        assert_eq!((chain.states(), chain.numbers()), (2, 4));
    }

    #[test]
    fn state_is_migrated_from_the_same_operators() {
        let now = chain(&[
            "threshold = { below = 9 }",
            "ewma = { alpha = 0.3 }",
            "average = { window = 2 }",
            CONVERT,
        ]);
        let before = [vec![7.0], vec![1.0, 2.0, 3.0]];
        let made_by = "threshold(above=50) → ewma(alpha=0.5) → average(window=3) → \
                       convert(from=celsius, to=kelvin)";
        let migrated = now.migrate_from(made_by, &before).unwrap();
        assert_eq!(numbers(&migrated), [vec![7.0], vec![2.0, 3.0]]);
        for made_by in [
            "ewma(alpha=0.5) → average(window=3)",
            "threshold(above=50) → average(window=3) → ewma(alpha=0.5) → convert(from=celsius, \
             to=kelvin)",
        ] {
            assert_eq!(
                now.migrate_from(made_by, &before).unwrap_err(),
                "these are not the same operators in the same order"
            );
        }
        assert!(now.migrate_from("something else", &before).is_err());
        let alone = chain(&["ewma = { alpha = 0.3 }"])
            .migrate_from("ewma(alpha=0.5)", &[])
            .unwrap_err();
        assert!(alone.contains("had 0 states"), "{alone}");
    }

    #[test]
    fn state_in_another_unit_is_not_migrated() {
        let now = chain(&[CONVERT, "ewma = { alpha = 0.5 }"]);
        let from_kelvin = "convert(from=kelvin, to=fahrenheit) → ewma(alpha=0.5)";
        assert!(now.migrate_from(from_kelvin, &[vec![7.0]]).is_ok());
        let to_kelvin = "convert(from=celsius, to=kelvin) → ewma(alpha=0.5)";
        assert_eq!(
            now.migrate_from(to_kelvin, &[vec![7.0]]).unwrap_err(),
            "the state is in kelvin, and readings would come in fahrenheit"
        );
    }

    #[test]
    fn all_errors_of_a_chain_are_reported() {
        let steps = [
            ComponentConfig::parse("ewma = { alpha = 0 }").unwrap(),
            ComponentConfig::parse("median = {}").unwrap(),
        ];
        assert_eq!(
            Chain::build(&steps)
                .err()
                .map(|diagnostics| diagnostics.len()),
            Some(2)
        );
    }

    proptest! {
        #[test]
        fn a_split_chain_and_a_whole_one_give_the_same(
            values in proptest::collection::vec(-50.0..50.0f64, 0..100),
        ) {
            const AVERAGE: &str = "average = { window = 4 }";
            const EWMA: &str = "ewma = { alpha = 0.3 }";
            let whole = collect(&chain(&[CONVERT, KEEP, AVERAGE, EWMA]), &values);
            // Only the first part converts.
            let split = collect(&chain(&[CONVERT, KEEP, AVERAGE]), &values);
            let split = collect(&chain(&[EWMA]), &split);
            prop_assert_eq!(whole, split);
        }
    }
}
