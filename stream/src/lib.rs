//! What every rivulet process shares.
//!
//! A [`Reading`](reading::Reading) travels in a record, written in a [`Format`](format::Format). A
//! [`Pipeline`](pipeline::Pipeline) names stages and topics. A stage reads records from a
//! [`Log`](log::Log), works on them, and writes the results back to it: [`stage`] is that loop,
//! [`kafka`] the log it runs on.

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
pub mod shutdown;
pub mod size;
pub mod stage;
pub mod stamps;
pub mod state;
