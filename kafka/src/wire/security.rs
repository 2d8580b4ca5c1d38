//! How a connection is encrypted and who logs in, from librdkafka's properties.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::TcpStream;

use native_tls::{Certificate, HandshakeError, Identity, TlsConnector};
use rivulet_core::error::Result;

use super::{Stream, Wire, put_count, put_text};

/// The requests `SaslHandshake` and `SaslAuthenticate`, and their versions.
const HANDSHAKE: (i16, i16) = (17, 1);
const AUTHENTICATE: (i16, i16) = (36, 0);

/// The properties of TLS that are understood here.
const TLS: [&str; 5] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
];

/// Encryption and user of a connection.
pub(super) struct Security<'p> {
    properties: &'p BTreeMap<String, String>,
    is_encrypted: bool,
    /// Name and password.
    user: Option<(&'p str, &'p str)>,
}

impl<'p> Security<'p> {
    /// # Errors
    /// What the properties ask for and only librdkafka has.
    pub(super) fn new(properties: &'p BTreeMap<String, String>) -> Result<Self, String> {
        let get = |name: &str| properties.get(name).map(String::as_str);
        let protocol = get("security.protocol").unwrap_or("plaintext");
        let protocol = protocol.to_ascii_lowercase().replace('-', "_");
        let (is_encrypted, has_user) = match protocol.as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => return Err(format!("security.protocol is {protocol}")),
        };
        let names = properties.keys().map(String::as_str);
        let mut unknown =
            names.filter(|name| name.starts_with("ssl.") && !TLS.contains(name) && is_encrypted);
        if let Some(name) = unknown.next() {
            return Err(format!("{name} is set"));
        }
        let user = if has_user {
            let mechanism = get("sasl.mechanism").or(get("sasl.mechanisms"));
            let mechanism = mechanism.unwrap_or("GSSAPI");
            if mechanism != "PLAIN" {
                return Err(format!("sasl.mechanism is {mechanism}"));
            }
            let name = get("sasl.username").unwrap_or_default();
            Some((name, get("sasl.password").unwrap_or_default()))
        } else {
            None
        };
        Ok(Security {
            properties,
            is_encrypted,
            user,
        })
    }

    /// Encrypts the connection, if the properties say so.
    pub(super) fn wrap(&self, host: &str, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        if !self.is_encrypted {
            return Ok(Box::new(stream));
        }
        let get = |name: &str| self.properties.get(name).map(String::as_str);
        let mut tls = TlsConnector::builder();
        if let Some(file) = get("ssl.ca.location") {
            tls.disable_built_in_roots(true);
            let authorities = Certificate::stack_from_pem(&fs::read(file)?);
            for authority in authorities.map_err(io::Error::other)? {
                tls.add_root_certificate(authority);
            }
        }
        if let (Some(certificate), Some(key)) =
            (get("ssl.certificate.location"), get("ssl.key.location"))
        {
            let own = Identity::from_pkcs8(&fs::read(certificate)?, &fs::read(key)?);
            tls.identity(own.map_err(io::Error::other)?);
        }
        let is_false = |name: &str, no: &str| get(name).is_some_and(|value| value == no);
        tls.danger_accept_invalid_certs(is_false("enable.ssl.certificate.verification", "false"));
        tls.danger_accept_invalid_hostnames(is_false(
            "ssl.endpoint.identification.algorithm",
            "none",
        ));
        let tls = tls.build().map_err(io::Error::other)?;
        let encrypted = tls.connect(host, stream).map_err(|error| match error {
            HandshakeError::Failure(error) => io::Error::other(error),
            HandshakeError::WouldBlock(_) => io::ErrorKind::TimedOut.into(),
        })?;
        Ok(Box::new(encrypted))
    }

    /// Logs in, if the properties name a user.
    pub(super) fn log_in(&self, wire: &mut Wire) -> Result<()> {
        let Some((name, password)) = self.user else {
            return Ok(());
        };
        let mut body = Vec::new();
        put_text(&mut body, "PLAIN");
        let mut reply = wire.ask(HANDSHAKE.0, HANDSHAKE.1, &body)?;
        match reply.int16().ok_or_else(|| wire.unreadable())? {
            0 => (),
            code => return Err(wire.rejected(code, Some("SASL PLAIN is not enabled"))),
        }
        let secret = format!("\0{name}\0{password}");
        let mut body = Vec::new();
        put_count(&mut body, secret.len());
        body.extend(secret.as_bytes());
        let mut reply = wire.ask(AUTHENTICATE.0, AUTHENTICATE.1, &body)?;
        let code = reply.int16().ok_or_else(|| wire.unreadable())?;
        match (code, reply.text()) {
            (0, _) => Ok(()),
            (code, reason) => Err(wire.rejected(code, reason.as_deref())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_librdkafka_has_is_named() {
        let error = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            let owned = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Security::new(&owned.collect()).err()
        };
        let (sasl, plain) = (
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "PLAIN"),
        );
        assert_eq!(error(&[]), None);
        assert_eq!(error(&[sasl, plain]), None);
        assert_eq!(error(&[sasl]), Some("sasl.mechanism is GSSAPI".to_owned()));
        let store = ("ssl.keystore.location", "k.p12");
        assert_eq!(error(&[store]), None, "it is not used without TLS");
        let stored = error(&[sasl, plain, store]);
        assert_eq!(stored, Some("ssl.keystore.location is set".to_owned()));
    }
}
