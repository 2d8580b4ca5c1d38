//! What stands before a pipeline's names in Kafka: [`Prefix`].

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// The most characters of a topic's name in Kafka.
pub(crate) const LONGEST_TOPIC: usize = 249;

/// What stands before every name that a pipeline has in Kafka: topics, consumer groups,
/// transactional ids and client ids. Pipelines with different prefixes can share a cluster, even if
/// they are of the same file.
///
/// Topics that somebody outside the pipeline writes keep their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Prefix(String);

impl Prefix {
    /// As text; empty if there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A name in Kafka.
    #[must_use]
    pub fn with(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if text.chars().all(is_legal) {
            Ok(Prefix(text))
        } else {
            Err(format!(
                "`{text}` cannot begin names in Kafka; use letters, digits, dots, underscores and \
                 hyphens, such as `team7-`"
            ))
        }
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Prefix {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Prefix".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9._-]*$" })
    }
}
