//! The codecs of blocks.

use std::borrow::Cow;
use std::io::{self, Read};

use bzip2::read::BzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

/// How many bytes a block may have once it is decompressed. A record has 1 MB by default.
const LARGEST: usize = 8 << 20;
/// How much memory the window of a codec may take, in bytes: that of xz has 8 MB by default.
const WINDOW: u32 = 16 << 20;

/// The data of a block.
///
/// # Errors
/// If the codec is unknown, the block is damaged, or its data are too large.
pub(super) fn decompressed<'a>(codec: &[u8], block: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
    let data = match codec {
        b"null" | b"" => return Ok(block.into()),
        b"deflate" => miniz_oxide::inflate::decompress_to_vec_with_limit(block, LARGEST)
            .map_err(|error| error.to_string()),
        b"snappy" => snappy(block),
        b"bzip2" => all(BzDecoder::new(block)),
        b"xz" => all(XzReader::new_mem_limit(block, false, WINDOW >> 10)),
        b"zstandard" => StreamingDecoder::new_with_max_window_size(block, WINDOW.into())
            .map_err(|error| error.to_string())
            .and_then(all),
        other => {
            return Err(format!(
                "its codec is `{}`; null, deflate, snappy, bzip2, xz and zstandard are known",
                String::from_utf8_lossy(other)
            ));
        }
    };
    data.map(Cow::Owned)
        .map_err(|why| format!("a block cannot be decompressed: {why}"))
}

/// All that a decoder has.
fn all(decoder: impl Read) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    let most = u64::try_from(LARGEST).unwrap_or(u64::MAX);
    let read = decoder.take(most + 1).read_to_end(&mut data);
    read.map_err(|error: io::Error| error.to_string())?;
    if data.len() > LARGEST {
        return Err(format!("it has more than {LARGEST} bytes"));
    }
    Ok(data)
}

/// A block of snappy, with the checksum of the data after it.
fn snappy(block: &[u8]) -> Result<Vec<u8>, String> {
    let (compressed, checksum) = block
        .split_last_chunk::<4>()
        .ok_or_else(|| "it has no checksum".to_owned())?;
    let length = snap::raw::decompress_len(compressed).map_err(|error| error.to_string())?;
    if length > LARGEST {
        return Err(format!("it has {length} bytes"));
    }
    let mut decoder = snap::raw::Decoder::new();
    let data = decoder
        .decompress_vec(compressed)
        .map_err(|error| error.to_string())?;
    if crc32fast::hash(&data) != u32::from_be_bytes(*checksum) {
        return Err("its checksum is wrong".to_owned());
    }
    Ok(data)
}
