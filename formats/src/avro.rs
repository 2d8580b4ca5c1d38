//! Avro: schemas, data and object container files, as in the [specification].
//!
//! It decodes only the fields that a [mapping](crate::mapping) names, and skips the others. So a
//! record costs no more than its bytes, and a small program needs no library for all of Avro.
//!
//! [specification]: https://avro.apache.org/docs/1.12.0/specification/

mod codec;
pub mod container;
pub mod datum;
pub mod input;
pub mod json;
pub mod resolve;
pub mod schema;
pub mod source;
pub mod writer;
