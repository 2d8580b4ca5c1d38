//! The cluster that a command works on, with or without a pipeline file: [`Target`].

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rivulet_core::error::{Error, Kind};
use rivulet_kafka::Connection;
use rivulet_node::cli::{BoxError, Common, DEFAULT_PIPELINE};

use crate::CheckedPipeline;
use crate::Registry;

/// The cluster that a command works on.
#[derive(Debug)]
pub struct Target<'r> {
    /// How to reach it.
    pub connection: Connection,
    /// The pipeline, if there is a pipeline file.
    pub pipeline: Option<CheckedPipeline<'r>>,
}

impl<'r> Target<'r> {
    /// The cluster of the command line. The pipeline file may be missing if it has its default
    /// name and the brokers are given.
    ///
    /// # Errors
    /// All errors in the file, or no brokers.
    pub fn new(
        common: &Common,
        timeout: Option<Duration>,
        registry: &'r Registry,
    ) -> Result<Self, BoxError> {
        let is_optional = common.pipeline == Path::new(DEFAULT_PIPELINE);
        let pipeline = if is_optional && !common.pipeline.exists() {
            None
        } else {
            Some(CheckedPipeline::load(common, registry)?)
        };
        let properties = match &pipeline {
            Some(pipeline) => pipeline.kafka.clone(),
            None => common.client_properties(BTreeMap::new())?,
        };
        if !properties.contains_key("bootstrap.servers") {
            let cause = format!("no brokers are given, and there is no {DEFAULT_PIPELINE}");
            return Err(Error::new("looking for the cluster", cause)
                .of_kind(Kind::Usage)
                .help("name them with --brokers HOST:PORT, or a pipeline file with --pipeline")
                .into());
        }
        Ok(Target {
            connection: Connection {
                properties,
                timeout,
            },
            pipeline,
        })
    }
}
