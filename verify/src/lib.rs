//! The comparison of every topic with what must be in it.
//!
//! [`verify`] reads the topics that producers or other programs write. It computes with plain,
//! naive code what every operator of the pipeline must have made of them, and compares that with
//! the output topics. The expected output of a stage is computed from the *expected* output of the
//! stage before it, never from the actual one. A wrong stage therefore shows in its own topic and
//! in all topics after it. Readings that a stage must have rejected as invalid are counted and
//! compared with its dead letters.
//!
//! A dead letter that was replayed or dropped (`rivulet dlq`) is resolved: neither it nor its
//! record counts for the stage any more. A replayed record is in its topic a second time and counts
//! like any other record. If it is invalid again, there must be another dead letter; if it is
//! processed, its result must be there. In a topic that the pipeline itself writes, the position of
//! a replayed record is unknown. The readings of its sensor are compared without their order there.
//!
//! Each change of a stage's settings that kept or reset its state (`rivulet state`) is recorded in
//! its dead-letter topic. Readings below the recorded offsets are processed with the old settings.
//! The input topic itself shows how many readings those are. Nothing can be verified if the topic
//! does not hold what it must, or if its first records were deleted.
//!
//! If retention has deleted the first records of a topic, their results cannot be computed. Those
//! results are counted apart and accepted as found, so that what the next stages make of them is
//! verified. A stage with state is verified again as soon as its state no longer depends on deleted
//! records: an average once its window is full, an EWMA after the first result that is found, the
//! mean of a measurement from the second measurement on.
//! Readings that are missing because the beginning of a stage's own output was deleted are counted
//! apart, too.
//!
//! [`experiment`] verifies something else: experiments, by the ground truth log of their producer.
//!
//! This crate shares nothing with `rivulet-operators`, and its decoding nothing with
//! `rivulet-core`. Run it when the consumer lag is zero: readings that are still in flight count as
//! missing.
//!
//! Where the order of readings is not defined (one sensor in several inputs or partitions, bare
//! numbers in several partitions), readings are compared without their order. What a stage with
//! state makes of such readings cannot be computed. Its output topics, and all topics after them,
//! are shown as not verifiable.
//!
//! A decoded record takes about 56 bytes of memory. It is held from the time its topic is read
//! until all stages that read the topic have been computed.
//!
//! ```
//! use std::sync::Arc;
//!
//! use rivulet_pipeline::{Pipeline, Text};
//!
//! let text = r#"
//! [topic.warm]
//! external = true
//!
//! [operator.smooth]
//! from  = "warm"
//! steps = [{ ewma = { alpha = 0.5 } }]
//! to    = "smooth-values"
//! "#;
//! let path = "pipeline.toml".into();
//! let pipeline = Pipeline::parse(Arc::new(Text { path, text: text.into() }))?;
//! // A reader of these topics is a `TopicSource`, which `verify` takes.
//! let topics = rivulet_verify::topics(&pipeline);
//! assert_eq!(topics, ["smooth-dead-letters", "smooth-values", "warm"]);
//! # Ok::<(), rivulet_pipeline::Diagnostics>(())
//! ```

mod compare;
mod dead_letters;
mod decode;
mod diff;
pub mod experiment;
mod history;
mod report;
mod sequence;
mod steps;
mod stream;
mod truth;
mod verification;

use rivulet_core::error::Result;
use rivulet_core::topic_source::TopicSource;
use rivulet_pipeline::Pipeline;

pub use self::decode::{NoRegistry, Schemas};
pub use self::report::{
    DifferenceKind, ReadingCounts, ReadingDifference, Report, TopicOutcome, TopicReport,
};
use self::verification::Verification;

/// What counts as an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// A reading that is found twice with the same value is counted apart and is no error: for
    /// pipelines that run `at-least-once`.
    pub allow_duplicates: bool,
}

/// The topics of a pipeline that [`verify`] reads, each once.
#[must_use]
pub fn topics(pipeline: &Pipeline) -> Vec<String> {
    Verification::new(pipeline, Options::default(), &NoRegistry).topics()
}

/// Compares all topics of a pipeline with what must be in them. `schemas` is asked for the schemas
/// of topics that have a schema registry.
///
/// # Errors
/// Those of [`TopicSource::read`].
pub fn verify(
    pipeline: &Pipeline,
    options: Options,
    schemas: &dyn Schemas,
    topics: &mut dyn TopicSource,
) -> Result<Report> {
    Verification::new(pipeline, options, schemas).run(topics)
}

#[cfg(test)]
mod tests;
