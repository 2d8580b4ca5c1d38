//! Where readings enter.
//!
//! A [`Source`](source::Source) brings readings in, one after the other, and can tell where it
//! stands; the [`catalog`] holds every source there is. None of them knows Kafka: [`source_loop`] sends
//! what they bring.

pub mod catalog;
mod line_reader;
mod pace;
mod position;
pub mod progress;
mod replay;
mod row;
mod run;
mod sequences;
mod setting;
pub mod source;
pub mod source_loop;
#[cfg(test)]
mod testing;

pub use self::run::run;
