//! How records carry readings.
//!
//! The [`catalog`] has all formats, one file each. They know no Kafka: a
//! [`Format`](rivulet_core::format::Format) decodes the fields of a record and encodes a value.

pub mod catalog;
