//! Where readings enter.
//!
//! A [`Source`](source::Source) brings readings in, one after the other, and can tell where it
//! stands; the [`catalog`] holds every source there is. None of them knows Kafka: [`run`] is the loop
//! that sends what they bring.

pub mod catalog;
pub mod line_reader;
pub mod pace;
pub mod position;
pub mod progress;
pub mod row;
mod run;
pub mod sequences;
pub mod setting;
pub mod source;

pub use self::run::run;

#[cfg(test)]
mod testing;
