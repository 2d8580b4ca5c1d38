//! What averages mean: [`RangeJudge`].

use super::life_cycle::LifeCycle;
use super::verdict::Verdict;

/// The temperatures between which an experiment is in range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Thresholds {
    pub(super) lower: f32,
    pub(super) upper: f32,
}

/// Says of each average of an experiment, in their order, what happened.
#[derive(Debug)]
pub(super) struct RangeJudge {
    thresholds: Thresholds,
    stage: Option<LifeCycle>,
    was_out: Option<bool>,
}

impl RangeJudge {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        RangeJudge {
            thresholds,
            stage: None,
            was_out: None,
        }
    }

    /// What the next average means. At the beginning of a stage, the one before it is forgotten.
    pub(super) fn judge(&mut self, stage: Option<LifeCycle>, average: f32) -> Option<Verdict> {
        if stage != self.stage {
            (self.stage, self.was_out) = (stage, None);
        }
        let Thresholds { lower, upper } = self.thresholds;
        let is_out = average > upper || average < lower;
        let was_out = self.was_out.replace(is_out);
        match stage? {
            LifeCycle::Stabilization if !is_out && was_out != Some(false) => {
                Some(Verdict::Stabilized)
            }
            LifeCycle::CarryOut if is_out && was_out != Some(true) => Some(Verdict::OutOfRange),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens at each average, by its index.
    fn judged(stage: LifeCycle, averages: &[f32]) -> Vec<(usize, Verdict)> {
        let (lower, upper) = (100.0, 150.0);
        let mut judge = RangeJudge::new(Thresholds { lower, upper });
        let verdicts = averages
            .iter()
            .map(|average| judge.judge(Some(stage), *average));
        let verdicts: Vec<_> = (0..).zip(verdicts).collect();
        let some = verdicts.into_iter();
        some.filter_map(|(index, verdict)| Some((index, verdict?)))
            .collect()
    }

    #[test]
    fn a_ramp_stabilizes_when_it_comes_into_range() {
        let ramp = [
            12.5, 25.0, 37.5, 50.0, 62.5, 75.0, 87.5, 100.011, 112.5, 125.0,
        ];
        let found = judged(LifeCycle::Stabilization, &ramp);
        assert_eq!(found, [(7, Verdict::Stabilized)]);
        let again = judged(
            LifeCycle::Stabilization,
            &[120.0, 99.0, 100.0, 150.0, 151.0, 140.0],
        );
        let indices: Vec<usize> = again.iter().map(|(index, _)| *index).collect();
        assert_eq!(indices, [0, 2, 5]);
    }

    #[test]
    fn a_walk_leaves_the_range_once_until_it_is_back() {
        let walk = [151.0, 152.0, 90.0, 100.0, 150.0, 99.9, 120.0];
        let found = judged(LifeCycle::CarryOut, &walk);
        assert_eq!(found, [(0, Verdict::OutOfRange), (5, Verdict::OutOfRange)]);
        assert_eq!(judged(LifeCycle::Terminated, &walk), []);
    }

    #[test]
    fn a_new_stage_forgets_the_average_before_it() {
        let (lower, upper) = (1.0, 2.0);
        let mut judge = RangeJudge::new(Thresholds { lower, upper });
        assert_eq!(judge.judge(None, 3.0), None);
        let stage = Some(LifeCycle::Stabilization);
        assert_eq!(judge.judge(stage, 3.0), None);
        let stage = Some(LifeCycle::CarryOut);
        assert_eq!(judge.judge(stage, 3.0), Some(Verdict::OutOfRange));
    }
}
