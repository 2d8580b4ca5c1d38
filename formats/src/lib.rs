//! How records carry readings.
//!
//! The [`catalog`] has all formats, one file each. They know no Kafka: a
//! [`Format`](rivulet_core::format::Format) decodes the fields of a record and encodes a value.
//!
//! ```
//! use rivulet_core::format::FormatContext;
//! use rivulet_core::log::ConsumerRecord;
//! use rivulet_formats::catalog;
//! use rivulet_pipeline::ComponentConfig;
//!
//! let number = ComponentConfig::parse("number = {}")?;
//! let context = FormatContext::new("soil").with_unit("percent".parse().ok());
//! let format = catalog::built_in().read(&number)?.build(&context)?;
//! let record = ConsumerRecord {
//!     topic: 0,
//!     partition: 0,
//!     offset: 41,
//!     timestamp: 1_325_376_000_000,
//!     key: None,
//!     value: Some(b"54.5"),
//!     headers: &(),
//! };
//! let readings = format.decode(&record)?;
//! let [reading] = readings.as_slice() else { panic!("a number is one reading") };
//! assert_eq!((reading.value, reading.seq), (54.5, 41));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod avro;
pub mod catalog;
pub mod mapping;
pub mod schema_registry;
#[cfg(test)]
mod testing;
