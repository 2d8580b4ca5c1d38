//! The figures of one sensor, as numbers: [`SensorFigures`].

use rivulet_core::unit::Unit;

use super::sensor::{CompareRules, SensorComparison};
use super::statistics::{LagEstimate, Level, MeanDifference, Roughness};

/// The figures of one sensor. All are over the joined points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SensorFigures {
    /// How many points were joined.
    pub joined: u64,
    /// The unit of the values, if a reading has one.
    pub unit: Option<Unit>,
    /// The exponentially weighted moving average.
    pub ewma: SeriesFigures,
    /// The moving average.
    pub average: SeriesFigures,
    /// The input of both, if it is compared.
    pub input: Option<SeriesFigures>,
    /// EWMA − moving average.
    pub ewma_to_average: DifferenceFigures,
    /// EWMA − input.
    pub ewma_to_input: Option<DifferenceFigures>,
    /// Moving average − input.
    pub average_to_input: Option<DifferenceFigures>,
}

/// The figures of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeriesFigures {
    /// The mean of its values.
    pub mean: f64,
    /// Its last value.
    pub last: f64,
    /// How many steps it lags behind the input.
    pub lag: Option<usize>,
    /// How much smoother it is than the input, from 0 (as rough) to 1 (constant): 1 − its
    /// [roughness](Roughness) / that of the input. Negative if it is rougher. `None` without an
    /// input, or if the input is constant.
    pub smoothness: Option<f64>,
}

/// How far two series are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DifferenceFigures {
    /// The mean difference.
    pub mean: f64,
    /// The last difference.
    pub last: f64,
    /// The mean absolute difference.
    pub absolute: f64,
    /// The root-mean-square difference.
    pub root_mean_square: f64,
}

impl From<&MeanDifference> for DifferenceFigures {
    fn from(difference: &MeanDifference) -> Self {
        DifferenceFigures {
            mean: difference.level.mean.get(),
            last: difference.level.last,
            absolute: difference.absolute.get(),
            root_mean_square: difference.root_mean_square(),
        }
    }
}

fn series(
    level: &Level,
    lag: Option<&LagEstimate>,
    roughness: Option<(&Roughness, &Roughness)>,
) -> SeriesFigures {
    SeriesFigures {
        mean: level.mean.get(),
        last: level.last,
        lag: lag.and_then(LagEstimate::steps),
        smoothness: roughness.and_then(|(own, input)| own.smoothness(input)),
    }
}

impl SensorComparison {
    /// The figures so far.
    pub(super) fn figures(&self, rules: &CompareRules) -> SensorFigures {
        let with_input = rules.with_input();
        let rough = |own| with_input.then_some((own, &self.input_roughness));
        SensorFigures {
            joined: self.joined,
            unit: self.unit(),
            ewma: series(
                &self.ewma,
                with_input.then_some(&self.ewma_lag),
                rough(&self.ewma_roughness),
            ),
            average: series(
                &self.average,
                with_input.then_some(&self.average_lag),
                rough(&self.average_roughness),
            ),
            input: with_input.then(|| series(&self.input, None, None)),
            ewma_to_average: (&self.ewma_to_average).into(),
            ewma_to_input: with_input.then(|| (&self.ewma_to_input).into()),
            average_to_input: with_input.then(|| (&self.average_to_input).into()),
        }
    }
}
