//! Where readings enter.
//!
//! A [`Source`](source::Source) brings readings in, one after the other, and can tell where it
//! stands; the [`catalog`] holds every source there is. None of them knows Kafka.

pub mod catalog;
pub mod line_reader;
pub mod position;
pub mod replay;
pub mod row;
pub mod sequences;
pub mod setting;
pub mod source;

#[cfg(test)]
mod testing;
