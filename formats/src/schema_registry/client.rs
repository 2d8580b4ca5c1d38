//! The client of a registry.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::format::DecodeError;
use rivulet_core::reading::InvalidReading;
use serde::Deserialize;
use serde_json::json;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::settings::Credentials;
use super::{ContentType, RegistrySettings, SchemaRegistry};

/// How long an answer may take. The stage waits for it, and asks again later.
const DEADLINE: Duration = Duration::from_secs(5);
/// How many bytes an answer may have. A registry keeps its schemas in records of Kafka.
const LARGEST: u64 = 1 << 20;
/// The codes of Confluent's interface for what does not exist.
const NO_SUBJECT: u32 = 40401;
const NO_VERSION: u32 = 40402;
const NO_SCHEMA: u32 = 40403;

/// The client of a registry.
pub(super) struct Client {
    url: String,
    agent: ureq::Agent,
    /// The header `Authorization`.
    authorization: Option<String>,
    content_type: ContentType,
    verifies: bool,
    warned: Once,
}

/// What a registry answers, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    id: Option<u32>,
    schema: Option<String>,
    schema_type: Option<String>,
    #[serde(rename = "error_code")]
    error_code: Option<u32>,
    message: String,
}

impl Client {
    pub(super) fn new(settings: &RegistrySettings, folder: &Path) -> Result<Self, String> {
        let read = |setting: &str, path: &Path| {
            let path = folder.join(path);
            let text = fs::read_to_string(&path);
            text.map_err(|error| format!("`{setting}`: {}: {error}", path.display()))
        };
        let secret = |setting: &str, path: &Path| match read(setting, path)?.trim() {
            "" => Err(format!("`{setting}`: {} is empty", path.display())),
            secret => Ok(secret.to_owned()),
        };
        let authorization = match &settings.credentials {
            None => None,
            Some(Credentials::ApiKey(file)) => Some(secret("api-key-file", file)?),
            Some(Credentials::Basic(user, file)) => {
                let pair = format!("{user}:{}", secret("password-file", file)?);
                Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
            }
        };
        let roots = match &settings.ca_file {
            None => RootCerts::PlatformVerifier,
            Some(file) => {
                let certificates = certificates(read("ca-file", file)?.as_bytes());
                let certificates = certificates.ok_or_else(|| {
                    format!("{} has no certificate in PEM", folder.join(file).display())
                })?;
                RootCerts::new_with_certs(&certificates)
            }
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::NativeTls)
            .root_certs(roots)
            .disable_verification(!settings.tls_verify);
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(DEADLINE))
            .http_status_as_error(false)
            .proxy(None)
            .user_agent(concat!("rivulet/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build());
        Ok(Client {
            url: settings.url.clone(),
            agent: config.build().new_agent(),
            authorization,
            content_type: settings.content_type,
            verifies: settings.tls_verify,
            warned: Once::new(),
        })
    }

    fn doing(&self, what: &str) -> String {
        format!("asking the schema registry {} for {what}", self.url)
    }

    /// Asks for a path, or sends a schema to it. `what` completes the error.
    fn ask(&self, what: &str, path: &str, schema: Option<&str>) -> Result<Answer> {
        if !self.verifies {
            self.warned.call_once(|| {
                tracing::warn!(
                    "the certificate of the schema registry {} is not checked (tls-verify = false)",
                    self.url
                );
            });
        }
        let (accept, content_type) = match self.content_type {
            ContentType::SchemaRegistry => (
                "application/vnd.schemaregistry.v1+json, application/json",
                "application/vnd.schemaregistry.v1+json",
            ),
            ContentType::Json => ("application/json", "application/json"),
        };
        let url = format!("{}{path}", self.url);
        let mut headers = vec![("Accept", accept)];
        headers.extend(
            self.authorization
                .as_deref()
                .map(|key| ("Authorization", key)),
        );
        let sent = match schema {
            None => {
                let request = headers
                    .iter()
                    .fold(self.agent.get(&url), |request, (name, value)| {
                        request.header(*name, *value)
                    });
                request.call()
            }
            Some(schema) => {
                headers.push(("Content-Type", content_type));
                let request = headers
                    .iter()
                    .fold(self.agent.post(&url), |request, (name, value)| {
                        request.header(*name, *value)
                    });
                request.send(json!({ "schema": schema }).to_string())
            }
        };
        let unreachable = |error: ureq::Error| {
            Error::caused_by(self.doing(what), error)
                .of_kind(Kind::Unreachable)
                .or_help("is the registry up, and `registry` in the topic's format its URL?")
        };
        let mut response = sent.map_err(unreachable)?;
        let body = response.body_mut().with_config().limit(LARGEST);
        let body = body.lossy_utf8(true).read_to_string();
        let body = body.map_err(unreachable)?;
        let answer: Result<Answer, _> = serde_json::from_str(&body);
        let status = response.status();
        if status.is_success() {
            return answer.map_err(|error| {
                Error::new(
                    self.doing(what),
                    format!("its answer cannot be read: {error}"),
                )
                .of_kind(Kind::Corrupt)
                .help("is `registry` in the topic's format the URL of a schema registry?")
            });
        }
        match answer {
            // What does not exist is an answer.
            Ok(answer) if answer.error_code.is_some_and(|code| code / 100 == 404) => Ok(answer),
            answer => {
                let message = answer.map_or_else(|_| String::new(), |answer| answer.message);
                Err(refused(self.doing(what), status.as_u16(), &message))
            }
        }
    }
}

/// The error for an answer with this status.
fn refused(doing: String, status: u16, message: &str) -> Error {
    let words = match status {
        401 => " Unauthorized",
        403 => " Forbidden",
        404 => " Not Found",
        409 => " Conflict",
        415 => " Unsupported Media Type",
        422 => " Unprocessable Entity",
        _ => "",
    };
    let mut cause = format!("it answers {status}{words}");
    if !message.is_empty() {
        cause = format!("{cause}: {message}");
    }
    let error = Error::new(doing, cause);
    match status {
        401 | 403 => error
            .of_kind(Kind::Unauthorized)
            .help("set `api-key-file`, or `user` and `password-file`, in the table `registry`"),
        404 => error.of_kind(Kind::Missing).help(
            "is `registry` in the topic's format right? Apicurio's has the path \
             /apis/ccompat/v7",
        ),
        409 => error.of_kind(Kind::Conflict).help(
            "if the schema is not compatible with the subject's others, change it, or the \
             subject's compatibility",
        ),
        415 => error
            .of_kind(Kind::Usage)
            .help("set content-type = \"application/json\" in the table `registry`"),
        422 => error
            .of_kind(Kind::Usage)
            .help("the registry does not take the schema: see its message"),
        _ => error
            .of_kind(Kind::Unreachable)
            .help("look at the log of the registry"),
    }
}

fn certificates(pem: &[u8]) -> Option<Vec<Certificate<'static>>> {
    let mut certificates = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.ok()? {
            certificates.push(certificate);
        }
    }
    (!certificates.is_empty()).then_some(certificates)
}

