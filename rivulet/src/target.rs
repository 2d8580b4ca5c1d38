//! The cluster that a command works on, with or without a pipeline file: [`Target`].

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rivulet_core::error::{Error, Kind};
use rivulet_kafka::Connection;
use rivulet_node::cli::{BoxError, Common, DEFAULT_PIPELINE};
use rivulet_pipeline::Prefix;

use crate::CheckedPipeline;
use crate::Registry;

/// The cluster that a command works on.
#[derive(Debug)]
pub struct Target<'r> {
    /// How to reach it.
    pub connection: Connection,
    /// The pipeline, if there is a pipeline file.
    pub pipeline: Option<CheckedPipeline<'r>>,
    /// What stands before the names that commands give to groups and transactions of their own.
    pub prefix: Prefix,
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
        let prefix = match &pipeline {
            Some(pipeline) => pipeline.prefix.clone(),
            None => common.prefix.clone().unwrap_or_default(),
        };
        Ok(Target {
            connection: Connection {
                properties,
                timeout,
            },
            pipeline,
            prefix,
        })
    }

    /// The name in Kafka of a topic that a command names: the pipeline file's name of it, or
    /// Kafka's own.
    #[must_use]
    pub fn topic(&self, name: &str) -> String {
        let pipeline = self.pipeline.as_ref();
        pipeline.map_or_else(|| name.to_owned(), |file| file.in_kafka(name))
    }

    /// The names in Kafka of [topics](Self::topic) that a command names.
    #[must_use]
    pub fn topics(&self, names: &[String]) -> Vec<String> {
        names.iter().map(|name| self.topic(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches};

    use super::*;

    /// What these options make of a file.
    fn target(options: &[&str], file: &str) -> (Prefix, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        std::fs::write(&path, file).unwrap();
        let words = ["rivulet", "--brokers", "b:1", "--pipeline"].map(str::to_owned);
        let words = words.into_iter().chain([path.display().to_string()]);
        let words = words.chain(options.iter().map(|word| (*word).to_owned()));
        let matches = Common::augment_args(Command::new("rivulet")).get_matches_from(words);
        let common = Common::from_arg_matches(&matches).unwrap();
        let registry = Registry::default();
        let target = Target::new(&common, None, &registry).unwrap();
        let pipeline = target.pipeline.as_ref().unwrap();
        (
            target.prefix.clone(),
            pipeline.stages[0].group(),
            target.topic("warm"),
        )
    }

    #[test]
    fn the_prefix_of_the_command_line_goes_over_that_of_the_file() {
        const FILE: &str = "[producer.in]\nsource = \"thermal\"\nto = \"warm\"\n";
        let of_file = format!("prefix = \"team7-\"\n{FILE}");
        for (options, file, prefix) in [
            (&[][..], FILE, ""),
            (&[], of_file.as_str(), "team7-"),
            (&["--prefix", "team8-"], FILE, "team8-"),
            (&["--prefix", "team8-"], of_file.as_str(), "team8-"),
            (&["--prefix", ""], of_file.as_str(), ""),
        ] {
            let found = target(options, file);
            let expected: Prefix = prefix.parse().unwrap();
            assert_eq!(
                found,
                (expected, format!("{prefix}in"), format!("{prefix}warm"))
            );
        }
    }
}
