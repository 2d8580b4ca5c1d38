//! Mappings: where each part of a reading is in somebody else's messages.
//!
//! A [`Mapping`] is a table of settings, the same for every format that has named fields: JSON and
//! Avro. The format looks the fields up, and the mapping makes readings of them. The same table
//! says how readings are written.

mod condition;
mod field;
mod layout;
mod place;
mod plan;
mod readings;
mod table;
mod time;
mod tree;

pub use self::field::Field;
pub use self::layout::{Layout, Node, Part};
pub use self::place::{Place, Pointer, UnitPlace};
pub use self::plan::{Fields, Mapping};
#[cfg(feature = "schema")]
pub use self::table::REGISTRY;
pub use self::table::{MappingTable, Missing, SCHEMA};
pub use self::time::TimeFormat;
pub use self::tree::FieldTree;
