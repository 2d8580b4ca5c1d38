//! The brokers that a statement is tested on.

use rivulet_core::log::{Fault, Log};
use rivulet_pipeline::Pipeline;

/// The brokers of a log.
pub trait Broker {
    /// The log of a stage.
    type Log: Log;

    /// Tables for the pipeline file. Top-level settings must come first.
    fn settings(&self) -> String;

    /// A suffix for the names of one statement's topics and stages.
    fn suffix(&self) -> String;

    /// Creates the topics of a pipeline.
    fn make_topics(&self, pipeline: &Pipeline);

    /// Starts the only stage of a pipeline.
    ///
    /// # Errors
    /// If the stage does not start.
    fn open(&self, pipeline: &Pipeline, instance: &str) -> Result<Self::Log, Fault>;

    /// Writes a record outside of the log.
    fn write(&self, topic: &str, value: &str);

    /// The committed values of a topic in the order of its partitions, at least `at_least`.
    fn read(&self, topic: &str, at_least: usize) -> Vec<String>;

    /// Deletes the records of a topic's first partition below an offset.
    fn delete_records(&self, topic: &str, before: i64);

    /// Kills a process.
    fn kill(&self, log: Self::Log);
}
