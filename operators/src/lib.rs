//! Operators on readings.
//!
//! An [`Operator`] is one step. A [`Chain`] is several operators in a row, and itself an operator.
//! The [`catalog`] has all operators, one file each. They do not know Kafka: the program
//! `rivulet-operator` runs a chain in the [stage loop](stream::stage).

pub mod catalog;
mod chain;
pub mod stage;

pub use stream::operator::{Flow, KeyState, Operator};

pub use self::chain::Chain;
