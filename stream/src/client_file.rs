//! Client files: `key=value` lines with `#` comments, as librdkafka's and Java's clients use them.

use std::path::Path;

use crate::error::{Error, Result};

/// Reads the properties of a client file in their order.
///
/// # Errors
/// If the file cannot be read, or a line is neither `key=value`, a comment nor empty.
pub fn read(path: &Path) -> Result<Vec<(String, String)>> {
    let doing = || format!("reading the client file {}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| Error::new(doing(), error))?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| match line.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
            _ => {
                Err(Error::new(doing(), format!("line {number} is not key=value: {line}"))
                    .help("start comments with #"))
            }
        })
        .collect()
}
