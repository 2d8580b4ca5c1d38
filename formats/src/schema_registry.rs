//! Schema registries with the interface of Confluent's: Confluent, Apicurio, Karapace, Redpanda.
//!
//! A record names its schema by a number, and the [registry](SchemaRegistry) has the schema. The
//! client is in programs that are built with the feature `schema-registry`.

#[cfg(feature = "schema-registry")]
mod client;
mod settings;

use std::fmt;
use std::path::Path;

use rivulet_core::error::Result;
use rivulet_core::format::DecodeError;

pub use self::settings::{ContentType, RegistrySettings, SubjectNameStrategy};

/// The registry of a topic.
#[derive(Debug)]
pub struct RegisteredTopic {
    /// Its registry.
    pub registry: Box<dyn SchemaRegistry>,
    /// Its subject, or why that cannot be told: who only reads needs none.
    pub subject: Result<String, String>,
}

/// A schema registry.
pub trait SchemaRegistry: fmt::Debug + Send {
    /// The text of the schema with this id.
    ///
    /// # Errors
    /// If there is none, or it is not Avro: no record with it can be decoded. Or if the registry
    /// cannot be reached: later it may.
    fn schema(&self, id: u32) -> Result<String, DecodeError>;

    /// The id of a schema. One that the subject does not have is registered, if `register` says so.
    ///
    /// # Errors
    /// If the registry cannot be reached, does not have it, or does not take it.
    fn id(&self, subject: &str, schema: &str, register: bool) -> Result<u32>;

    /// The id and the text of the latest schema of a subject.
    ///
    /// # Errors
    /// If the registry cannot be reached, or there is none.
    fn latest(&self, subject: &str) -> Result<(u32, String)>;
}

impl RegistrySettings {
    /// The client of the registry. It reads the files that are named, and connects later.
    ///
    /// # Errors
    /// What is wrong with a file, or that this program has no such client.
    pub fn client(&self, folder: &Path) -> Result<Box<dyn SchemaRegistry>, String> {
        #[cfg(feature = "schema-registry")]
        return Ok(Box::new(client::Client::new(self, folder)?));
        #[cfg(not(feature = "schema-registry"))]
        {
            let _ = folder;
            Err("this program is built without the client of schema registries".to_owned())
        }
    }
}
