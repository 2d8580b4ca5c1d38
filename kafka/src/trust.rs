//! Why OpenSSL does not trust a broker's certificate. librdkafka only says that it does not.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509NameRef, X509Ref, X509StoreContextRef};

/// What librdkafka says about a certificate that it does not trust.
const NOT_TRUSTED: &str = "certificate verify failed";
/// How long a broker that has just answered may take to answer again.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a client decides whether to trust a broker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    ca_location: Option<String>,
    ca_pem: Option<String>,
    /// Whether a certificate may name another host.
    any_host: bool,
}

impl Trust {
    /// `property` is the value of a client's property.
    pub(crate) fn new(property: impl Fn(&str) -> Option<String>) -> Self {
        Trust {
            ca_location: property("ssl.ca.location"),
            ca_pem: property("ssl.ca.pem"),
            any_host: property("ssl.endpoint.identification.algorithm")
                .is_some_and(|algorithm| algorithm == "none"),
        }
    }

    /// The reason of librdkafka for a connection that failed. If it does not trust the broker's
    /// certificate, asks the broker for the certificate again, and says what is wrong with it.
    pub(crate) fn explain(&self, reason: &str) -> String {
        let verdict = reason
            .split_once(NOT_TRUSTED)
            .and_then(|(before, _)| Some((before, self.verdict(address(reason)?)?)));
        match verdict {
            // What librdkafka supposes beyond this can be wrong.
            Some((before, verdict)) => format!("{before}{NOT_TRUSTED}: {verdict}"),
            None => reason.to_owned(),
        }
    }

    /// What is wrong with the certificate of the broker at an address. `None` if nothing is, or if
    /// it cannot be told.
    fn verdict(&self, address: &str) -> Option<String> {
        let (host, _) = address.rsplit_once(':')?;
        let stream = address
            .to_socket_addrs()
            .ok()?
            .find_map(|address| TcpStream::connect_timeout(&address, PATIENCE).ok())?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        let found = Arc::new(Mutex::new(None));
        let mut builder = self.connector().ok()??;
        let finding = found.clone();
        builder.set_verify_callback(SslVerifyMode::PEER, move |is_right, context| {
            if !is_right {
                // Nothing that holds it can panic half-way.
                let mut finding = finding.lock().unwrap_or_else(PoisonError::into_inner);
                finding.get_or_insert_with(|| describe(context));
            }
            is_right
        });
        let mut connector = builder.build().configure().ok()?;
        connector.set_verify_hostname(!self.any_host);
        // It fails: that is why it was asked.
        let _ = connector.connect(host.trim_matches(['[', ']']), stream);
        found.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// `None` if the client trusts the authorities of the system: librdkafka looks for them in
    /// several places.
    fn connector(&self) -> Result<Option<SslConnectorBuilder>, ErrorStack> {
        let mut connector = SslConnector::builder(SslMethod::tls_client())?;
        let mut store = X509StoreBuilder::new()?;
        let pem = self.ca_pem.iter().map(|pem| pem.clone().into_bytes());
        let file = self
            .ca_location
            .iter()
            .filter_map(|path| std::fs::read(Path::new(path)).ok());
        let mut is_empty = true;
        for pem in pem.chain(file) {
            for authority in X509::stack_from_pem(&pem)? {
                store.add_cert(authority)?;
                is_empty = false;
            }
        }
        connector.set_cert_store(store.build());
        Ok((!is_empty).then_some(connector))
    }
}

/// The address in a message of librdkafka, such as `ssl://rpi0:9093/bootstrap: …`.
fn address(reason: &str) -> Option<&str> {
    let (_, rest) = reason.split_once("://")?;
    let (address, _) = rest.split_once('/')?;
    Some(address)
}

/// What is wrong, in OpenSSL's words, and what the certificate says about that.
fn describe(context: &X509StoreContextRef) -> String {
    let why = context.error().error_string();
    match context.current_cert().and_then(|it| says(it, why)) {
        Some(says) => format!("{why}, {says}"),
        None => why.to_owned(),
    }
}

fn says(certificate: &X509Ref, why: &str) -> Option<String> {
    if why.contains("mismatch") {
        return Some(format!("it is for {}", names(certificate).join(", ")));
    }
    let name = common_name(certificate.subject_name())?;
    if why.contains("expired") {
        let until = certificate.not_after();
        return Some(format!("`{name}` was valid until {until}"));
    }
    if why.contains("not yet valid") {
        let from = certificate.not_before();
        return Some(format!("`{name}` is valid from {from}"));
    }
    let issuer = common_name(certificate.issuer_name())?;
    Some(format!("`{name}` was signed by `{issuer}`"))
}

/// The names and addresses of a certificate.
fn names(certificate: &X509Ref) -> Vec<String> {
    let Some(names) = certificate.subject_alt_names() else {
        return common_name(certificate.subject_name())
            .into_iter()
            .collect();
    };
    let address = |bytes: &[u8]| -> Option<String> {
        let four = <[u8; 4]>::try_from(bytes).map(|four| std::net::IpAddr::from(four).to_string());
        let sixteen =
            || <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
        four.or_else(|_| sixteen()).ok()
    };
    let named = names.iter().filter_map(|name| {
        let address = || name.ipaddress().and_then(address);
        name.dnsname().map(str::to_owned).or_else(address)
    });
    named.collect()
}

fn common_name(name: &X509NameRef) -> Option<String> {
    let entry = name.entries_by_nid(Nid::COMMONNAME).next()?;
    entry.data().to_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_certificate_that_is_not_trusted_is_looked_at() {
        let trust = Trust::default();
        for reason in [
            "ssl://127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
            // Nobody is there any more, and there is no authority to trust.
            "ssl://127.0.0.1:1/bootstrap: SSL handshake failed: certificate verify failed: why",
            "certificate verify failed",
        ] {
            assert_eq!(trust.explain(reason), reason);
        }
    }

    #[test]
    fn the_address_is_that_of_the_broker() {
        for (reason, expected) in [
            (
                "ssl://rpi0:9093/bootstrap: SSL handshake",
                Some("rpi0:9093"),
            ),
            ("sasl_ssl://[::1]:9093/2: SSL handshake", Some("[::1]:9093")),
            ("GroupCoordinator: SSL handshake failed", None),
        ] {
            assert_eq!(address(reason), expected);
        }
    }
}
