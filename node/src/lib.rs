//! What the programs that run stages share: arguments, log lines, signals, and the connection to
//! Kafka.
//!
//! ```
//! use std::sync::Arc;
//!
//! use rivulet_node::log_config;
//! use rivulet_pipeline::{Pipeline, Text};
//!
//! let path = "pipeline.toml".into();
//! let text = "[producer.thermometer]\nsource = \"thermal\"\nto = \"temperatures\"\n".into();
//! let pipeline = Pipeline::parse(Arc::new(Text { path, text }))?;
//! let config = log_config(&pipeline, &pipeline.stages[0], "rpi0");
//! assert_eq!((config.stage.as_str(), config.instance.as_str()), ("thermometer", "rpi0"));
//! # Ok::<(), rivulet_pipeline::Diagnostics>(())
//! ```

pub mod cli;
pub mod log;
mod log_config;
pub mod observe;
pub mod process;
pub mod signals;

pub use self::log_config::log_config;
