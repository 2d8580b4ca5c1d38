//! Everything that rivulet does with Apache Kafka. No other crate names its client.
//!
//! [`KafkaLog`] is the [`Log`](rivulet_core::log::Log) of a stage. The other types are for tools:
//! [`Cluster`] and [`Admin`] ask for topics and groups and change them, [`TopicReader`] reads
//! topics to their ends, [`Tail`] follows them, [`Consumer`] reads them as any program may, and
//! [`Producer`] sends records. [`Group`] and [`Transaction`] change what a stopped stage goes on
//! from, and [`GroupOffsets`] what any other group does.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use rivulet_kafka::{Cluster, EmbeddedBroker};
//!
//! let broker = EmbeddedBroker::start()?;
//! broker.create_topic("temperatures", 4)?;
//! let properties = BTreeMap::from([("bootstrap.servers".to_owned(), broker.brokers())]);
//! let topics = Cluster::new(&properties.into())?.inventory()?.topics;
//! assert_eq!(topics["temperatures"].partitions, 4);
//! # Ok::<(), rivulet_core::error::Error>(())
//! ```

mod admin;
mod certificates;
mod cluster;
mod commit;
mod committed;
mod config;
mod connection;
mod consumer;
mod embedded;
mod error_class;
mod failure;
mod group;
mod group_offsets;
mod log;
mod log_config;
mod log_dirs;
mod member;
mod monitor;
mod partitions;
mod producer;
mod reader;
mod record;
mod setup;
mod tail;
mod tool_client;
mod topic_reader;
mod transaction;
mod trust;
mod waits;
mod wire;

pub use self::admin::{Admin, NewTopic, TopicCreation, TopicSetting};
pub use self::certificates::certificate_expiries;
pub use self::cluster::{Cluster, FoundTopic, Inventory};
pub use self::config::is_known_property;
pub use self::connection::Connection;
pub use self::consumer::{Consumer, ConsumerEvent, ConsumerSettings, Position};
pub use self::embedded::EmbeddedBroker;
pub use self::group::{Committed, Group, Membership};
pub use self::group_offsets::GroupOffsets;
pub use self::log::KafkaLog;
pub use self::log_config::LogConfig;
pub use self::log_dirs::ReplicaSize;
pub use self::member::{FoundGroup, FoundMember};
pub use self::partitions::{FoundPartition, PartitionOffset};
pub use self::producer::{DEFAULT_MAX_MESSAGE, DeliveryReport, Producer, ProducerSettings};
pub use self::record::{KafkaRecord, OwnedRecord};
pub use self::tail::{ReadFrom, Tail};
pub use self::topic_reader::TopicReader;
pub use self::transaction::Transaction;
