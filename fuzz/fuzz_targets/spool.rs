//! A spool's records. The input is read as a file, and as a record with a valid checksum.
//!
//! - A record takes no more bytes than there are, and is written as the same bytes again.
//! - A record with a valid length and checksum is read, or has an unknown version. It is never
//!   torn.
//! - A record that was truncated, or in which one bit was flipped, is never read as a whole one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rivulet_producer::spool::record::{SpoolRecord, Torn, decode, encode};

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

/// Prepends length and checksum, because no fuzzer finds a checksum by trying.
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
    // The checksum chooses the byte and the bit.
    let at = u32::from_le_bytes(sum) as usize;
    assert_eq!(decode(&whole[..at % whole.len()]), Err(Torn::Short));
    let length = whole.len();
    whole[at % length] ^= 1 << (at % 8);
    assert!(matches!(decode(&whole), Err(Torn::Short | Torn::Checksum)));
}
