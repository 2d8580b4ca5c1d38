//! The connection that changes topics.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use stream::error::{Error, Result};
use stream::pipeline::Topic;

use super::description::TopicSettings;
use super::{Description, settings};
use crate::cluster::{self, Cluster, Inventory, Witness};

/// How long a change may take, and then new topics to be ready and deleted ones to be gone.
const SETTLE: Duration = Duration::from_secs(30);

/// What the protocol calls "as many copies as the brokers' `default.replication.factor` says".
const DEFAULT_REPLICATION: i32 = -1;

/// How long to wait between two looks at the cluster.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks and changes; every request has a deadline.
pub(super) struct Admin {
    pub(super) cluster: Cluster,
    client: AdminClient<Witness>,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    pub(super) fn new(kafka: &BTreeMap<String, String>) -> Result<Self> {
        // librdkafka answers from a thread of its own: the runtime only waits.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| Error::new("setting up the Kafka client", error))?;
        Ok(Admin {
            cluster: Cluster::new(kafka)?,
            client: cluster::client(&cluster::config(kafka))?,
            runtime,
        })
    }

    /// Waits for an answer, which comes by the deadline in the request's options at the latest.
    fn ask<T>(&self, doing: &str, answer: impl Future<Output = KafkaResult<T>>) -> Result<T> {
        self.runtime.block_on(answer).map_err(|error| {
            cluster::unanswered(doing.to_owned(), &error, self.client.inner().context())
        })
    }

    pub(super) fn describe(
        &self,
        wanted: &BTreeMap<String, Topic>,
        inventory: &Inventory,
    ) -> Result<Description> {
        let there: Vec<ResourceSpecifier<'_>> = wanted
            .keys()
            .filter(|name| inventory.topics.contains_key(*name))
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let (mut configs, mut brokers) = (BTreeMap::new(), Vec::new());
        let mut refused = None;
        if !there.is_empty() {
            let doing = "asking for the settings of the topics";
            for (specifier, settings) in self.settings(doing, &there, &mut refused)? {
                if let OwnedResourceSpecifier::Topic(name) = specifier {
                    configs.insert(name, settings);
                }
            }
            for node in &inventory.nodes {
                // One at a time: each broker speaks for itself alone.
                let doing = format!("asking broker {node} for its settings");
                let answers =
                    self.settings(&doing, &[ResourceSpecifier::Broker(*node)], &mut refused)?;
                brokers.extend(answers.into_iter().map(|(_, settings)| settings));
            }
        }
        Ok(Description::new(wanted, &inventory.topics, &configs)
            .with_brokers(&brokers)
            .without(refused))
    }

    /// The settings of topics or of a broker, defaults among them. Those that the cluster does not
    /// show to this user are left out, and `refused` says why.
    fn settings(
        &self,
        doing: &str,
        wanted: &[ResourceSpecifier<'_>],
        refused: &mut Option<RDKafkaErrorCode>,
    ) -> Result<Vec<(OwnedResourceSpecifier, TopicSettings)>> {
        let mut found = Vec::new();
        for answer in self.ask(doing, self.client.describe_configs(wanted, &options()))? {
            match answer {
                Ok(resource) => {
                    let entries = resource.entries.into_iter();
                    let settings = entries
                        .filter_map(|entry| Some((entry.name, entry.value?)))
                        .collect();
                    found.push((resource.specifier, settings));
                }
                Err(
                    code @ (RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed),
                ) => {
                    refused.get_or_insert(code);
                }
                Err(code) => return Err(Error::new(doing, code)),
            }
        }
        Ok(found)
    }

    /// Makes topics, and tells for each what came of it.
    pub(super) fn create(
        &self,
        missing: &BTreeMap<&str, &Topic>,
    ) -> Result<Vec<(String, Result<(), RDKafkaErrorCode>)>> {
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let settings: Vec<BTreeMap<String, String>> =
            missing.values().map(|topic| settings(topic)).collect();
        let topics: Vec<NewTopic<'_>> = missing
            .iter()
            .zip(&settings)
            .map(|((name, topic), settings)| NewTopic {
                name,
                num_partitions: topic.partitions,
                replication: TopicReplication::Fixed(
                    topic.replication.unwrap_or(DEFAULT_REPLICATION),
                ),
                config: settings
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect(),
            })
            .collect();
        let results = self.ask(
            "creating the topics",
            self.client.create_topics(&topics, &options()),
        )?;
        Ok(results
            .into_iter()
            .map(|result| match result {
                Ok(name) => (name, Ok(())),
                Err((name, code)) => (name, Err(code)),
            })
            .collect())
    }

    pub(super) fn delete(&self, there: &[&str]) -> Result<()> {
        if there.is_empty() {
            return Ok(());
        }
        for result in self.ask(
            "deleting the topics",
            self.client.delete_topics(there, &options()),
        )? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => (),
                Err((name, code)) => return Err(refused("deleting", &name, code)),
            }
        }
        Ok(())
    }

    /// Looks at the cluster until `lacks` names nothing any more that is still to happen.
    pub(super) fn wait_until(
        &self,
        doing: &str,
        lacks: impl Fn(&Inventory) -> Option<String>,
    ) -> Result<()> {
        let deadline = Instant::now() + SETTLE;
        while let Some(lacking) = lacks(&self.cluster.inventory()?) {
            if Instant::now() > deadline {
                return Err(
                    Error::new(doing, format!("after {} s {lacking}", SETTLE.as_secs())).help(
                        "look at the brokers' logs; `rivulet topics list` shows what is there",
                    ),
                );
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(SETTLE))
        .operation_timeout(Some(SETTLE))
}

pub(super) fn refused(doing: &str, name: &str, code: RDKafkaErrorCode) -> Error {
    let error = Error::new(format!("{doing} the topic {name}"), code);
    match code {
        RDKafkaErrorCode::InvalidConfig => error.help(format!(
            "correct the settings in [topic.{name}] config: the broker's log says which it refuses"
        )),
        RDKafkaErrorCode::InvalidReplicationFactor => {
            error.help("lower `replication`, or start the other brokers")
        }
        RDKafkaErrorCode::TopicDeletionDisabled => {
            error.help("the brokers are set to delete.topic.enable=false")
        }
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => error.help(
            "the user in [kafka] lacks the right to do that; the cluster's administrator can grant \
             it",
        ),
        _ => error.help("look at the brokers' logs"),
    }
}
