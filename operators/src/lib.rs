//! Operators on readings.
//!
//! An [`Operator`](rivulet_core::operator::Operator) is one step. A [`Chain`] is several operators
//! in a row, and itself an operator. The [`catalog`] has all operators, one file each. They do not
//! know Kafka: the program
//! `rivulet-operator` runs a chain in the [stage loop](rivulet_core::stage).
//!
//! ```
//! use rivulet_core::operator::collect;
//! use rivulet_operators::Chain;
//! use rivulet_pipeline::ComponentConfig;
//!
//! let steps = [
//!     ComponentConfig::parse("threshold = { above = 10 }")?,
//!     ComponentConfig::parse("ewma = { alpha = 0.5 }")?,
//! ];
//! let chain = Chain::build(&steps).map_err(|diagnostics| diagnostics[0].clone())?;
//! assert_eq!(collect(&chain, &[20.0, 3.0, 30.0]), [25.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
