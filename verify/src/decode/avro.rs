//! Avro object container files, decoded whole: every datum becomes a tree first.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::bytes::Bytes;
use self::datum::Schemas;

mod bytes;
mod datum;
mod kinds;
mod names;
mod reader;

/// How many bytes a block may have.
const MOST: usize = 8 << 20;

/// A decoded datum.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    Leaf(Value),
    List(Vec<Tree>),
    Named(Vec<(String, Tree)>),
}

impl Tree {
    /// What is at the end of a path. Null if nothing is. An object with a `time` is a time in
    /// milliseconds; an empty object or array is anything that is neither text nor a number.
    pub(super) fn look_up(&self, path: &[String]) -> Result<Value, String> {
        let Some((first, rest)) = path.split_first() else {
            return Ok(match self {
                Tree::Leaf(value) => value.clone(),
                Tree::List(_) | Tree::Named(_) => json!({}),
            });
        };
        match self {
            Tree::Leaf(_) => Ok(Value::Null),
            Tree::List(elements) => {
                let places = (0..elements.len()).map(|index| index.to_string());
                let found = places.zip(elements).find(|(place, _)| place == first);
                found.map_or(Ok(Value::Null), |(_, element)| element.look_up(rest))
            }
            Tree::Named(entries) => {
                let mut found = entries.iter().filter(|(name, _)| name == first);
                let Some((_, tree)) = found.next() else {
                    return Ok(Value::Null);
                };
                match found.next() {
                    Some(_) => Err(format!("{first} is there twice")),
                    None => tree.look_up(rest),
                }
            }
        }
    }
}

/// A datum of a writer's schema, as one of the reader's schema.
pub(super) fn decode_one(
    datum: &[u8],
    writer: &Value,
    reader: Option<&Value>,
) -> Result<Tree, String> {
    let schemas = Schemas::new(writer, reader)?;
    let mut bytes = Bytes::new(datum);
    let tree = schemas.datum(&mut bytes)?;
    if bytes.rest.is_empty() {
        Ok(tree)
    } else {
        Err("more than the datum".to_owned())
    }
}

/// All data of a file, as data of the reader's schema.
pub(crate) fn decode(file: &[u8], reader: Option<&Value>) -> Result<Vec<Tree>, String> {
    let mut bytes = Bytes::new(file);
    if bytes.take(4)? != b"Obj\x01" {
        return Err("no magic bytes".to_owned());
    }
    let mut header: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    while let count @ 1.. = bytes.count()? {
        for _ in 0..count {
            let name = bytes.sized()?.to_vec();
            header.insert(name, bytes.sized()?.to_vec());
        }
    }
    let sync = bytes.take(16)?;
    let schema = header.get(&b"avro.schema"[..]).ok_or("no schema")?;
    let schema: Value = serde_json::from_slice(schema).map_err(|error| error.to_string())?;
    let schemas = Schemas::new(&schema, reader)?;
    let codec = header.get(&b"avro.codec"[..]).cloned().unwrap_or_default();
    let mut data = Vec::new();
    while !bytes.rest.is_empty() {
        let count = bytes.length()?;
        let block = bytes.sized()?;
        if bytes.take(16)? != sync {
            return Err("no sync marker".to_owned());
        }
        let block = match &codec[..] {
            b"" | b"null" => block.to_vec(),
            b"deflate" => miniz_oxide::inflate::decompress_to_vec_with_limit(block, MOST)
                .map_err(|error| error.to_string())?,
            b"snappy" => snappy(block)?,
            b"bzip2" => whole(bzip2::read::BzDecoder::new(block))?,
            b"xz" => whole(lzma_rust2::XzReader::new_mem_limit(block, false, 16 << 10))?,
            b"zstandard" => {
                let window = 16 << 20;
                let decoder =
                    ruzstd::decoding::StreamingDecoder::new_with_max_window_size(block, window);
                whole(decoder.map_err(|error| error.to_string())?)?
            }
            _ => return Err("an unknown codec".to_owned()),
        };
        let mut block = Bytes::new(&block);
        for _ in 0..count {
            data.push(schemas.datum(&mut block)?);
        }
        if !block.rest.is_empty() {
            return Err("more than the data".to_owned());
        }
    }
    Ok(data)
}

fn whole(mut decoder: impl std::io::Read) -> Result<Vec<u8>, String> {
    let (mut data, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match decoder.read(&mut part).map_err(|error| error.to_string())? {
            0 => return Ok(data),
            count => data.extend_from_slice(&part[..count]),
        }
        if data.len() > MOST {
            return Err("too long".to_owned());
        }
    }
}

fn snappy(block: &[u8]) -> Result<Vec<u8>, String> {
    let end = block.len().checked_sub(4).ok_or("no checksum")?;
    let length = snap::raw::decompress_len(&block[..end]).map_err(|error| error.to_string())?;
    if length > MOST {
        return Err("too long".to_owned());
    }
    let data = snap::raw::Decoder::new().decompress_vec(&block[..end]);
    let data = data.map_err(|error| error.to_string())?;
    if crc32fast::hash(&data).to_be_bytes() == block[end..] {
        Ok(data)
    } else {
        Err("a wrong checksum".to_owned())
    }
}
