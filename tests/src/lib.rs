//! What crosses crates: the real binaries, each a process of its own, on a real Apache Kafka.
//!
//! A [`Kafka`] is a broker, started for the test and gone after it; a [`Cluster`] is three, which
//! can fail one by one. A [`PipelineBuilder`] is the text of a pipeline file, stage by stage. Both
//! make a [`Scenario`], whose stages and topics have names that no other scenario has, so that all
//! of them share one broker; it starts stages as [`Process`]es. [`records`] is a plain Kafka client
//! that knows nothing of rivulet, and [`chain`] the worked example whose results are known.
//!
//! `make test` installs what this needs and starts the one broker; a test that lacks something says
//! so and fails. The broker is that of `kafka/version`, unless `RIVULET_TEST_KAFKA` names another
//! one.
#![allow(
    clippy::missing_panics_doc,
    reason = "whatever goes wrong in here is a failed test"
)]

mod cage;
pub mod chain;
mod chaos;
mod clock;
mod cluster;
mod guard;
mod java;
mod kafka;
mod observer;
mod pipeline;
mod process;
pub mod programs;
mod proxied;
mod proxy;
pub mod records;
mod scenario;
pub mod wait;
mod zookeeper;

pub use self::cage::Cage;
pub use self::chaos::{Chaos, Kind};
pub use self::cluster::Cluster;
pub use self::kafka::Kafka;
pub use self::observer::Observer;
pub use self::pipeline::PipelineBuilder;
pub use self::process::{Process, Signal, stop_all};
pub use self::proxied::Proxied;
pub use self::proxy::Api;
pub use self::scenario::Scenario;