/// The path of a subject.
fn of_subject(subject: &str) -> String {
    format!(
        "/subjects/{}",
        utf8_percent_encode(subject, NON_ALPHANUMERIC)
    )
}

impl SchemaRegistry for Client {
    fn schema(&self, id: u32) -> Result<String, DecodeError> {
        let answer = self.ask(&format!("schema {id}"), &format!("/schemas/ids/{id}"), None);
        let answer = answer.map_err(DecodeError::Unavailable)?;
        let invalid = |detail: String| Err(InvalidReading::new("unknown-schema", detail).into());
        match (answer.schema, answer.schema_type.as_deref()) {
            (None, _) => invalid(format!("the registry has no schema {id}")),
            (Some(_), Some(other)) if other != "AVRO" => {
                invalid(format!("schema {id} of the registry is {other}, not AVRO"))
            }
            (Some(schema), _) => Ok(schema),
        }
    }

    fn id(&self, subject: &str, schema: &str, register: bool) -> Result<u32> {
        let what = format!("the id of a schema of the subject {subject}");
        let path = of_subject(subject);
        let path = if register {
            format!("{path}/versions")
        } else {
            path
        };
        let answer = self.ask(&what, &path, Some(schema))?;
        answer.id.ok_or_else(|| {
            let cause = match answer.error_code {
                Some(NO_SUBJECT) => "there is no such subject".to_owned(),
                Some(NO_SCHEMA) => "the subject does not have this schema".to_owned(),
                _ => answer.message,
            };
            Error::new(self.doing(&what), cause)
                .of_kind(Kind::Missing)
                .help("register the schema, or remove register = false")
        })
    }

    fn latest(&self, subject: &str) -> Result<(u32, String)> {
        let what = format!("the latest schema of the subject {subject}");
        let path = format!("{}/versions/latest", of_subject(subject));
        let answer = self.ask(&what, &path, None)?;
        if let (Some(id), Some(schema)) = (answer.id, answer.schema) {
            return Ok((id, schema));
        }
        let cause = match answer.error_code {
            Some(NO_SUBJECT | NO_VERSION) => "there is no such subject".to_owned(),
            _ => answer.message,
        };
        let error = Error::new(self.doing(&what), cause).of_kind(Kind::Missing);
        Err(error.help("register a schema, or add `schema-file` to the topic's format"))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of the credentials.
        f.debug_struct("Client")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
