//! When the certificates of a client expire.

use std::collections::BTreeMap;
use std::fs;

use openssl::asn1::Asn1Time;
use openssl::x509::{X509, X509Ref};

/// When the first certificate of each kind expires, in seconds since the epoch: of the authorities
/// that the client trusts (`ca`) and of its own (`client`). A kind that is not set, or cannot be
/// read, is left out: the client itself says why.
#[must_use]
pub fn certificate_expiries(properties: &BTreeMap<String, String>) -> Vec<(&'static str, i64)> {
    [
        ("ca", "ssl.ca.location", "ssl.ca.pem"),
        ("client", "ssl.certificate.location", "ssl.certificate.pem"),
    ]
    .into_iter()
    .filter_map(|(kind, location, pem)| {
        let file = properties.get(location);
        let file = file.and_then(|path| fs::read(path).ok());
        let pem = file.or_else(|| Some(properties.get(pem)?.clone().into_bytes()))?;
        let certificates = X509::stack_from_pem(&pem).ok()?;
        let first = certificates.iter().filter_map(|it| expiry(it)).min()?;
        Some((kind, first))
    })
    .collect()
}

fn expiry(certificate: &X509Ref) -> Option<i64> {
    let epoch = Asn1Time::from_unix(0).ok()?;
    let since = epoch.diff(certificate.not_after()).ok()?;
    Some(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

#[cfg(test)]
mod tests {
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;

    use super::*;

    fn pem(expiry: i64) -> String {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut certificate = X509::builder().unwrap();
        certificate.set_pubkey(&key).unwrap();
        let [from, to] = [0, expiry].map(|time| Asn1Time::from_unix(time).unwrap());
        certificate.set_not_before(&from).unwrap();
        certificate.set_not_after(&to).unwrap();
        certificate.sign(&key, MessageDigest::sha256()).unwrap();
        String::from_utf8(certificate.build().to_pem().unwrap()).unwrap()
    }

    #[test]
    fn the_first_certificate_to_expire_counts() {
        let (soon, late) = (1_900_000_001, 1_990_000_000);
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let file = folder.path().join("ca.pem");
        fs::write(&file, pem(late) + &pem(soon)).expect("a file in it");
        let properties = BTreeMap::from([
            ("ssl.ca.location".to_owned(), file.display().to_string()),
            ("ssl.certificate.pem".to_owned(), pem(late)),
        ]);
        assert_eq!(
            certificate_expiries(&properties),
            [("ca", soon), ("client", late)]
        );
    }

    #[test]
    fn what_is_not_set_or_cannot_be_read_is_left_out() {
        let properties = BTreeMap::from([
            ("ssl.ca.location".to_owned(), "/nowhere/ca.pem".to_owned()),
            ("ssl.certificate.pem".to_owned(), "no pem".to_owned()),
        ]);
        assert_eq!(certificate_expiries(&properties), []);
    }
}
