//! Where a registry is, and who asks.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// Where a registry is, and who asks. Its URL alone, or a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Without a slash at the end.
    pub url: String,
    /// A file with the certificates that are trusted, in PEM; otherwise the system's are.
    pub ca_file: Option<PathBuf>,
    /// Whether the certificate of the registry is checked.
    pub tls_verify: bool,
    /// Who asks.
    pub credentials: Option<Credentials>,
    /// The content type of requests.
    pub content_type: ContentType,
}

/// Who asks. Secrets are in files, so that nobody shows them by showing the pipeline file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// The file holds the header `Authorization`.
    ApiKey(PathBuf),
    /// A user, and a file that holds the password.
    Basic(String, PathBuf),
}

/// The content type of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ContentType {
    /// That of Confluent's interface.
    #[default]
    #[serde(rename = "application/vnd.schemaregistry.v1+json")]
    SchemaRegistry,
    /// For registries that answer 415 to the other.
    #[serde(rename = "application/json")]
    Json,
}

/// How the subject of a schema is named, as by Confluent's clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SubjectNameStrategy {
    /// `TOPIC-value`.
    #[default]
    Topic,
    /// The full name of the record in the schema.
    Record,
    /// `TOPIC-RECORD`.
    TopicRecord,
}

/// A schema registry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct RegistryTable {
    /// Its URL, with the path of its Confluent interface, if that has one.
    url: String,
    /// A file in PEM with the certificates that are trusted. Unless it is set, the system's are.
    ca_file: Option<PathBuf>,
    /// `false` accepts any certificate. The default is `true`.
    tls_verify: Option<bool>,
    /// A file that holds the header `Authorization`, such as an API key or `Bearer …`.
    api_key_file: Option<PathBuf>,
    /// The user for basic authentication.
    user: Option<String>,
    /// A file that holds the user's password.
    password_file: Option<PathBuf>,
    /// `application/json` for registries that answer 415 otherwise.
    #[serde(default)]
    content_type: ContentType,
}

impl TryFrom<RegistryTable> for RegistrySettings {
    type Error = String;

    fn try_from(table: RegistryTable) -> Result<Self, String> {
        let url = table.url.trim_end_matches('/');
        let (is_tls, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => (false, ""),
        };
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() || url.contains(['?', '#', ' ']) {
            let example = "http://10.42.0.250:8081";
            return Err(format!(
                "`{url}` is no URL of a registry; write one such as {example}"
            ));
        }
        if host.contains('@') {
            return Err(
                "a URL with a user shows the password to everybody: set `user` and \
                        `password-file` in a table instead"
                    .to_owned(),
            );
        }
        if !is_tls && (table.ca_file.is_some() || table.tls_verify.is_some()) {
            return Err("`ca-file` and `tls-verify` are for https only".to_owned());
        }
        if table.ca_file.is_some() && table.tls_verify == Some(false) {
            return Err("`ca-file` has no effect with tls-verify = false: remove one".to_owned());
        }
        let credentials = match (table.api_key_file, table.user, table.password_file) {
            (None, None, None) => None,
            (Some(file), None, None) => Some(Credentials::ApiKey(file)),
            (None, Some(user), Some(_)) if user.contains(':') => {
                return Err(format!(
                    "the user `{user}` contains a colon, which none can"
                ));
            }
            (None, Some(user), Some(file)) => Some(Credentials::Basic(user, file)),
            _ => {
                return Err("set either `api-key-file`, or `user` and `password-file`".to_owned());
            }
        };
        Ok(RegistrySettings {
            url: url.to_owned(),
            ca_file: table.ca_file,
            tls_verify: table.tls_verify.unwrap_or(true),
            credentials,
            content_type: table.content_type,
        })
    }
}

impl<'de> Deserialize<'de> for RegistrySettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RegistryVisitor)
    }
}

struct RegistryVisitor;

impl<'de> Visitor<'de> for RegistryVisitor {
    type Value = RegistrySettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the URL of a schema registry, or { url = …, … }")
    }

    fn visit_str<E: Error>(self, url: &str) -> Result<RegistrySettings, E> {
        let table = RegistryTable {
            url: url.to_owned(),
            ca_file: None,
            tls_verify: None,
            api_key_file: None,
            user: None,
            password_file: None,
            content_type: ContentType::default(),
        };
        table.try_into().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RegistrySettings, A::Error> {
        let table = RegistryTable::deserialize(MapAccessDeserializer::new(table))?;
        table.try_into().map_err(A::Error::custom)
    }
}

impl SubjectNameStrategy {
    /// The subject of a topic whose schema is a record with this name.
    ///
    /// # Errors
    /// If it needs that name, and there is none.
    pub fn subject(self, topic: &str, record: Option<&str>) -> Result<String, String> {
        let record = record.ok_or(
            "the subject is named after the record of the schema: add `schema-file`, or `subject`",
        );
        Ok(match self {
            SubjectNameStrategy::Topic => format!("{topic}-value"),
            SubjectNameStrategy::Record => record?.to_owned(),
            SubjectNameStrategy::TopicRecord => format!("{topic}-{}", record?),
        })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for RegistrySettings {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RegistrySettings".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "The URL of a schema registry, or a table.",
            "anyOf": [{ "type": "string" }, generator.subschema_for::<RegistryTable>()],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RegistrySettings, String> {
        let config = rivulet_pipeline::ComponentConfig::parse(&format!("registry = {text}"));
        let config = config.map_err(|error| error.to_string())?;
        config
            .settings()
            .map_err(|diagnostics| diagnostics.to_string())
    }

    #[test]
    fn a_registry_is_read_with_its_credentials() {
        let settings = read(
            r#"{ url = "https://pi:8081/apis/ccompat/v7/", ca-file = "ca.pem", user = "chain",
                password-file = "password", content-type = "application/json" }"#,
        );
        let expected = RegistrySettings {
            url: "https://pi:8081/apis/ccompat/v7".to_owned(),
            ca_file: Some("ca.pem".into()),
            tls_verify: true,
            credentials: Some(Credentials::Basic("chain".to_owned(), "password".into())),
            content_type: ContentType::Json,
        };
        assert_eq!(settings, Ok(expected));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("{ url = \"pi:8081\" }", "`pi:8081` is no URL of a registry"),
            ("{ url = \"http://\" }", "no URL of a registry"),
            ("{ url = \"http://me:secret@pi\" }", "shows the password"),
            ("{ url = \"http://pi\", ca-file = \"a\" }", "for https only"),
            ("{ url = \"http://pi\", user = \"a\" }", "set either"),
            (
                "{ url = \"https://pi\", ca-file = \"a\", tls-verify = false }",
                "no effect",
            ),
            (
                "{ url = \"http://pi\", content-type = \"text/html\" }",
                "unknown variant",
            ),
            ("{ url = \"http://pi\", key = \"a\" }", "key"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_subject_is_named_as_by_other_clients() {
        let subject = |strategy: SubjectNameStrategy, record| strategy.subject("t", record);
        let record = Some("a.b");
        assert_eq!(
            subject(SubjectNameStrategy::Topic, None).unwrap(),
            "t-value"
        );
        assert_eq!(subject(SubjectNameStrategy::Record, record).unwrap(), "a.b");
        assert_eq!(
            subject(SubjectNameStrategy::TopicRecord, record).unwrap(),
            "t-a.b"
        );
        assert!(subject(SubjectNameStrategy::Record, None).is_err());
    }
}
