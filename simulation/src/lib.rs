//! Whole pipelines on a Kafka in memory, in seeded schedules full of faults.
//!
//! A [`schedule`] runs the real loops of all stages of a small pipeline, one turn after the other,
//! on a [`cluster`] that keeps to Kafka's rules. Between any two steps of a [`client`] the
//! [`world`] may let its process die, hold it up while others go on, and so on. When it is over,
//! the [`truth`] tells whether every reading was worked on exactly once.

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
