//! The chain: operators run back to back in one process.

use stream::operator::{Flow, KeyState, Operator};
use stream::pipeline::{ARROW, ComponentConfig, Diagnostic};
use stream::reading::{InvalidReading, Reading};

use crate::catalog;

/// Operators run back to back, itself an operator.
///
/// Splitting a chain over stages and topics, or fusing stages into one chain, changes nothing in
/// the results.
///
/// ```
/// use operators::{Chain, Flow, KeyState, Operator};
/// use stream::pipeline::ComponentConfig;
/// use stream::reading::{Reading, Unit};
///
/// let steps = [
///     Part::parse("convert = { from = \"celsius\", to = \"fahrenheit\" }")?,
///     Part::parse("threshold = { above = 50 }")?,
/// ];
/// let chain = Chain::build(&steps).map_err(|diagnostics| diagnostics[0].clone())?;
///
/// let mut reading =
///     Reading { sensor: "seattle".into(), seq: 0, time: 0, value: 14.0, unit: Some(Unit::Celsius) };
/// assert_eq!(chain.apply(&mut reading, &mut [])?, Flow::Pass);
/// assert_eq!(reading.value, 57.2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Chain {
    steps: Vec<Box<dyn Operator>>,
    states: usize,
}

impl Chain {
    /// Builds the steps of a pipeline file.
    ///
    /// # Errors
    /// Every mistake in the steps, not only the first.
    pub fn build(steps: &[ComponentConfig]) -> Result<Self, Vec<Diagnostic>> {
        let mut built = Vec::with_capacity(steps.len());
        let mut diagnostics = Vec::new();
        for step in steps {
            match catalog::build(step) {
                Ok(operator) => built.push(operator),
                Err(diagnostic) => diagnostics.push(diagnostic),
            }
        }
        if diagnostics.is_empty() {
            Ok(Chain::new(built))
        } else {
            Err(diagnostics)
        }
    }

    /// A chain of operators that are already there.
    #[must_use]
    pub fn new(steps: Vec<Box<dyn Operator>>) -> Self {
        let states = steps.iter().map(|step| step.states()).sum();
        Chain { steps, states }
    }

    /// For each memory, the description of the operator that keeps it.
    #[must_use]
    pub fn keepers(&self) -> Vec<String> {
        self.steps
            .iter()
            .flat_map(|step| std::iter::repeat_n(step.describe(), step.states()))
            .collect()
    }

    /// Makes memories of a sensor its own that a chain of the same operators kept under other
    /// settings.
    ///
    /// # Errors
    /// Why what was remembered means nothing to this chain.
    pub fn migrate(&self, made_by: &str, states: &mut [KeyState]) -> Result<(), String> {
        let names = |parts: &[ComponentConfig]| {
            parts
                .iter()
                .map(|part| part.name().to_owned())
                .collect::<Vec<_>>()
        };
        let (before, now) = (
            ComponentConfig::described(made_by),
            ComponentConfig::described(&self.describe()),
        );
        let Some((before, now)) = before.zip(now) else {
            return Err("no chain describes itself so".to_owned());
        };
        if names(&before) != names(&now) {
            return Err("these are not the same operators in the same order".to_owned());
        }
        if states.len() != self.states {
            return Err(format!(
                "it kept {} memories of a sensor, and now keeps {}",
                states.len(),
                self.states
            ));
        }
        let mut rest = states;
        for (step, before) in self.steps.iter().zip(&before) {
            if rest.is_empty() {
                break;
            }
            let (own, others) = rest.split_at_mut(step.states());
            rest = others;
            step.migrate(before, own)?;
        }
        Ok(())
    }
}

impl Operator for Chain {
    /// Applies the steps in order. A value that a step made infinite or not a number is refused
    /// before the next step, so that it never enters a memory.
    ///
    /// When a late step refuses a reading, earlier steps have already taken it into their memories,
    /// just as if each step were a stage of its own.
    fn apply(
        &self,
        reading: &mut Reading<'_>,
        states: &mut [KeyState],
    ) -> Result<Flow, InvalidReading> {
        let mut rest = states;
        for step in &self.steps {
            let (own, others) = rest.split_at_mut(step.states());
            rest = others;
            if step.apply(reading, own)? == Flow::Drop {
                return Ok(Flow::Drop);
            }
            if !reading.value.is_finite() {
                let what = format!("{} made the value {}", step.describe(), reading.value);
                return Err(InvalidReading::new("not-finite", what));
            }
        }
        Ok(Flow::Pass)
    }

    fn states(&self) -> usize {
        self.states
    }

    fn numbers(&self) -> usize {
        self.steps.iter().map(|step| step.numbers()).sum()
    }

