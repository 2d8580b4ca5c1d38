//! The sources of readings.
//!
//! A [`Source`](source::Source) yields readings, one after the other, and knows its position. The
//! [`catalog`] lists all sources. A source knows nothing of Kafka: [`source_loop`] sends what it
//! yields. Readings of a source that cannot read them again wait for Kafka in a [`spool`], and for
//! the [`clock`] if they were measured before it was set.

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

pub use self::run::{check, run};
