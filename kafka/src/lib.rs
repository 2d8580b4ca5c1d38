//! Everything that rivulet does with Apache Kafka. No other crate names its client.
//!
//! [`KafkaLog`] is the [`Log`](rivulet_core::log::Log) of a stage. The other types are for tools:
//! [`Cluster`] and [`Admin`] ask for topics and groups and change them, [`TopicReader`] reads
//! topics to their ends, [`Tail`] follows them, [`Group`] and [`Transaction`] change what a stopped
//! stage goes on from.
//!
//! ```
//! use rivulet_kafka::{Cluster, EmbeddedBroker};
//!
//! let broker = EmbeddedBroker::start()?;
//! broker.create_topic("temperatures", 4)?;
//! let properties = [("bootstrap.servers".to_owned(), broker.brokers())].into();
//! let topics = Cluster::new(&properties)?.inventory()?.topics;
//! assert_eq!(topics["temperatures"].partitions, 4);
//! # Ok::<(), rivulet_core::error::Error>(())
//! ```

mod admin;
mod cluster;
mod committed;
mod config;
mod embedded;
mod error_class;
mod failure;
mod group;
mod log;
mod log_config;
mod member;
mod monitor;
mod reader;
mod record;
mod setup;
mod tail;
mod tool_client;
mod topic_reader;
mod transaction;
mod trust;
mod waits;

pub use self::admin::{Admin, NewTopic, TopicCreation};
pub use self::cluster::{Cluster, FoundTopic, Inventory};
pub use self::config::is_known_property;
pub use self::embedded::EmbeddedBroker;
pub use self::group::{Committed, Group, Membership};
pub use self::log::KafkaLog;
pub use self::log_config::LogConfig;
pub use self::member::{FoundGroup, FoundMember};
pub use self::record::KafkaRecord;
pub use self::tail::{ReadFrom, Tail, TailRecord};
pub use self::topic_reader::TopicReader;
pub use self::transaction::Transaction;
