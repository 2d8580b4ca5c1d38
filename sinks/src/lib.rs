//! Where readings leave.
//!
//! A [`Sink`](sink::Sink) takes readings out; the [`catalog`] holds every sink there is, one file
//! each. What they show goes to an [`Output`](output::Output). A sink knows nothing of Kafka:
//! [`run`] puts one into the stage loop.

pub mod catalog;
pub mod output;
mod run;
pub mod sink;

pub use self::run::run;

mod json;
mod place;
mod positions;
mod text;
