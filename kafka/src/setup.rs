//! A client that librdkafka does not create: what is wrong with its properties and files.

use std::fs::{self, File};

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rivulet_core::error::{Error, Kind};

const OTHERWISE: &str = "check [kafka] in the pipeline file and the file of --command-config: \
                         their properties are passed to librdkafka";

/// Words of librdkafka and OpenSSL, and what to do about what they say. The first that is found
/// counts.
const REMEDIES: &[(&str, &str)] = &[
    (
        "SASL mechanism",
        "set \"sasl.mechanism\" to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
    ),
    (
        "mac verify failure",
        "check \"ssl.keystore.password\": it does not open \"ssl.keystore.location\"",
    ),
    (
        "envelope routines::unsupported",
        "the file is encrypted in an old way (RC2 or 3DES), which OpenSSL 3 does not read: write \
         it anew with `openssl pkcs12 -legacy -in OLD.p12 -nodes -out both.pem` and `openssl \
         pkcs12 -export -in both.pem -out NEW.p12`",
    ),
    (
        "Error reading ssl.keystore.location",
        "\"ssl.keystore.location\" must be a PKCS#12 file: `keytool -importkeystore \
         -deststoretype PKCS12` makes one from a Java keystore",
    ),
    (NO_PASSWORD, "set \"ssl.key.password\""),
    (
        "bad decrypt",
        "check \"ssl.key.password\": it does not open \"ssl.key.location\"",
    ),
    (
        "key values mismatch",
        "\"ssl.key.location\" and \"ssl.certificate.location\" must be a key and its own \
         certificate",
    ),
    (
        "key type mismatch",
        "\"ssl.key.location\" and \"ssl.certificate.location\" must be a key and its own \
         certificate",
    ),
    ("No such file", OTHERWISE),
    (
        "ssl.key.location failed",
        "\"ssl.key.location\" must be a PEM file with a private key; `openssl pkey -inform DER` \
         writes one",
    ),
    (
        "ssl.certificate.location failed",
        "\"ssl.certificate.location\" must be a PEM file with a certificate; `openssl x509 \
         -inform DER` writes one",
    ),
    (
        "ssl.ca.location failed",
        "\"ssl.ca.location\" must be a PEM file with the certificate of an authority; `openssl \
         x509 -inform DER` writes one",
    ),
];

const NO_PASSWORD: &str = "it is encrypted, and there is no password";

/// The error of a client that librdkafka does not create.
pub(crate) fn setup_error(doing: &str, error: &KafkaError, config: &ClientConfig) -> Error {
    let mut cause = error.to_string();
    // librdkafka's error has neither OpenSSL's first error nor the file.
    if cause.contains("ssl.key.location failed")
        && let Some(why) = key(config)
    {
        cause = format!("{cause}: {why}");
    }
    for name in config.config_map().keys() {
        let Some(path) = config.get(name).filter(|_| name.ends_with(".location")) else {
            continue;
        };
        cause = match File::open(path) {
            Ok(_) => format!("{cause}; {name} is {path}"),
            Err(error) => format!("{cause}; {name} is {path}: {error}"),
        };
    }
    let known = REMEDIES.iter().find(|(words, _)| cause.contains(words));
    let help = known.map_or(OTHERWISE, |(_, help)| help);
    Error::new(doing, cause).of_kind(Kind::Usage).help(help)
}

/// Why the key of a client cannot be read. `None` if it can.
fn key(config: &ClientConfig) -> Option<String> {
    let pem = fs::read(config.get("ssl.key.location")?).ok()?;
    let password = config.get("ssl.key.password");
    let is_encrypted = String::from_utf8_lossy(&pem).contains("ENCRYPTED");
    if is_encrypted && password.is_none() {
        return Some(NO_PASSWORD.to_owned());
    }
    let password = password.unwrap_or_default().as_bytes();
    let error = PKey::private_key_from_pem_passphrase(&pem, password).err()?;
    first_reason(&error)
}

fn first_reason(error: &ErrorStack) -> Option<String> {
    let first = error.errors().first()?;
    Some(first.reason()?.to_owned())
}

#[cfg(test)]
mod tests {
    use openssl::rsa::Rsa;
    use openssl::symm::Cipher;

    use super::*;

    /// The error of a client that has an encrypted key and this property.
    fn shown(error: &str, property: Option<(&str, &str)>) -> String {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let path = folder.path().join("key.pem");
        let key = Rsa::generate(2048).and_then(PKey::from_rsa).unwrap();
        let cipher = Cipher::aes_256_cbc();
        let pem = key.private_key_to_pem_pkcs8_passphrase(cipher, b"right");
        fs::write(&path, pem.unwrap()).expect("a file in it");
        let mut config = ClientConfig::new();
        config.set("ssl.key.location", path.to_string_lossy());
        config.set("ssl.keystore.location", "no/such.p12");
        config.extend(property.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let error = KafkaError::ClientCreation(error.to_owned());
        setup_error("setting up", &error, &config).to_string()
    }

    #[test]
    fn a_key_that_cannot_be_opened_has_its_remedy() {
        const FAILED: &str = "ssl.key.location failed: error:0A080009:SSL routines::PEM lib";
        for (password, cause, help) in [
            (Some("wrong"), "bad decrypt", "check \"ssl.key.password\""),
            (None, "it is encrypted", "set \"ssl.key.password\""),
        ] {
            let shown = shown(FAILED, password.map(|it| ("ssl.key.password", it)));
            assert!(
                shown.contains(&format!("PEM lib: {cause}")) && shown.contains(help),
                "{shown}"
            );
            assert!(
                shown.contains("key.pem") && !shown.contains("wrong"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_has_its_remedy() {
        let pkcs12 = "Failed to parse ssl.keystore.location PKCS#12 file: client.p12: error:";
        for (error, help) in [
            (
                "11800071:PKCS12 routines::mac verify failure",
                "ssl.keystore.password",
            ),
            (
                "0308010C:digital envelope routines::unsupported: Algorithm (RC2-40-CBC : 0)",
                "openssl pkcs12 -legacy",
            ),
            ("something new", "--command-config"),
        ] {
            let shown = shown(&format!("{pkcs12}{error}"), None);
            assert!(shown.contains("no/such.p12: No such file"), "{shown}");
            let (_, shown_help) = shown.split_once("\n  help: ").expect("there is a remedy");
            assert!(shown_help.contains(help), "{shown}");
        }
    }
}
