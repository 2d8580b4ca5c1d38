//! The figures of a comparison, updated with each point.
//!
//! A mean changes by `m += (x - m) / n`, squared deviations by `(x - m_before) * (x - m_after)` (B.
//! P. Welford, "Note on a method for calculating corrected sums of squares and products",
//! Technometrics 4, 1962; D. E. Knuth, The Art of Computer Programming, volume 2, 4.2.2). There is
//! no large sum in which small terms get lost, however long the stage runs.

/// The mean of some numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mean {
    count: u64,
    mean: f64,
}

impl Mean {
    /// Adds a number.
    pub fn add(&mut self, number: f64) {
        self.count += 1;
        self.mean += (number - self.mean) / self.count as f64;
    }

    /// The mean so far. 0 without numbers.
    #[must_use]
    pub fn get(&self) -> f64 {
        self.mean
    }
}

/// Mean and last value of a series.
#[derive(Debug, Clone, Copy, Default)]
pub struct Level {
    /// (1/n) Σ xᵢ
    pub mean: Mean,
    /// The value of the last point.
    pub last: f64,
}

impl Level {
    /// Adds the next value.
    pub fn add(&mut self, value: f64) {
        self.mean.add(value);
        self.last = value;
    }
}

/// How far two series are apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct MeanDifference {
    /// The signed difference.
    pub level: Level,
    /// The mean absolute difference, (1/n) Σ |xᵢ - yᵢ|.
    pub absolute: Mean,
    square: Mean,
}

impl MeanDifference {
    /// Adds the values of both series at one point.
    pub fn add(&mut self, x: f64, y: f64) {
        let difference = x - y;
        self.level.add(difference);
        self.absolute.add(difference.abs());
        self.square.add(difference * difference);
    }

    /// The root-mean-square difference, √((1/n) Σ (xᵢ - yᵢ)²).
    #[must_use]
    pub fn root_mean_square(&self) -> f64 {
        self.square.get().sqrt()
    }
}

/// How much a series changes from one value to the next: the root mean square of its steps,
/// √((1/(n−1)) Σ (xᵢ − xᵢ₋₁)²).
#[derive(Debug, Clone, Copy, Default)]
pub struct Roughness {
    last: Option<f64>,
    square: Mean,
}

impl Roughness {
    /// Adds the next value.
    pub fn add(&mut self, value: f64) {
        if let Some(last) = self.last {
            self.square.add((value - last) * (value - last));
        }
        self.last = Some(value);
    }

    /// How much smaller the steps are than those of the input: 1 − its roughness / that of the
    /// input. `None` if the input is constant.
    #[must_use]
    pub fn smoothness(&self, input: &Roughness) -> Option<f64> {
        let rough = input.square.get().sqrt();
        (rough > 0.0).then(|| 1.0 - self.square.get().sqrt() / rough)
    }
}

/// Pearson's correlation of two series, from running means and squared deviations.
#[derive(Debug, Clone, Copy, Default)]
struct Correlation {
    count: u64,
    mean: (f64, f64),
    squares: (f64, f64),
    products: f64,
}

impl Correlation {
    fn add(&mut self, x: f64, y: f64) {
        self.count += 1;
        let count = self.count as f64;
        let before = (x - self.mean.0, y - self.mean.1);
        self.mean.0 += before.0 / count;
        self.mean.1 += before.1 / count;
        let after = (x - self.mean.0, y - self.mean.1);
        self.squares.0 += before.0 * after.0;
        self.squares.1 += before.1 * after.1;
        self.products += before.0 * after.1;
    }

    /// Σ (xᵢ - x̄)(yᵢ - ȳ) / √(Σ (xᵢ - x̄)² · Σ (yᵢ - ȳ)²). `None` if one series is constant.
    fn coefficient(&self) -> Option<f64> {
        let spread = self.squares.0.sqrt() * self.squares.1.sqrt();
        (spread > 0.0).then(|| self.products / spread)
    }
}

/// How many steps a smoothed series lags behind its input.
///
/// For each k from 0 to a limit it computes the normalized cross-correlation of `smoothed[t]` with
/// `input[t - k]` over all t where both exist:
///
/// ```text
///          Σ (smoothed[t] - mean) (input[t - k] - mean)
/// r[k] = ----------------------------------------------------------
///        √(Σ (smoothed[t] - mean)²) · √(Σ (input[t - k] - mean)²)
/// ```
///
/// The means are over the same t (G. E. P. Box, G. M. Jenkins, Time Series Analysis: Forecasting
/// and Control, chapter on the cross-correlation function; the book has one mean for all k, which
/// differs for short series). The lag is the k with the largest r. The series themselves are not
/// stored.
#[derive(Debug, Clone)]
pub struct LagEstimate {
    by_steps: Vec<Correlation>,
}

