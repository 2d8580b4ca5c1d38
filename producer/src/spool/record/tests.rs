//! Records that are whole, cut and changed.

use proptest::prelude::*;

use super::*;

fn records() -> Vec<SpoolRecord<'static>> {
    let reading = Reading {
        sensor: "küche".into(),
        seq: 7,
        time: -1,
        value: -0.5,
        unit: Some(Unit::Kelvin),
    };
    vec![
        SpoolRecord::Reading(reading.clone(), None),
        SpoolRecord::Reading(
            Reading {
                unit: None,
                ..reading
            },
            Some(MonotonicTime {
                boot: [9; 16],
                since: 12,
            }),
        ),
        SpoolRecord::Bad {
            reason: "not-json",
            detail: "",
            place: "line 1",
            bytes: b"\xff\0",
        },
        SpoolRecord::Record(SourceRecord {
            topic: None,
            key: Some(b"k"[..].into()),
            value: None,
            headers: vec![
                ("h".to_owned(), None),
                ("i".to_owned(), Some(b"\xff".into())),
            ],
        }),
        SpoolRecord::Record(SourceRecord {
            topic: Some("warm".into()),
            key: None,
            value: Some(b""[..].into()),
            headers: Vec::new(),
        }),
        SpoolRecord::Position("{\"next\":{}}"),
        SpoolRecord::Anchor {
            boot: [1; 16],
            offset: i64::MIN,
        },
    ]
}

fn encoded(record: &SpoolRecord<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(record, &mut bytes);
    bytes
}

#[test]
fn records_are_decoded_as_they_were_encoded() {
    for record in records() {
        let mut bytes = encoded(&record);
        let size = bytes.len();
        bytes.extend_from_slice(b"whatever follows");
        assert_eq!(decode(&bytes), Ok((record, size)));
    }
}

#[test]
fn a_truncated_record_is_detected() {
    for record in records() {
        let bytes = encoded(&record);
        for cut in 0..bytes.len() {
            assert_eq!(
                decode(&bytes[..cut]),
                Err(Torn::Short),
                "{record:?} cut at {cut}"
            );
        }
    }
}

#[test]
fn a_flipped_bit_is_detected() {
    for record in records() {
        let bytes = encoded(&record);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                decode(&changed).is_err(),
                "{record:?} with bit {bit} changed"
            );
        }
    }
}

#[test]
fn zeros_are_not_a_record() {
    // A file system leaves zeros if it has allocated space and loses power before the write.
    assert_eq!(decode(&[0; 4096]), Err(Torn::Checksum));
}

fn sealed(body: &[u8]) -> Vec<u8> {
    let length = length(body.len());
    [&length[..], &checksum(&length, body), body].concat()
}

#[test]
fn a_complete_record_of_unknown_content_is_an_error() {
    assert_eq!(decode(&sealed(&[])), Err(Torn::Unknown));
    assert_eq!(decode(&sealed(&[77])), Err(Torn::Unknown));
    assert_eq!(
        decode(&sealed(&[4, 1, 0, 0, 0, 0xff])),
        Err(Torn::Unknown),
        "not UTF-8"
    );
    assert_eq!(
        decode(&sealed(&[4, 0, 0, 0, 0, 0])),
        Err(Torn::Unknown),
        "extra bytes"
    );
    let mut infinite = encoded(&records()[0]);
    infinite[HEAD + 17..HEAD + 25].copy_from_slice(&f64::INFINITY.to_le_bytes());
    assert_eq!(decode(&sealed(&infinite[HEAD..])), Err(Torn::Unknown));
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        kind in 0..8_u8,
    ) {
        let _ = decode(&bytes);
        let body = [&[kind], &bytes[..]].concat();
        let length = length(body.len());
        let _ = decode(&[&length[..], &checksum(&length, &body), &body].concat());
    }
}
