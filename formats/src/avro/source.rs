//! Where the schema of a topic is.

use std::fs;
use std::path::{Path, PathBuf};

use rivulet_core::format::FormatContext;

use super::schema::Schema;
use super::writer::Writer;
use crate::mapping::{Mapping, MappingTable};

/// Where the schema of a topic is.
#[derive(Debug, Clone)]
pub enum SchemaSource {
    /// In the pipeline file.
    Inline(String),
    /// In a file of its own, relative to the pipeline file's folder.
    File(PathBuf),
}

/// The schema of a topic.
#[derive(Debug, Clone)]
pub struct TopicSchema {
    /// As it was written.
    pub text: String,
    /// Its types.
    pub schema: Schema,
}

impl SchemaSource {
    /// Takes it out of the settings.
    ///
    /// # Errors
    /// If there are two.
    pub fn take(table: &mut MappingTable) -> Result<Option<Self>, String> {
        match (table.schema.take(), table.schema_file.take()) {
            (Some(_), Some(_)) => {
                Err("`schema` and `schema-file` exclude each other: remove one".to_owned())
            }
            (Some(text), None) => Ok(Some(SchemaSource::Inline(text))),
            (None, file) => Ok(file.map(SchemaSource::File)),
        }
    }

    /// Reads the schema of a topic, if it has one.
    ///
    /// # Errors
    /// If it cannot be read, is no schema, or lacks a field of the mapping.
    pub fn load(
        source: Option<&Self>,
        context: &FormatContext<'_>,
        mapping: &Mapping,
    ) -> Result<Option<TopicSchema>, String> {
        let read = |source: &Self| source.read(context.folder, mapping);
        source.map(read).transpose()
    }

    fn read(&self, folder: &Path, mapping: &Mapping) -> Result<TopicSchema, String> {
        let (text, name) = match self {
            SchemaSource::Inline(text) => (text.clone(), "`schema`".to_owned()),
            SchemaSource::File(path) => {
                let path = folder.join(path);
                let name = path.display().to_string();
                let text = fs::read_to_string(&path);
                (text.map_err(|error| format!("{name}: {error}"))?, name)
            }
        };
        let schema =
            Schema::parse(&text).map_err(|why| format!("{name} is no Avro schema: {why}"))?;
        for pointer in mapping.pointers() {
            schema.check_field(pointer)?;
        }
        Ok(TopicSchema { text, schema })
    }
}

impl TopicSchema {
    /// Writes readings with it.
    ///
    /// # Errors
    /// Which field of the schema or of the mapping has no counterpart.
    pub fn writer(&self, mapping: &Mapping) -> Result<Writer, String> {
        Writer::new(&self.schema, &mapping.layout()?)
    }
}
