//! The catalog of operators, one file each.
//!
//! To add one, add a file beside the others and its line to the list below: a type whose fields are
//! the settings, and which implements [`Operator`] and
//! [`Component`](rivulet_core::component::Component).

use rivulet_core::operator::Operator;
use rivulet_pipeline::{ComponentConfig, Diagnostics};

rivulet_pipeline::catalog! { "operator", dyn Operator:
    average::Average,
    convert::Convert,
    ewma::Ewma,
    mean_of::MeanOf,
    noise::Noise,
    round::Round,
    threshold::Threshold,
}

/// Builds one of the built-in operators.
///
/// # Errors
/// An unknown name, or every error in the settings, with the place in the file.
pub fn build(step: &ComponentConfig) -> Result<Box<dyn Operator>, Diagnostics> {
    built_in().read(step)
}

#[cfg(test)]
mod tests {

    use rivulet_core::key_state::numbers;
    use rivulet_core::operator::emitted;
    use rivulet_core::reading::Reading;
    use rivulet_core::unit::Unit;

    use super::*;

    #[test]
    fn no_operator_keeps_more_numbers_than_it_declares() {
        for row in built_in().entries() {
            let operator = build(&ComponentConfig::parse(row.example).unwrap()).unwrap();
            let mut states = operator.new_states();
            for seq in 0..100 {
                let reading = Reading {
                    sensor: "s".into(),
                    seq,
                    time: 0,
                    value: 20.0,
                    unit: Some(Unit::Celsius),
                };
                let _ = emitted(&*operator, reading, &mut states);
            }
            let count: usize = numbers(&states).iter().map(|numbers| numbers.len()).sum();
            assert_eq!(count, operator.numbers(), "{}", operator.describe());
        }
    }

    #[test]
    fn every_description_creates_the_same_operator() {
        let others = [
            "ewma = { alpha = 1e-7, emit-seed = true }",
            "threshold = { below = -1e300 }",
            "noise = { amplitude = 1e22 }",
        ];
        for step in built_in()
            .entries()
            .iter()
            .map(|row| row.example)
            .chain(others)
        {
            let description = build(&ComponentConfig::parse(step).unwrap())
                .unwrap()
                .describe();
            let [again] = &ComponentConfig::described(&description).unwrap()[..] else {
                panic!("{description}")
            };
            assert_eq!(build(again).unwrap().describe(), description);
        }
    }

    #[test]
    fn every_example_builds_its_operator() {
        for row in built_in().entries() {
            let step = ComponentConfig::parse(row.example).unwrap();
            assert_eq!(step.name(), row.name);
            let operator =
                build(&step).unwrap_or_else(|diagnostic| panic!("{}: {diagnostic:?}", row.example));
            assert!(
                operator.describe().starts_with(row.name),
                "{}",
                operator.describe()
            );
            assert!(!row.about.is_empty());
        }
    }
}
