//! What the programs that run stages share: arguments, log lines, signals, and the connection to
//! Kafka.

pub mod cli;
mod log_config;
pub mod process;
pub mod signals;

pub use self::log_config::log_config;
