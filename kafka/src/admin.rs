//! The admin client.

mod records;
mod settings;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{self, AdminClient, AdminOptions, TopicReplication};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rivulet_core::error::{Error, Kind, Result};

use crate::cluster::{Cluster, Inventory};
use crate::connection::Connection;
use crate::error_class;
use crate::tool_client::{self, LastError};
use crate::wire;

pub use self::settings::TopicSetting;

/// How long a request may take, and how long until new topics are ready or deleted ones are gone.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The value of the protocol for the brokers' `default.replication.factor`.
const DEFAULT_REPLICATION: i32 = -1;

/// The time between two metadata requests.
const PAUSE: Duration = Duration::from_millis(50);

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each has. `None` is the brokers' `default.replication.factor`.
    pub replication: Option<i32>,
    /// Its settings, such as `retention.ms`.
    pub settings: BTreeMap<String, String>,
}

/// What became of a topic that was to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicCreation {
    /// It was created.
    Created,
    /// Another program has just created it.
    Existed,
    /// The brokers reject it.
    Rejected(Error),
}

/// An admin client. Every request has a timeout.
pub struct Admin {
    /// For requests about what there is.
    pub cluster: Cluster,
    client: AdminClient<LastError>,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    /// Sets up the client without a request.
    ///
    /// # Errors
    /// If librdkafka rejects a property.
    pub fn new(connection: &Connection) -> Result<Self> {
        // librdkafka has its own threads: the runtime only waits.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| Error::new("setting up the Kafka client", error))?;
        Ok(Admin {
            cluster: Cluster::new(connection)?,
            client: tool_client::client(&tool_client::config(connection))?,
            runtime,
        })
    }

    /// Waits for a response. The request has a timeout in its options.
    fn ask<T>(&self, doing: &str, answer: impl Future<Output = KafkaResult<T>>) -> Result<T> {
        self.runtime.block_on(answer).map_err(|error| {
            tool_client::unreachable_error(doing.to_owned(), &error, self.client.inner().context())
        })
    }

    /// Creates topics. Returns the result for each.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn create(&self, topics: &[NewTopic]) -> Result<Vec<(String, TopicCreation)>> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = topics.iter();
        let wanted: Vec<admin::NewTopic<'_>> = wanted
            .map(|topic| admin::NewTopic {
                name: &topic.name,
                num_partitions: topic.partitions,
                replication: TopicReplication::Fixed(
                    topic.replication.unwrap_or(DEFAULT_REPLICATION),
                ),
                config: topic
                    .settings
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect(),
            })
            .collect();
        let results = self.ask(
            "creating the topics",
            self.client.create_topics(&wanted, &options()),
        )?;
        Ok(results
            .into_iter()
            .map(|result| match result {
                Ok(name) => (name, TopicCreation::Created),
                Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => (name, TopicCreation::Existed),
                Err((name, code)) => {
                    let mut rejected = topics.iter().filter(|topic| topic.name == name);
                    let reason = rejected.next().and_then(|topic| self.reason(topic));
                    let error = rejection("creating", &name, code, reason);
                    (name, TopicCreation::Rejected(error))
                }
            })
            .collect())
    }

    /// Why the brokers reject a topic, in their own words. librdkafka has them, and its wrapper
    /// keeps only the error code.
    fn reason(&self, topic: &NewTopic) -> Option<String> {
        let metadata = self.cluster.metadata().ok()?;
        let properties = &self.cluster.connection.properties;
        let mut brokers = metadata.brokers().iter();
        brokers.find_map(|broker| {
            let (host, port) = (broker.host(), u16::try_from(broker.port()).ok()?);
            wire::creation::reason(properties, (host, port), topic)
        })
    }

    /// Deletes topics. One that does not exist is no error.
    ///
    /// # Errors
    /// If the brokers are unreachable, or reject the deletion.
    pub fn delete(&self, existing: &[&str]) -> Result<()> {
        if existing.is_empty() {
            return Ok(());
        }
        for result in self.ask(
            "deleting the topics",
            self.client.delete_topics(existing, &options()),
        )? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => (),
                Err((name, code)) => return Err(rejection("deleting", &name, code, None)),
            }
        }
        Ok(())
    }

    /// Waits until `unmet` returns `None`: it names an unmet condition.
    ///
    /// # Errors
    /// If the brokers are unreachable, or the condition is not met in time.
    pub fn wait_until(
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

fn rejection(doing: &str, name: &str, code: RDKafkaErrorCode, reason: Option<String>) -> Error {
    let is_explained = reason.is_some();
    let cause = reason.map_or_else(|| code.to_string(), |reason| format!("{code}: {reason}"));
    let error =
        Error::new(format!("{doing} the topic {name}"), cause).of_kind(error_class::kind(code));
    match code {
        RDKafkaErrorCode::InvalidConfig => error.help(format!(
            "correct the setting in [topic.{name}] config of the pipeline file, or in --config"
        )),
        RDKafkaErrorCode::InvalidTopic => error
            .of_kind(Kind::Usage)
            .help("choose a name of at most 249 letters, digits, `.`, `_` and `-`"),
        RDKafkaErrorCode::InvalidReplicationFactor => {
            error.help("lower the number of copies, or start the other brokers")
        }
        RDKafkaErrorCode::TopicDeletionDisabled => {
            error.help("set delete.topic.enable=true on the brokers")
        }
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => error.help(
            "the user in [kafka] is not authorized; the cluster's administrator can add an ACL",
        ),
        _ if is_explained => error,
        _ => error.help("see the brokers' logs"),
    }
}
