//! The sinks of readings.
//!
//! A [`Sink`](sink::Sink) shows or stores readings. The [`catalog`] lists all sinks, one file each.
//! What they show goes to an [`Output`](output::Output). A sink knows nothing of Kafka: [`run`]
//! runs one in the stage loop.

pub mod catalog;
pub mod output;
mod run;
pub mod sink;

pub use self::run::{check, run};

mod json;
mod offsets;
mod storage;
mod text;
