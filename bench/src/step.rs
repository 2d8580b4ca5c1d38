//! What a stage does in these runs, and what must come of it: [`Step`].
//!
//! The values are computed here by naive code, which shares nothing with the operators.

use std::collections::VecDeque;

/// What a stage does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Copy,
    Convert,
    Threshold,
    Ewma,
    Average,
}

impl Step {
    /// The four hops.
    pub(crate) const CHAIN: [Step; 4] = [Step::Convert, Step::Threshold, Step::Ewma, Step::Average];

    /// Its name on the command line of a contender.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Step::Copy => "copy",
            Step::Convert => "convert",
            Step::Threshold => "threshold",
            Step::Ewma => "ewma",
            Step::Average => "average",
        }
    }

    /// Its settings in a pipeline file.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            // No stage only copies.
            Step::Copy => "",
            Step::Convert => "convert = { from = \"celsius\", to = \"fahrenheit\" }",
            Step::Threshold => "threshold = { above = -1000 }",
            Step::Ewma => "ewma = { alpha = 0.5 }",
            Step::Average => "average = { window = 5 }",
        }
    }
}

/// The state of one step for one sensor.
#[derive(Default, Clone)]
struct Naive {
    previous: Option<f64>,
    window: VecDeque<f64>,
}

impl Naive {
    fn next(&mut self, step: Step, value: f64) -> Option<f64> {
        match step {
            Step::Copy => Some(value),
            Step::Convert => Some(value * 9.0 / 5.0 + 32.0),
            Step::Threshold => (value > -1000.0).then_some(value),
            Step::Ewma => {
                let smooth = self.previous.map(|previous| 0.5 * value + 0.5 * previous);
                self.previous = smooth.or(Some(value));
                smooth
            }
            Step::Average => {
                self.window.push_back(value);
                if self.window.len() > 5 {
                    self.window.pop_front();
                }
                (self.window.len() == 5).then(|| self.window.iter().sum::<f64>() / 5.0)
            }
        }
    }
}

/// The values that must come of `count` readings of `sensors` sensors in turn, by the reading that
/// each has the number of. `None` where nothing comes of it.
pub(crate) fn expected(
    steps: &[Step],
    sensors: u64,
    count: u64,
    value: impl Fn(u64) -> f64,
) -> Vec<Option<f64>> {
    let sensors = usize::try_from(sensors).unwrap_or(usize::MAX);
    let mut states = vec![vec![Naive::default(); steps.len()]; sensors];
    let one = |index: u64| {
        let states = &mut states[usize::try_from(index).ok()? % sensors];
        let mut steps = steps.iter().zip(states);
        steps.try_fold(value(index), |value, (step, state)| {
            state.next(*step, value)
        })
    };
    (0..count).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_hops_of_a_sensor_skip_its_first_five() {
        let out = expected(&Step::CHAIN, 2, 14, |index| (index / 2) as f64);
        let silent = out.iter().take_while(|value| value.is_none()).count();
        assert_eq!((silent, out.len()), (10, 14));
        // The EWMA of 1.8·n + 32 for n = 1…5, by hand.
        let mut smooth = 32.0;
        let ewma: Vec<f64> = (1..6)
            .map(|n| {
                smooth = 0.5 * (1.8 * f64::from(n) + 32.0) + 0.5 * smooth;
                smooth
            })
            .collect();
        let mean = ewma.iter().sum::<f64>() / 5.0;
        assert!((out[10].unwrap() - mean).abs() < 1e-12);
    }

    #[test]
    fn a_conversion_drops_nothing() {
        let out = expected(&[Step::Convert], 3, 4, |_| 100.0);
        assert_eq!(out, [Some(212.0); 4]);
    }
}
