//! The average temperatures of an experiment, sample by sample: [`Course`].

use rand::Rng;
use rand::rngs::Xoshiro256PlusPlus;

use super::plan::ExperimentPlan;
use super::range::RangeEvent;

/// One average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleAverage {
    /// The temperature that the sensors measure on average.
    pub temperature: f32,
    /// What it means for the range.
    pub event: Option<RangeEvent>,
}

/// The averages of an experiment: a straight line from the start to the middle of the range, and
/// then a random walk.
#[derive(Debug, Clone)]
pub struct Course {
    /// The temperature before the edges are cleared.
    current: f32,
    /// How many averages there were.
    samples: u64,
    /// Whether the average before, in the same stage, was out of range.
    was_out: Option<bool>,
}

impl Course {
    /// The course of an experiment, before its first sample.
    #[must_use]
    pub fn new(plan: &ExperimentPlan) -> Self {
        Course {
            current: plan.start_temperature,
            samples: 0,
            was_out: None,
        }
    }

    /// The next average. `random` is the sample's own generator.
    pub fn next(
        &mut self,
        plan: &ExperimentPlan,
        random: &mut Xoshiro256PlusPlus,
    ) -> SampleAverage {
        let range = plan.range;
        let stabilizes = self.samples < plan.stabilization_samples;
        if self.samples == plan.stabilization_samples {
            self.was_out = None;
        }
        // Drawn in both stages, so that all samples use their generator in the same way.
        let step = signed_unit(random);
        self.current += if stabilizes {
            (range.middle() - plan.start_temperature) / plan.stabilization_samples as f32
        } else {
            step * range.width()
        };
        self.samples += 1;
        let temperature = range.clear_of_edges(self.current);
        let is_out = range.is_out(temperature);
        let was_out = self.was_out.replace(is_out);
        let event = match (stabilizes, is_out) {
            (true, false) if was_out != Some(false) => Some(RangeEvent::Stabilized),
            (false, true) if was_out != Some(true) => Some(RangeEvent::OutOfRange),
            _ => None,
        };
        SampleAverage { temperature, event }
    }
}

/// What each sensor measures: the average, and up to one degree more or less. The last one makes
/// the mean of all exact.
pub fn spread(
    average: f32,
    sensors: usize,
    random: &mut Xoshiro256PlusPlus,
    temperatures: &mut Vec<f32>,
) {
    temperatures.clear();
    let mut sum = 0.0;
    for _ in 1..sensors {
        let temperature = average + signed_unit(random);
        sum += temperature;
        temperatures.push(temperature);
    }
    temperatures.push(sensors as f32 * average - sum);
}

/// A number from −1 to below 1, from the upper 24 bits of the generator: that many fit into the
/// mantissa of an f32. The numbers of `rand`'s distributions may change between its versions.
fn signed_unit(random: &mut Xoshiro256PlusPlus) -> f32 {
    (random.next_u64() >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;
    use crate::experiment::range::{EDGE, TemperatureRange};

    fn plan(start: f32, range: (f32, f32), samples: (u64, u64)) -> ExperimentPlan {
        ExperimentPlan {
            start_temperature: start,
            range: TemperatureRange::new(range.0, range.1).unwrap(),
            stabilization_samples: samples.0,
            carry_out_samples: samples.1,
            ..ExperimentPlan::default()
        }
    }

    fn course(plan: &ExperimentPlan) -> Vec<SampleAverage> {
        let (mut course, mut random) = (Course::new(plan), Xoshiro256PlusPlus::seed_from_u64(1));
        let all = plan.stabilization_samples + plan.carry_out_samples;
        (0..all).map(|_| course.next(plan, &mut random)).collect()
    }

    /// The averages of a ramp, and at which sample (from 1) it stabilized.
    fn ramp(plan: &ExperimentPlan) -> (Vec<f32>, Vec<usize>) {
        let averages = course(plan);
        let stabilized = averages.iter().enumerate();
        let stabilized = stabilized.filter(|(_, average)| average.event.is_some());
        (
            averages.iter().map(|average| average.temperature).collect(),
            stabilized.map(|(index, _)| index + 1).collect(),
        )
    }

    #[test]
    fn a_ramp_ends_in_the_middle_of_the_range() {
        let (averages, stabilized) = ramp(&plan(0.0, (100.0, 150.0), (10, 0)));
        assert_eq!(
            averages,
            [
                12.5, 25.0, 37.5, 50.0, 62.5, 75.0, 87.5, 100.011, 112.5, 125.0
            ]
        );
        assert_eq!(stabilized, [8]);
        let (averages, stabilized) = ramp(&plan(0.0, (10.0, 20.0), (10, 0)));
        assert_eq!(
            averages,
            [1.5, 3.0, 4.5, 6.0, 7.5, 9.0, 10.5, 12.0, 13.5, 15.0]
        );
        assert_eq!(stabilized, [7]);
        let (averages, stabilized) = ramp(&plan(16.0, (25.5, 26.5), (2, 0)));
        assert_eq!((averages, stabilized), (vec![21.0, 26.0], vec![2]));
    }

    #[test]
    fn a_ramp_that_begins_in_range_stabilizes_at_its_first_sample() {
        let (_, stabilized) = ramp(&plan(12.0, (10.0, 20.0), (3, 0)));
        assert_eq!(stabilized, [1]);
    }

    proptest! {
        /// The verdicts follow from the averages alone, stage by stage.
        #[test]
        fn range_events_are_the_changes_of_each_stage(
            start in -50.0..50.0_f32,
            lower in -20.0..20.0_f32,
            width in 0.0..10.0_f32,
            samples in (0..20_usize, 0..200_usize),
        ) {
            let counts = (samples.0 as u64, samples.1 as u64);
            let plan = plan(start, (lower, lower + width), counts);
            let averages = course(&plan);
            let (ramp, walk) = averages.split_at(samples.0);
            for (stage, event) in [(ramp, RangeEvent::Stabilized), (walk, RangeEvent::OutOfRange)] {
                for (index, average) in stage.iter().enumerate() {
                    let counts = |average: &SampleAverage| {
                        plan.range.is_out(average.temperature) == (event == RangeEvent::OutOfRange)
                    };
                    let is_new = index == 0 || !counts(&stage[index - 1]);
                    let expected = (counts(average) && is_new).then_some(event);
                    prop_assert_eq!(average.event, expected);
                    for edge in [plan.range.lower(), plan.range.upper()] {
                        prop_assert!((average.temperature - edge).abs() > EDGE || width < 0.03);
                    }
                }
            }
        }

        #[test]
        fn the_mean_of_all_sensors_is_the_average(
            average in -100.0..200.0_f32, sensors in 1..40_usize, seed: u64,
        ) {
            let mut temperatures = Vec::new();
            let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
            spread(average, sensors, &mut random, &mut temperatures);
            prop_assert_eq!(temperatures.len(), sensors);
            let mean = temperatures.iter().sum::<f32>() / sensors as f32;
            prop_assert!((mean - average).abs() < 0.001, "{} {}", mean, average);
            let (_, others) = temperatures.split_last().unwrap();
            prop_assert!(others.iter().all(|other| (other - average).abs() <= 1.0001));
        }
    }
}
