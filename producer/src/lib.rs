//! The sources of readings.
//!
//! A [`Source`](source::Source) yields readings, one after the other, and knows its position. The
//! [`catalog`] lists all sources. A source knows nothing of Kafka: [`source_loop`] sends what it
//! yields. Readings of a source that cannot read them again wait for Kafka in a [`spool`], and for
//! the [`clock`] if they were measured before it was set.
//!
//! ```
//! use std::time::Duration;
//!
//! use rivulet_pipeline::ComponentConfig;
//! use rivulet_producer::catalog::{SourceContext, read};
//! use rivulet_producer::source::Next;
//!
//! let list = ComponentConfig::parse("list = { values = [20, 21.5] }").unwrap();
//! let mut source = read(&list).unwrap().open(&SourceContext::default())?;
//! let Next::Reading(first) = source.next(Duration::ZERO)? else { panic!("it has two") };
//! assert_eq!((first.seq, first.value), (0, 20.0));
//! # Ok::<(), rivulet_core::error::Error>(())
//! ```

pub mod buffer;
pub mod catalog;
mod check;
pub mod clock;
pub mod experiment;
pub mod line_reader;
pub mod pace;
mod position;
#[cfg(feature = "program")]
mod program;
#[cfg(feature = "program")]
mod progress;
mod registry;
mod replay;
pub mod row;
#[cfg(feature = "program")]
mod run;
mod sequences;
mod setting;
pub mod source;
pub mod source_loop;
pub mod spool;
#[cfg(test)]
mod testing;
mod unique;

#[cfg(feature = "program")]
pub use self::program::program;
pub use self::registry::ProducerRegistry;
#[cfg(feature = "program")]
pub use self::run::run;
