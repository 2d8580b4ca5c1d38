//! Operators on readings.
//!
//! An [`Operator`](rivulet_core::operator::Operator) is one step. A [`Chain`] is several operators
//! in a row, and itself an operator. The [`catalog`] has all operators, one file each. They do not
//! know Kafka: the program
//! `rivulet-operator` runs a chain in the [stage loop](rivulet_core::stage).

pub mod catalog;
mod chain;
mod check;
#[cfg(feature = "program")]
mod program;
mod registry;
#[cfg(feature = "program")]
mod run;

pub use self::chain::Chain;
#[cfg(feature = "program")]
pub use self::program::program;
pub use self::registry::OperatorRegistry;
#[cfg(feature = "program")]
pub use self::run::run;
