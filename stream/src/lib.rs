//! The library of all rivulet processes.
//!
//! A record contains a [`Reading`](reading::Reading) in a [`Format`](format::Format). A
//! [`Pipeline`](pipeline::Pipeline) has stages and topics. A stage reads records from a
//! [`Log`](log::Log), processes them, and writes the results to the log: [`stage`] is that loop,
//! and [`kafka`] is the log.

pub mod catalog;
pub mod checkpoint;
pub mod cli;
pub mod client_file;
pub mod counters;
pub mod dead_letter;
pub mod error;
pub mod exit;
pub mod format;
pub mod kafka;
pub mod limits;
pub mod log;
pub mod operator;
pub mod pipeline;
pub mod process;
pub mod processing;
pub mod reading;
pub mod reminder;
#[cfg(feature = "schema")]
pub mod schema;
pub mod shutdown;
pub mod size;
pub mod stage;
pub mod stamps;
pub mod state;
