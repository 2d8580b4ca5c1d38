//! What only a holder of the secret key can write into a message: [`MeasurementHash`].

use std::fmt;
use std::path::Path;

use aes_gcm::aead::Aead;
use aes_gcm::{Aes256Gcm, Key, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rivulet_core::error::{Error, Kind, Result};
use serde::Serialize;

use super::range::RangeEvent;

/// How many bytes a secret key has: it is a key of AES-256.
const KEY_LENGTH: usize = 32;
/// How many bytes a nonce of GCM has.
pub const NONCE_LENGTH: usize = 12;

/// Where a key comes from.
pub const HELP: &str = "generate one with `openssl rand -hex 16`, which prints 32 characters; \
                        whoever checks the measurement hashes needs the same key";

/// Encrypts measurement hashes with a secret key.
#[derive(Clone)]
pub struct SecretKey(Aes256Gcm);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

impl SecretKey {
    /// The key that is these 32 bytes.
    ///
    /// # Errors
    /// If there are not 32.
    pub fn new(key: &str) -> Result<Self> {
        let bytes: [u8; KEY_LENGTH] = key.as_bytes().try_into().map_err(|_| {
            let cause = format!(
                "it has {} characters, and a key of AES-256 has {KEY_LENGTH}",
                key.len()
            );
            Error::new("reading the secret key", cause)
                .of_kind(Kind::Usage)
                .help(HELP)
        })?;
        Ok(SecretKey(Aes256Gcm::new(&Key::<Aes256Gcm>::from(bytes))))
    }

    /// The key in the first line of a file.
    ///
    /// # Errors
    /// If the file cannot be read, or it is not a key.
    pub fn read(path: &Path) -> Result<Self> {
        let doing = format!("reading the secret key in {}", path.display());
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::caused_by(doing.clone(), error).help(HELP))?;
        SecretKey::new(text.lines().next().unwrap_or_default())
            .map_err(|error| error.within(&path.display().to_string()))
    }

    /// The hash of a measurement, as text: the nonce and the encrypted JSON of the measurement,
    /// each in base64 without padding, with a `.` between them. The cipher is AES-256-GCM without
    /// associated data.
    ///
    /// # Errors
    /// If there is more to encrypt than GCM can: 64 GB.
    pub fn hash(
        &self,
        measurement: &MeasurementHash<'_>,
        nonce: [u8; NONCE_LENGTH],
    ) -> Result<String> {
        let failed = |cause: String| Error::new("encrypting a measurement hash", cause);
        let plain = serde_json::to_vec(measurement).map_err(|error| failed(error.to_string()))?;
        let encrypted = self.0.encrypt(&nonce.into(), &*plain);
        let encrypted = encrypted.map_err(|error| failed(error.to_string()))?;
        let mut text = STANDARD_NO_PAD.encode(nonce);
        text.push('.');
        STANDARD_NO_PAD.encode_string(encrypted, &mut text);
        Ok(text)
    }
}

/// What a measurement hash says. The fields are in the order in which they are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeasurementHash<'a> {
    /// What a consumer has to tell the researcher of this measurement.
    pub notification_type: Option<RangeEvent>,
    /// Who the experiment belongs to.
    pub researcher: &'a str,
    /// The experiment.
    pub experiment_id: &'a str,
    /// The measurement.
    pub measurement_id: &'a str,
    /// Its time in seconds since the epoch.
    pub timestamp: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdefghijklmnopqrstuv";

    #[test]
    fn a_key_of_31_characters_is_an_error_with_the_remedy() {
        let error = SecretKey::new(&KEY[1..]).unwrap_err().to_string();
        assert!(
            error.contains("31 characters") && error.contains("openssl rand -hex 16"),
            "{error}"
        );
        assert!(!error.contains(&KEY[1..]), "a secret is not shown");
    }

    /// What Python's `cryptography` makes of the same key, nonce and text.
    #[test]
    fn a_hash_is_that_of_another_implementation() {
        let measurement = MeasurementHash {
            notification_type: Some(RangeEvent::Stabilized),
            researcher: "ada",
            experiment_id: "e",
            measurement_id: "m",
            timestamp: 1_764_000_000.25,
        };
        let hash = SecretKey::new(KEY)
            .unwrap()
            .hash(&measurement, *b"nonce-nonce!")
            .unwrap();
        assert_eq!(
            hash,
            "bm9uY2Utbm9uY2Uh.SLKLXhrANx3vBYsj/OUpI99h9T3S4giu5LebL65I63m9n2hcw6kwuFZHs50RX0w\
             /rkwpcHsp57O/QLaycW5bioNidbTmqze6bRqmcjCK+qMRsOp29tS0OuFW3Vyn9v8il6VybHU4aKSVCau\
             CTCCXw4/fC8adBTBbmro1KS2cOKBUfc/t/IabDw"
        );
        let silent = MeasurementHash {
            notification_type: None,
            ..measurement
        };
        let plain = serde_json::to_string(&silent).unwrap();
        assert_eq!(
            plain,
            "{\"notification_type\":null,\"researcher\":\"ada\",\"experiment_id\":\"e\",\
             \"measurement_id\":\"m\",\"timestamp\":1764000000.25}"
        );
    }
}