/// Coefficients closer than this count as equal. Then the shorter lag wins.
const TIE: f64 = 1e-9;
/// Two points always lie on a line, so their correlation means nothing.
const LEAST_POINTS: u64 = 3;

impl LagEstimate {
    /// Its memory for lags from 0 to `limit` steps, in bytes.
    #[must_use]
    pub fn size(limit: usize) -> usize {
        (limit + 1) * size_of::<Correlation>()
    }

    /// Lags from 0 to `limit` steps.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        LagEstimate {
            by_steps: vec![Correlation::default(); limit + 1],
        }
    }

    /// Adds a smoothed value, with its own input first, then the input before that, and so on.
    pub fn add(&mut self, smoothed: f64, inputs: impl Iterator<Item = f64>) {
        for (correlation, input) in self.by_steps.iter_mut().zip(inputs) {
            correlation.add(smoothed, input);
        }
    }

    /// The lag in steps of the input. `None` if there are too few points, a series is constant, or
    /// no correlation is positive.
    ///
    /// A lag counts only if at least half of the points can be compared at it: the few points at
    /// the end of a short series correlate by chance.
    #[must_use]
    pub fn steps(&self) -> Option<usize> {
        let points = self.by_steps[0].count;
        let coefficients = self
            .by_steps
            .iter()
            .enumerate()
            .filter_map(|(steps, correlation)| {
                let enough = correlation.count >= LEAST_POINTS && correlation.count * 2 >= points;
                Some((steps, correlation.coefficient().filter(|_| enough)?))
            });
        let mut best = None;
        let mut largest = 0.0;
        for (steps, coefficient) in coefficients {
            if coefficient > largest + TIE {
                (best, largest) = (Some(steps), coefficient);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lag(smoothed: &[f64], input: &[f64], limit: usize) -> Option<usize> {
        let mut lag = LagEstimate::new(limit);
        for (t, value) in smoothed.iter().enumerate() {
            lag.add(*value, (0..=t).rev().map(|t| input[t]));
        }
        lag.steps()
    }

    #[test]
    fn a_mean_far_from_zero_keeps_its_small_digits() {
        let mut difference = MeanDifference::default();
        for _ in 0..1_000_000 {
            difference.add(1e9 + 0.001, 1e9);
            difference.add(1e9, 1e9 + 0.001);
        }
        // At 1e9 the resolution of a 64-bit float is 1.2e-7.
        assert!(difference.level.mean.get().abs() < 1e-9);
        assert!((difference.absolute.get() - 0.001).abs() < 1e-7);
        assert!((difference.root_mean_square() - 0.001).abs() < 1e-7);
    }

    #[test]
    fn without_correlation_there_is_no_lag() {
        assert_eq!(lag(&[], &[], 3), None);
        assert_eq!(
            lag(&[1.0, 2.0], &[1.0, 2.0], 3),
            None,
            "two points are always on a line"
        );
        assert_eq!(lag(&[1.0; 9], &[1.0; 9], 3), None);
        assert_eq!(
            lag(&[3.0, 2.0, 1.0], &[1.0, 2.0, 3.0], 1),
            None,
            "the correlation is negative"
        );
    }

    #[test]
    fn with_equal_correlations_the_shorter_lag_wins() {
        let wave: Vec<f64> = (0..40).map(|t| [0.0, 1.0, 0.0, -1.0][t % 4]).collect();
        assert_eq!(lag(&wave, &wave, 12), Some(0));
    }

    proptest! {
        #[test]
        fn a_series_delayed_by_some_steps_has_that_lag(
            input in prop::collection::vec(-50.0..50.0_f64, 60..200),
            steps in 0_usize..=24,
            scale in 0.1..10.0_f64,
            shift in -1e3..1e3,
        ) {
            let delayed = (0..input.len())
                .map(|t| input[t.saturating_sub(steps)].mul_add(scale, shift));
            let delayed: Vec<f64> = delayed.collect();
            prop_assert_eq!(lag(&delayed, &input, 24), Some(steps));
        }
    }

    #[test]
    fn smoothness_compares_the_steps_of_two_series() {
        let roughness = |values: &[f64]| {
            let mut roughness = Roughness::default();
            for value in values {
                roughness.add(*value);
            }
            roughness
        };
        let input = roughness(&[0.0, 4.0, 0.0, 4.0]);
        assert_eq!(
            roughness(&[1.0, 2.0, 1.0, 2.0]).smoothness(&input),
            Some(0.75)
        );
        assert_eq!(roughness(&[7.0; 4]).smoothness(&input), Some(1.0));
        assert_eq!(input.smoothness(&input), Some(0.0));
        assert_eq!(input.smoothness(&roughness(&[7.0, 7.0])), None);
        assert_eq!(Roughness::default().smoothness(&Roughness::default()), None);
    }
}
