//! Where readings enter.
//!
//! A [`Source`](source::Source) brings readings in, one after the other, and can tell where it
//! stands; the [`catalog`] holds every source there is. None of them knows Kafka: [`source_loop`]
//! sends what they bring. What cannot be read again waits for Kafka in a [`spool`], and what was
//! measured too early for the [`clock`].

pub mod buffer;
pub mod catalog;
pub mod clock;
pub mod line_reader;
mod pace;
mod position;
pub mod progress;
mod replay;
pub mod row;
mod run;
mod sequences;
mod setting;
pub mod source;
pub mod source_loop;
pub mod spool;
#[cfg(test)]
mod testing;
mod unique;

pub use self::run::run;
