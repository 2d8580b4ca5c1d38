//! Object container files: data with their schema.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use super::codec::decompressed;
use super::datum::read;
use super::input::Input;
use super::json::json;
use super::resolve::read_as;
use super::schema::Schema;
use crate::mapping::{Field, FieldTree};

/// How a file begins.
pub const MAGIC: &[u8; 4] = b"Obj\x01";
/// How long a sync marker is.
pub const SYNC: usize = 16;
/// How many schemas are kept. Almost every topic has one.
const SCHEMAS: usize = 16;

/// Reads files. It keeps the schemas that it has parsed.
#[derive(Debug, Default)]
pub struct ContainerReader {
    /// The schema to which those of the files are resolved.
    reader: Option<Schema>,
    schemas: RefCell<Vec<KnownSchema>>,
}

/// A schema that was parsed before.
#[derive(Debug)]
struct KnownSchema {
    text: Box<[u8]>,
    schema: Arc<Schema>,
}

/// The header of a file.
struct Header<'a> {
    schema: &'a [u8],
    codec: &'a [u8],
    sync: &'a [u8],
}

impl ContainerReader {
    /// Reads files as data of `reader`, or each with its own schema.
    #[must_use]
    pub fn new(reader: Option<Schema>) -> Self {
        ContainerReader {
            reader,
            schemas: RefCell::default(),
        }
    }

    /// Calls `each` with the fields of each datum in a file. `count` is the number of fields.
    ///
    /// # Errors
    /// If it is no such file or not whole, and the errors of `each`.
    pub fn read<'a, E: From<String>>(
        &self,
        file: &'a [u8],
        tree: &FieldTree,
        count: usize,
        mut each: impl FnMut(&[Field<'a>]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.blocks(file, |schema, data, block| {
            match block {
                Cow::Borrowed(block) => {
                    let mut block = Input::new(block);
                    for _ in 0..data {
                        let mut fields = vec![Field::Missing; count];
                        read(schema, tree, &mut block, &mut fields)?;
                        each(&fields)?;
                    }
                    end(&block)?;
                }
                Cow::Owned(block) => {
                    let mut block = Input::new(&block);
                    for _ in 0..data {
                        let mut fields = vec![Field::Missing; count];
                        read(schema, tree, &mut block, &mut fields)?;
                        let fields: Vec<Field<'a>> =
                            fields.into_iter().map(Field::into_owned).collect();
                        each(&fields)?;
                    }
                    end(&block)?;
                }
            }
            Ok(())
        })
    }

    /// The [JSON](json()) of each datum in a file.
    ///
    /// # Errors
    /// If it is no such file or not whole.
    pub fn json(&self, file: &[u8]) -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        self.blocks(file, |schema, data, block| {
            let mut block = Input::new(&block);
            for _ in 0..data {
                all.push(json(schema, &mut block)?);
            }
            end(&block)
        })?;
        Ok(all)
    }

    /// Calls `each` with the schema of a file and each of its blocks: how many data it has, and
    /// their bytes.
    fn blocks<'a, E: From<String>>(
        &self,
        file: &'a [u8],
        mut each: impl FnMut(&Schema, usize, Cow<'a, [u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut input = Input::new(file);
        let header = header(&mut input)?;
        let schema = self.schema(header.schema)?;
        while !input.is_empty() {
            let data = input.length()?;
            let block = input.sized()?;
            if input.take(SYNC)? != header.sync {
                return Err("a block does not end with the sync marker"
                    .to_owned()
                    .into());
            }
            each(&schema, data, decompressed(header.codec, block)?)?;
        }
        Ok(())
    }

    fn schema(&self, text: &[u8]) -> Result<Arc<Schema>, String> {
        let mut schemas = self.schemas.borrow_mut();
        if let Some(known) = schemas.iter().find(|known| *known.text == *text) {
            return Ok(known.schema.clone());
        }
        let parsed = str::from_utf8(text).map_err(|error| error.to_string());
        let parsed = parsed.and_then(|text| read_as(text, self.reader.as_ref()));
        let schema = Arc::new(parsed.map_err(|why| format!("its schema cannot be read: {why}"))?);
        schemas.truncate(SCHEMAS - 1);
        let known = KnownSchema {
            text: text.into(),
            schema: schema.clone(),
        };
        schemas.insert(0, known);
        Ok(schema)
    }
}

fn end(block: &Input<'_>) -> Result<(), String> {
    if block.is_empty() {
        Ok(())
    } else {
        Err("a block has more bytes than data".to_owned())
    }
}

fn header<'a>(input: &mut Input<'a>) -> Result<Header<'a>, String> {
    if input.take(MAGIC.len())? != MAGIC {
        return Err("it does not begin with `Obj` and the byte 1".to_owned());
    }
    let (mut schema, mut codec) = (None, &b"null"[..]);
    loop {
        let count = input.block()?;
        for _ in 0..count {
            let (name, value) = (input.sized()?, input.sized()?);
            match name {
                b"avro.schema" => schema = Some(value),
                b"avro.codec" => codec = value,
                _ => (),
            }
        }
        if count == 0 {
            break;
        }
    }
    Ok(Header {
        schema: schema.ok_or("it has no schema")?,
        codec,
        sync: input.take(SYNC)?,
    })
}
