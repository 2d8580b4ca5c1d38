//! Whole pipelines on a Kafka in memory, in seeded schedules full of faults.
//!
//! A [`schedule`] runs the real loops of all stages of a small pipeline, one step at a time, on a
//! [`cluster`] that keeps to Kafka's rules. Between any two steps of a [`client`], the [`world`]
//! may inject a fault: the process dies, or it is paused while others run. At the end, [`truth`]
//! checks that every reading was processed exactly once.

pub mod chance;
pub mod client;
pub mod cluster;
pub mod faults;
pub mod instances;
pub mod plan;
pub mod schedule;
pub mod statements;
pub mod truth;
pub mod world;
