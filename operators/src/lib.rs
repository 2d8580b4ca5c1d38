//! Operators on readings.
//!
//! An [`Operator`] is one step, a [`Chain`] several run back to back, itself an operator; the
//! [`catalog`] holds them all, one file each. Nothing here knows Kafka: the program
//! `rivulet-operator` puts a chain into the [stage loop](stream::stage).

pub mod catalog;
mod chain;
pub mod stage;

pub use stream::operator::{Flow, KeyState, Operator};

pub use self::chain::Chain;
