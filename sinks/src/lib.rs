//! The sinks of readings.
//!
//! A [`Sink`](sink::Sink) shows or stores readings. The [`catalog`] lists all sinks, one file each.
//! What they show goes to an [`Output`](output::Output). A sink knows nothing of Kafka:
//! [`SinkTask`] runs one in the stage loop.
//!
//! ```
//! use rivulet_pipeline::ComponentConfig;
//! use rivulet_sinks::catalog::{SinkContext, read};
//!
//! let console = ComponentConfig::parse("console = { title = \"\" }").unwrap();
//! let topics = vec!["temperatures".to_owned()];
//! let settings = read(&console, &topics).unwrap();
//! let mut sink = settings.open(SinkContext::new(".", "show", topics))?;
//! sink.finish()?;
//! # Ok::<(), rivulet_core::error::Error>(())
//! ```

pub mod catalog;
mod check;
pub mod output;
#[cfg(feature = "program")]
mod program;
mod registry;
#[cfg(feature = "program")]
mod run;
pub mod sink;
mod task;

#[cfg(feature = "program")]
pub use self::program::program;
pub use self::registry::SinkRegistry;
#[cfg(feature = "program")]
pub use self::run::run;
pub use self::task::SinkTask;

mod json;
mod offsets;
mod storage;
mod text;