    fn describe(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(|step| step.describe()).collect();
        steps.join(ARROW)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stream::reading::Unit;

    use super::*;

    fn chain(steps: &[&str]) -> Chain {
        let steps: Vec<ComponentConfig> = steps
            .iter()
            .map(|step| ComponentConfig::parse(step).unwrap())
            .collect();
        Chain::build(&steps).unwrap()
    }

    /// What comes out of a chain for one sensor.
    fn run(chain: &Chain, values: &[f64]) -> Vec<f64> {
        let mut states = vec![KeyState::new(); chain.states()];
        let mut out = Vec::new();
        for (value, seq) in values.iter().zip(0..) {
            let mut reading = Reading {
                sensor: "s".into(),
                seq,
                time: 0,
                value: *value,
                unit: Some(Unit::Celsius),
            };
            if let Ok(Flow::Pass) = chain.apply(&mut reading, &mut states) {
                out.push(reading.value);
            }
        }
        out
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
    fn the_classwork_values_come_out_as_they_always_did() {
        let ewma = [
            55.4, 59.0, 57.2, 54.5, 54.05, 54.725, 57.7625, 59.281_25, 62.740_625,
        ];
        close(
            &run(&chain(&[CONVERT, KEEP, "ewma = { alpha = 0.5 }"]), &CELSIUS),
            &ewma,
        );
        let average = [57.8, 57.2, 56.6, 53.6, 53.6, 56.6, 59.0, 62.6];
        close(
            &run(
                &chain(&[CONVERT, KEEP, "average = { window = 3 }"]),
                &CELSIUS,
            ),
            &average,
        );
    }

    #[test]
    fn an_overflow_is_refused_before_it_enters_a_memory() {
        let chain = chain(&[CONVERT, "ewma = { alpha = 0.5 }"]);
        let mut states = vec![KeyState::new(); 1];
        let mut reading = Reading {
            sensor: "s".into(),
            seq: 0,
            time: 0,
            value: f64::MAX,
            unit: Some(Unit::Celsius),
        };
        assert_eq!(
            chain.apply(&mut reading, &mut states).unwrap_err().reason,
            "not-finite"
        );
        assert!(states[0].is_empty());
    }

    #[test]
    fn each_memory_has_its_keeper() {
        let chain = chain(&[
            CONVERT,
            "ewma = { alpha = 0.5 }",
            KEEP,
            "average = { window = 3 }",
        ]);
        assert_eq!(chain.keepers(), ["ewma(alpha=0.5)", "average(window=3)"]);
    }

    #[test]
    fn a_chain_is_described_by_its_steps_and_costs_what_they_cost() {
        let chain = chain(&[KEEP, "ewma = { alpha = 0.5 }", "average = { window = 3 }"]);
        assert_eq!(
            chain.describe(),
            "threshold(above=50) → ewma(alpha=0.5) → average(window=3)"
        );
        assert_eq!((chain.states(), chain.numbers()), (2, 4));
    }

    #[test]
    fn memories_are_taken_over_from_the_same_operators_with_other_settings() {
        let now = chain(&[
            "threshold = { below = 9 }",
            "ewma = { alpha = 0.3 }",
            "average = { window = 2 }",
            CONVERT,
        ]);
        let taken = |made_by: &str| {
            let mut states = [vec![7.0], vec![1.0, 2.0, 3.0]];
            now.migrate(made_by, &mut states).map(|()| states)
        };
        let kept = Ok([vec![7.0], vec![2.0, 3.0]]);
        let behind = "convert(from=celsius, to=kelvin)";
        assert_eq!(
            taken(&format!(
                "threshold(above=50) → ewma(alpha=0.5) → average(window=3) → {behind}"
            )),
            kept
        );
        let others = "these are not the same operators in the same order";
        for made_by in [
            "ewma(alpha=0.5) → average(window=3)",
            "threshold(above=50) → average(window=3) → ewma(alpha=0.5) → convert(from=celsius, \
             to=kelvin)",
        ] {
            assert_eq!(taken(made_by).unwrap_err(), others);
        }
        assert!(taken("something else").is_err());
        let alone = chain(&["ewma = { alpha = 0.3 }"])
            .migrate("ewma(alpha=0.5)", &mut [])
            .unwrap_err();
        assert!(alone.contains("kept 0 memories"), "{alone}");
    }

    #[test]
    fn what_is_remembered_in_another_unit_is_not_taken_over() {
        let now = chain(&[CONVERT, "ewma = { alpha = 0.5 }"]);
        let taken = |from: &str, to: &str| {
            now.migrate(
                &format!("convert(from={from}, to={to}) → ewma(alpha=0.5)"),
                &mut [vec![7.0]],
            )
        };
        assert_eq!(taken("kelvin", "fahrenheit"), Ok(()));
        let refusal = taken("celsius", "kelvin").unwrap_err();
        assert_eq!(
            refusal,
            "what is remembered is in kelvin, and readings would come in fahrenheit"
        );
    }

    #[test]
    fn all_mistakes_of_a_chain_are_reported() {
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
        fn a_split_chain_and_a_fused_one_give_the_same(values in proptest::collection::vec(-50.0..50.0f64, 0..100)) {
            let fused = chain(&[CONVERT, KEEP, "average = { window = 4 }", "ewma = { alpha = 0.3 \
                                                                            }"]);
            let mut split = values.clone();
            // Between stages a reading carries its unit; here each part gets Celsius, so one unit
            // stays.
            split = run(&chain(&[CONVERT, KEEP, "average = { window = 4 }"]), &split);
            split = run(&chain(&["ewma = { alpha = 0.3 }"]), &split);
            prop_assert_eq!(run(&fused, &values), split);
        }
    }
}
