//! Tests across all crates: the real binaries, as processes, on a real Apache Kafka.
//!
//! A [`Kafka`] is a broker that is started for a test. A [`Cluster`] has three, which can fail one
//! by one. A [`PipelineBuilder`] is the text of a pipeline file. Broker and pipeline make a
//! [`Scenario`], which starts stages as [`Process`]es. The names of its stages and topics are
//! unique, so all scenarios share one broker. [`records`] is a plain Kafka client that knows
//! nothing of rivulet, and [`chain`] is the worked example. A [`Browser`] opens pages.
//!
//! `make test` installs what this needs, and starts the shared broker. A test that lacks something
//! fails and says what. `kafka/version` is the version of Kafka, unless `RIVULET_TEST_KAFKA` names
//! another.
#![allow(
    clippy::missing_panics_doc,
    reason = "whatever goes wrong in here is a failed test"
)]

mod browser;
mod cage;
mod certificates;
pub mod chain;
mod chaos;
mod clock;
mod cluster;
mod disk;
mod endpoint;
pub mod guard;
mod java;
mod kafka;
pub mod lessons;
mod observer;
mod pipeline;
mod process;
pub mod programs;
mod prometheus;
mod proxied;
mod proxy;
mod pty;
pub mod records;
mod registry;
mod scenario;
mod service_manager;
pub mod wait;
mod zookeeper;

pub use self::browser::Browser;
pub use self::cage::MemoryLimit;
pub use self::certificates::Certificate;
pub use self::chaos::{Chaos, Kind};
pub use self::cluster::Cluster;
pub use self::disk::Disk;
pub use self::endpoint::Endpoint;
pub use self::kafka::{Kafka, free_port};
pub use self::observer::Observer;
pub use self::pipeline::PipelineBuilder;
pub use self::process::{Process, Signal, send, stop_all};
pub use self::prometheus::Prometheus;
pub use self::proxied::Proxied;
pub use self::proxy::Api;
pub use self::pty::Pty;
pub use self::registry::{Answer, SchemaRegistry};
pub use self::scenario::{Prefix, Scenario};
pub use self::service_manager::ServiceManager;
