//! Formats on a sample of records: what one makes of them, and which mapping would fit.

pub mod attempt;
pub mod guess;
pub mod sample;
