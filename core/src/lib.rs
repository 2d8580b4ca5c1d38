//! Stages of stream operators with exactly-once state, without a Kafka client.
//!
//! A record contains a [`Reading`](reading::Reading) in a [`Format`](format::Format). An
//! [`Operator`](operator::Operator) is one step on readings. A stage reads records from a
//! [`Log`](log::Log), processes them, and writes the results to the log: [`stage`] is that loop,
//! and [`processing`] is what an operator stage does in it.
//!
//! This crate has no Kafka client, no command line and no file format for pipelines. It compiles no
//! C, and so do the simulation and whoever tests an operator.
//!
//! ```
//! use rivulet_core::key_state::KeyState;
//! use rivulet_core::operator::{Emitter, Operator, collect};
//! use rivulet_core::reading::{InvalidReading, Reading};
//!
//! struct Double;
//!
//! impl Operator for Double {
//!     fn process(
//!         &self,
//!         reading: Reading<'_>,
//!         _: &mut [Box<dyn KeyState>],
//!         out: &mut Emitter<'_>,
//!     ) -> Result<(), InvalidReading> {
//!         out.emit(Reading { value: 2.0 * reading.value, ..reading })
//!     }
//!
//!     fn describe(&self) -> String {
//!         "double()".into()
//!     }
//! }
//!
//! assert_eq!(collect(&Double, &[1.0, 2.5]), [2.0, 5.0]);
//! ```

pub mod checkpoint;
pub mod component;
pub mod dead_letter;
pub mod description;
pub mod error;
pub mod exit;
pub mod format;
pub mod guarantee;
pub mod json;
pub mod key_state;
pub mod keyed;
pub mod limits;
pub mod listen_address;
pub mod log;
pub mod metrics;
pub mod operator;
pub mod processing;
pub mod reading;
pub mod readings;
pub mod reminder;
pub mod rules;
pub mod shutdown;
pub mod size;
pub mod stage;
pub mod stamps;
pub mod state;
pub mod text;
pub mod topic_source;
pub mod unit;
