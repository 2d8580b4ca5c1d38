//! Certificates: an authority, and what it signs.

use std::process::Command;
use std::time::SystemTime;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder, X509Ref};

use crate::Process;

/// A private key and its certificate.
#[derive(Debug)]
pub struct Certificate {
    key: PKey<Private>,
    certificate: X509,
}

const OPENSSL: &str = "OpenSSL makes keys and certificates";
const DAY: i64 = 24 * 60 * 60;

impl Certificate {
    /// The certificate of an authority, signed by itself.
    #[must_use]
    pub fn authority(name: &str) -> Self {
        Self::made(name, [-1, 30], None, is_authority).expect(OPENSSL)
    }

    /// The certificate of a server that is its own authority. `host` is a name or an address.
    #[must_use]
    pub fn self_signed(host: &str) -> Self {
        Self::made(host, [-1, 30], None, |builder| {
            is_authority(builder)?;
            is_for(host, builder, None)
        })
        .expect(OPENSSL)
    }

    /// A certificate that this authority signs. `host` is a name or an address; it is valid from
    /// and to so many days from now.
    #[must_use]
    pub fn sign(&self, host: &str, days: [i64; 2]) -> Self {
        Self::made(host, days, Some(self), |builder| {
            is_for(host, builder, Some(&self.certificate))
        })
        .expect(OPENSSL)
    }

    fn made(
        name: &str,
        days: [i64; 2],
        issuer: Option<&Certificate>,
        extend: impl FnOnce(&mut X509Builder) -> Result<(), ErrorStack>,
    ) -> Result<Self, ErrorStack> {
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&curve)?)?;
        let mut serial = BigNum::new()?;
        serial.rand(128, MsbOption::MAYBE_ZERO, false)?;
        let subject = named(name)?;
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
        let [from, to] = days.map(|days| Asn1Time::from_unix(now + days * DAY));
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&*serial.to_asn1_integer()?)?;
        builder.set_subject_name(&subject)?;
        builder.set_issuer_name(match issuer {
            Some(issuer) => issuer.certificate.subject_name(),
            None => &subject,
        })?;
        builder.set_not_before(&*from?)?;
        builder.set_not_after(&*to?)?;
        builder.set_pubkey(&key)?;
        extend(&mut builder)?;
        builder.sign(
            issuer.map_or(&key, |issuer| &issuer.key),
            MessageDigest::sha256(),
        )?;
        Ok(Certificate {
            certificate: builder.build(),
            key,
        })
    }

    /// The certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().expect(OPENSSL)
    }

    /// The private key as PEM.
    #[must_use]
    pub fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().expect(OPENSSL)
    }

    /// The private key as PEM, encrypted with a password.
    #[must_use]
    pub fn encrypted_key_pem(&self, password: &str) -> Vec<u8> {
        let pem = self
            .key
            .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), password.as_bytes());
        pem.expect(OPENSSL)
    }

    /// Key and certificate as PKCS#12, encrypted with a password.
    #[must_use]
    pub fn pkcs12(&self, password: &str) -> Vec<u8> {
        let built = Pkcs12::builder()
            .name("rivulet")
            .pkey(&self.key)
            .cert(&self.certificate)
            .build2(password);
        built.and_then(|pkcs12| pkcs12.to_der()).expect(OPENSSL)
    }

    /// The same, encrypted with RC2 and 3DES, as old programs do.
    #[must_use]
    pub fn old_pkcs12(&self, password: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let [pem, pkcs12] = ["both.pem", "old.p12"].map(|name| folder.path().join(name));
        std::fs::write(&pem, [self.key_pem(), self.pem()].concat()).expect("the folder is new");
        // The OpenSSL of librdkafka cannot.
        let mut openssl = Command::new("openssl");
        openssl
            .args(["pkcs12", "-export", "-legacy", "-in"])
            .arg(&pem);
        openssl.arg("-passout").arg(format!("pass:{password}"));
        Process::start("openssl", openssl.arg("-out").arg(&pkcs12)).succeeds();
        std::fs::read(&pkcs12).expect("openssl has written it")
    }
}

fn is_authority(builder: &mut X509Builder) -> Result<(), ErrorStack> {
    builder.append_extension(BasicConstraints::new().critical().ca().build()?)
}

fn is_for(
    host: &str,
    builder: &mut X509Builder,
    issuer: Option<&X509Ref>,
) -> Result<(), ErrorStack> {
    let mut names = SubjectAlternativeName::new();
    if host.parse::<std::net::IpAddr>().is_ok() {
        names.ip(host);
    } else {
        names.dns(host);
    }
    let names = names.build(&builder.x509v3_context(issuer, None))?;
    builder.append_extension(names)
}

fn named(name: &str) -> Result<X509Name, ErrorStack> {
    let mut builder = X509NameBuilder::new()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, name)?;
    Ok(builder.build())
}
