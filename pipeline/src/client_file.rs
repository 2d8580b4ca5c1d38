//! Client files: `key=value` lines with `#` comments, as librdkafka's and Java's tools use them.

use std::path::Path;

use rivulet_core::error::{Error, Result};

/// Reads the properties of a client file in their order.
///
/// # Errors
/// If the file cannot be read, or a line is neither `key=value`, a comment nor empty.
pub fn read(path: &Path) -> Result<Vec<(String, String)>> {
    let doing = || format!("reading the client file {}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| Error::caused_by(doing(), error))?;
    let lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| match line.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok((key.trim().to_owned(), value.trim().to_owned()))
            }
            // Not what is in the line: it may be a password.
            _ => Err(
                Error::new(doing(), format!("line {number} is not key=value"))
                    .help("write key=value, and start comments with #"),
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<Vec<(String, String)>> {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let path = folder.path().join("client.properties");
        std::fs::write(&path, text).expect("a file in it");
        read(&path)
    }

    #[test]
    fn comments_and_empty_lines_are_skipped() {
        let properties =
            written("# TLS\n\n security.protocol = ssl\nsasl.password=a=b#c\n").unwrap();
        let expected = [("security.protocol", "ssl"), ("sasl.password", "a=b#c")];
        assert_eq!(
            properties,
            expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn an_invalid_line_is_named_by_its_number_only() {
        for line in ["sasl.password secret", "= secret", "sasl.password: secret"] {
            let error = written(&format!("acks=all\n{line}\n")).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("line 2 is not key=value"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
