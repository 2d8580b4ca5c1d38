//! The commands of the laptop program.
//!
//! [`check`] finds the errors in a pipeline, [`graph`] draws it, [`topics`] creates, shows and
//! deletes topics, [`run`] runs any of its stages in one process, and [`demo`] runs all of them
//! on an embedded broker. [`groups`] shows members and consumer lag, [`compare`] shows how two
//! branches differ, `rivulet_verify` checks the contents of the topics, [`state`] shows, checks,
//! keeps or resets the state of stages, and [`dlq`] lists, replays or drops dead letters.
//! [`tap`] shows what an operator read beside what it made of it, and [`plot`] draws any topic.
//! [`formats`] shows what a format makes of a sample, and guesses a mapping. [`produce`] sends
//! records to any topic. [`experiment`] sends those of experiments, and its page shows how many.
//! [`truth`] compares the ground truth of experiments with topics and with results.
//!
//! ```
//! use rivulet::Registry;
//! use rivulet::catalog::ComponentList;
//!
//! let names = ComponentList::new(&Registry::default()).names();
//! assert!(names.contains(&"ewma") && names.contains(&"sqlite"));
//! ```

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
pub mod axis;
pub mod catalog;
pub mod check;
mod checked;
mod commands;
pub mod compare;
mod complete;
pub mod consume;
pub mod demo;
pub mod dlq;
pub mod experiment;
pub mod formats;
pub mod graph;
pub mod groups;
pub mod live;
pub mod look;
mod memory;
pub mod plot;
mod print;
pub mod produce;
mod program;
mod registry;
pub mod report;
pub mod run;
mod schemas;
pub mod state;
mod table;
pub mod tap;
mod target;
pub mod terminal;
mod text;
pub mod times;
mod top;
pub mod topics;
pub mod truth;
pub mod web_page;

pub use self::checked::CheckedPipeline;
pub use self::program::program;
pub use self::registry::Registry;
pub use self::target::Target;
