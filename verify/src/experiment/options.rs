//! How the ground truth is compared: [`TruthOptions`].

/// How much two averages may differ, unless somebody says otherwise, in the unit of the
/// temperatures.
///
/// An average of 32-bit floats depends on the order in which they are added. The producer keeps
/// averages at least 0.01 away from the thresholds, so a difference below that changes no range
/// event.
pub const TOLERANCE: f64 = 0.01;

/// How averages are compared, and how much of the outcome is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TruthOptions {
    /// How much two averages may differ.
    pub tolerance: f64,
    /// How many differences are kept. All are counted.
    pub show: usize,
}

impl Default for TruthOptions {
    fn default() -> Self {
        TruthOptions {
            tolerance: TOLERANCE,
            show: 10,
        }
    }
}
