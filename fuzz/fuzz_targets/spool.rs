//! A spool's records: any bytes as what is in a file, and as a record whose checksum is right.
//!
//! - A record that is read takes no more bytes than there are, and is written as those very bytes.
//! - With the right length and checksum a record is read or of another version, never torn.
//! - A record that was cut, or of which one bit is another, is never taken for a whole one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use producer::spool::record::{SpoolRecord, Torn, decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok((record, size)) = decode(rest) {
        assert_eq!(written(&record), rest[..size]);
        rest = &rest[size..];
    }
    framed(bytes);
});

fn written(record: &SpoolRecord<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(record, &mut bytes);
    bytes
}

/// Puts length and checksum before the bytes: no fuzzer finds a checksum by trying.
fn framed(body: &[u8]) {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    let sum = crc32fast::hash(&[&length, body].concat()).to_le_bytes();
    let mut whole = [&length, &sum, body].concat();
    match decode(&whole) {
        Ok((record, size)) => {
            assert_eq!(size, whole.len());
            assert_eq!(written(&record), whole);
            if let SpoolRecord::Reading(reading, _) = &record {
                assert!(record.is_counted() && reading.value.is_finite());
            }
        }
        Err(torn) => assert_eq!(torn, Torn::Unknown),
    }
    // Which byte and bit, the bytes themselves decide.
    let at = u32::from_le_bytes(sum) as usize;
    assert_eq!(decode(&whole[..at % whole.len()]), Err(Torn::Short));
    let length = whole.len();
    whole[at % length] ^= 1 << (at % 8);
    assert!(matches!(decode(&whole), Err(Torn::Short | Torn::Checksum)));
}
