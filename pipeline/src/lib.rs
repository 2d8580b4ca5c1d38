//! The pipeline file: all the stages and topics of one `config/*.toml`.
//!
//! Reading it collects every error instead of stopping at the first. A step, a source or a sink is
//! only a [`ComponentConfig`] here: its settings belong to the crate that has its
//! [`Catalog`](catalog::Catalog). With a [`Check`] those crates report their errors together with
//! those of the file.
//!
//! ```
//! use std::sync::Arc;
//!
//! use rivulet_pipeline::{Pipeline, Text};
//!
//! let text = r#"
//! [producer.thermometer]
//! source = "thermal"
//! to     = "temperatures"
//!
//! [sink.show]
//! form = "temperatures"
//! sink = "console"
//! "#;
//! let path = "pipeline.toml".into();
//! let errors = Pipeline::parse(Arc::new(Text { path, text: text.into() })).unwrap_err();
//! assert!(errors.to_string().contains("pipeline.toml:7:1: unknown field `form`"));
//! assert!(errors.to_string().contains("did you mean `from`?"));
//! ```

mod alias;
mod buffer;
pub mod catalog;
#[cfg(feature = "schema")]
mod catalog_schema;
mod catalogs;
mod check;
mod client_file;
mod component;
mod diagnostic;
mod digest;
#[cfg(feature = "schema")]
mod file_schema;
mod formats;
mod in_order;
mod java_property;
mod load;
mod names;
mod pipeline;
mod prefix;
mod reserved;
#[cfg(feature = "schema")]
pub mod schema;
mod settings;
mod span;
mod stage;
mod stage_config;
mod tables;
mod topic;

pub use self::buffer::{ClockPolicy, SpoolSettings, WhenFull};
pub use self::catalogs::Check;
pub use self::client_file::client_properties;
pub use self::component::ComponentConfig;
pub use self::diagnostic::{Diagnostic, Diagnostics, Text, suggest};
#[cfg(feature = "schema")]
pub use self::file_schema::file_schema;
pub use self::in_order::InOrder;
pub use self::java_property::names as java_properties;
pub use self::pipeline::Pipeline;
pub use self::prefix::Prefix;
pub use self::reserved::names as reserved_properties;
pub use self::settings::Unread;
pub use self::stage::{Stage, StageKind};
pub use self::topic::{Role, Topic};
