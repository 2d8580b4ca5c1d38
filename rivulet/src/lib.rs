//! What the laptop program does, command by command.
//!
//! [`graph`] draws a pipeline, [`topics`] makes, shows and deletes its topics.

mod cluster;
pub mod graph;
pub mod topics;
