//! What the laptop program does, command by command.
//!
//! [`check`] finds the mistakes in a pipeline, [`graph`] draws it, [`topics`] makes, shows and
//! deletes its topics, [`run`] runs any of its stages in one process, [`demo`] all of them on a
//! broker of its own, [`groups`] tells who runs what and how far it has come, [`compare`] how two
//! branches differ, [`verify`] whether the topics hold what they must, [`state`] shows what stages
//! remember, checks it, and has them keep or forget it, [`dlq`] handles what they refused.

pub mod check;
mod cluster;
pub mod compare;
pub mod demo;
pub mod dlq;
pub mod graph;
pub mod groups;
mod read;
pub mod run;
pub mod state;
mod table;
pub mod topics;
pub mod verify;
