//! Client files: `key=value` lines with `#` comments, as librdkafka's and Java's tools use them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rivulet_core::error::Error;

use crate::alias::canonical;
use crate::diagnostic::{Diagnostic, Diagnostics, Text, closest};
use crate::{java_property, reserved};

/// The properties of a client file, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct ClientFile {
    /// All properties, also those with errors. Of one that stands twice, the later value.
    pub(crate) properties: BTreeMap<String, String>,
    /// Each names its line. None quotes a value, which may be a password.
    pub(crate) errors: Vec<Diagnostic>,
}

/// The properties of a client file, for clients that need no pipeline file. `is_known` says whether
/// librdkafka has a property of a name.
///
/// # Errors
/// Every error in the file, each with its line and what to do.
pub fn client_properties(
    path: &Path,
    is_known: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, String>, Diagnostics> {
    let ClientFile { properties, errors } = ClientFile::read(path, is_known);
    if errors.is_empty() {
        return Ok(properties);
    }
    // Without the text: an error would show its line, and a password in it.
    let text = Text {
        path: path.to_owned(),
        text: String::new(),
    };
    Err(Diagnostics::new(Arc::new(text), errors))
}

impl ClientFile {
    /// Reads a file. `is_known` says whether librdkafka has a property of a name.
    pub(crate) fn read(path: &Path, is_known: impl Fn(&str) -> bool) -> Self {
        let mut file = ClientFile::default();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let error = Error::caused_by("reading the client file", error)
                    .help("name a file of key=value lines that this user may read");
                file.errors.push(error.into());
                return file;
            }
        };
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let Some((name, value)) = line
                .split_once('=')
                .filter(|(name, _)| is_name(name.trim()))
            else {
                file.errors.push(
                    Diagnostic::nowhere(format!("line {number} is not key=value"))
                        .help("write key=value in one line, and start comments with #"),
                );
                continue;
            };
            let name = name.trim();
            file.errors.extend(error(name, number, &is_known));
            file.properties
                .insert(canonical(name).to_owned(), value.trim().to_owned());
        }
        file
    }
}

/// Whether it looks like the name of a property. If not, it may be the rest of a longer line, such
/// as a key or a password.
fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    !text.is_empty() && text.chars().all(letter)
}

/// What is wrong with a property that stands in this line.
fn error(name: &str, line: usize, is_known: impl Fn(&str) -> bool) -> Option<Diagnostic> {
    let error = |what: &str, help: &str| {
        Some(Diagnostic::nowhere(format!("line {line}: `{name}` {what}")).help(help))
    };
    if let Some(instead) = java_property::instead_of(name) {
        return error("is a property of Java's clients only", instead);
    }
    if let Some(why) = reserved::in_client_file(name) {
        return error("is not yours to set", why);
    }
    if is_known(name) {
        return None;
    }
    let help = closest(name, SECURITY).map_or_else(
        || "librdkafka's CONFIGURATION.md lists all properties".to_owned(),
        |meant| format!("did you mean `{meant}`?"),
    );
    error("is no property of librdkafka", &help)
}

/// The properties that a client file is mostly about.
const SECURITY: &[&str] = &[
    "bootstrap.servers",
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.crl.location",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads this text with a librdkafka that knows these properties and no others.
    fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let path = folder.path().join("client.properties");
        std::fs::write(&path, text).expect("a file in it");
        let is_known = |name: &str| SECURITY.contains(&name) || name == "acks";
        client_properties(&path, is_known).map_err(|errors| errors.to_string())
    }

    #[test]
    fn comments_and_empty_lines_are_skipped() {
        let properties = read(
            "# TLS\n\n! as in Java\n security.protocol =  ssl \r\nsasl.password=a=b#c\n\
             ssl.key.password=\n",
        );
        let expected = [
            ("security.protocol", "ssl"),
            ("sasl.password", "a=b#c"),
            ("ssl.key.password", ""),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(properties.unwrap(), BTreeMap::from(expected));
    }

    #[test]
    fn of_a_property_that_stands_twice_the_later_one_counts() {
        let properties = read("sasl.mechanism=PLAIN\nsasl.mechanisms=SCRAM-SHA-256\n").unwrap();
        let expected = [("sasl.mechanism".to_owned(), "SCRAM-SHA-256".to_owned())];
        assert_eq!(properties, BTreeMap::from(expected));
    }

    #[test]
    fn an_invalid_line_is_named_by_its_number_only() {
        for line in [
            "sasl.password secret",
            "= secret",
            "sasl.password: secret",
            // The last line of a key, and a line of a longer value.
            "Secret+/=",
            "required username=\"secret\" password=\"secret\";",
        ] {
            let error = read(&format!("acks=all\n{line}\n")).unwrap_err();
            assert!(
                error.contains("client.properties: line 2 is not key=value\n  help: "),
                "{error}"
            );
            assert!(!error.to_lowercase().contains("secret"), "{error}");
        }
    }

    #[test]
    fn every_error_is_named_with_its_line_and_its_remedy() {
        let error = read(
            "security.protocl=ssl\nssl.truststore.location=/secret\n# more\n\
             partitioner=secret\nnothing.like.it=secret\nsasl.jaas.config=x password=\"secret\";\n",
        )
        .unwrap_err();
        for words in [
            "client.properties: line 1: `security.protocl` is no property of librdkafka\n  help: \
             did you mean `security.protocol`?",
            "line 2: `ssl.truststore.location` is a property of Java's clients only\n  help: set \
             ssl.ca.location",
            "line 4: `partitioner` is not yours to set\n  help: a key must",
            "line 5: `nothing.like.it` is no property of librdkafka\n  help: librdkafka's",
            "line 6: `sasl.jaas.config` is a property",
            "sasl.username and sasl.password",
            "5 errors in ",
        ] {
            assert!(error.contains(words), "`{words}` is missing in:\n{error}");
        }
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = client_properties(Path::new("no/such.properties"), |_| true).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("no/such.properties: "), "{error}");
        assert!(
            error.contains("No such file") && error.contains("help: "),
            "{error}"
        );
    }
}
