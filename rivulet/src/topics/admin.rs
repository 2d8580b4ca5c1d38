//! The admin client.

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
use crate::cluster::{self, Cluster, Inventory, LastError};

/// How long a request may take, and how long until new topics are ready or deleted ones are gone.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The value of the protocol for the brokers' `default.replication.factor`.
const DEFAULT_REPLICATION: i32 = -1;

/// The time between two metadata requests.
const PAUSE: Duration = Duration::from_millis(50);

/// An admin client. Every request has a timeout.
pub(super) struct Admin {
    pub(super) cluster: Cluster,
    client: AdminClient<LastError>,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    pub(super) fn new(kafka: &BTreeMap<String, String>) -> Result<Self> {
        // librdkafka has its own threads: the runtime only waits.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| Error::new("setting up the Kafka client", error))?;
        Ok(Admin {
            cluster: Cluster::new(kafka)?,
            client: cluster::client(&cluster::config(kafka))?,
            runtime,
        })
    }

    /// Waits for a response. The request has a timeout in its options.
    fn ask<T>(&self, doing: &str, answer: impl Future<Output = KafkaResult<T>>) -> Result<T> {
        self.runtime.block_on(answer).map_err(|error| {
            cluster::unreachable_error(doing.to_owned(), &error, self.client.inner().context())
        })
    }

    pub(super) fn describe(
        &self,
        wanted: &BTreeMap<String, Topic>,
        inventory: &Inventory,
    ) -> Result<Description> {
        let existing: Vec<ResourceSpecifier<'_>> = wanted
            .keys()
            .filter(|name| inventory.topics.contains_key(*name))
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let (mut configs, mut brokers) = (BTreeMap::new(), Vec::new());
        let mut denied = None;
        if !existing.is_empty() {
            let doing = "asking for the settings of the topics";
            for (specifier, settings) in self.settings(doing, &existing, &mut denied)? {
                if let OwnedResourceSpecifier::Topic(name) = specifier {
                    configs.insert(name, settings);
                }
            }
            for node in &inventory.nodes {
                // One at a time: a broker only has its own settings.
                let doing = format!("asking broker {node} for its settings");
                let answers =
                    self.settings(&doing, &[ResourceSpecifier::Broker(*node)], &mut denied)?;
                brokers.extend(answers.into_iter().map(|(_, settings)| settings));
            }
        }
        Ok(Description::new(wanted, &inventory.topics, &configs)
            .with_brokers(&brokers)
            .with_denied(denied))
    }

    /// The settings of topics or of a broker, including defaults. Resources that this user may not
    /// describe are left out, and `denied` becomes the error code.
    fn settings(
        &self,
        doing: &str,
        wanted: &[ResourceSpecifier<'_>],
        denied: &mut Option<RDKafkaErrorCode>,
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
                    denied.get_or_insert(code);
                }
                Err(code) => return Err(Error::new(doing, code)),
            }
        }
        Ok(found)
    }

    /// Creates topics. Returns the result for each.
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

    pub(super) fn delete(&self, existing: &[&str]) -> Result<()> {
        if existing.is_empty() {
            return Ok(());
        }
        for result in self.ask(
            "deleting the topics",
            self.client.delete_topics(existing, &options()),
        )? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => (),
                Err((name, code)) => return Err(rejection("deleting", &name, code)),
            }
        }
        Ok(())
    }

    /// Waits until `unmet` returns `None`: it names an unmet condition.
    pub(super) fn wait_until(
        &self,
        doing: &str,
        unmet: impl Fn(&Inventory) -> Option<String>,
    ) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        while let Some(unmet) = unmet(&self.cluster.inventory()?) {
            if Instant::now() > deadline {
                return Err(
                    Error::new(doing, format!("after {} s {unmet}", TIMEOUT.as_secs())).help(
                        "see the brokers' logs; `rivulet topics list` lists the existing topics",
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
        .request_timeout(Some(TIMEOUT))
        .operation_timeout(Some(TIMEOUT))
}

pub(super) fn rejection(doing: &str, name: &str, code: RDKafkaErrorCode) -> Error {
    let error = Error::new(format!("{doing} the topic {name}"), code);
    match code {
        RDKafkaErrorCode::InvalidConfig => error.help(format!(
            "correct the settings in [topic.{name}] config: the broker's log says which is invalid"
        )),
        RDKafkaErrorCode::InvalidReplicationFactor => {
            error.help("lower `replication`, or start the other brokers")
        }
        RDKafkaErrorCode::TopicDeletionDisabled => {
            error.help("set delete.topic.enable=true on the brokers")
        }
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => error.help(
            "the user in [kafka] is not authorized; the cluster's administrator can add an ACL",
        ),
        _ => error.help("see the brokers' logs"),
    }
}
