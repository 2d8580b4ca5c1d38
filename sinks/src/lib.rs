//! Where readings leave.
//!
//! A [`Sink`](sink::Sink) takes readings out; the [`catalog`] holds every sink there is, one file
//! each. What they show goes to an [`Output`](output::Output). A sink knows nothing of Kafka.

pub mod catalog;
pub mod output;
pub mod sink;

mod json;
mod text;
