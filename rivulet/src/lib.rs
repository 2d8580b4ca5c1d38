//! What the laptop program does, command by command.
//!
//! [`graph`] draws a pipeline, [`topics`] makes, shows and deletes its topics, and [`verify`]
//! computes what must be in them and compares.

mod cluster;
pub mod graph;
pub mod topics;
pub mod verify;
