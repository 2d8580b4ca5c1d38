//! The records of a spool as bytes.
//!
//! A record is the length of its body (4 bytes), a CRC-32 of the length and the body (4 bytes), and
//! the body. The first byte of the body is the record's type. Numbers are little-endian. A text has
//! its length before it.

use std::fmt;

use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;

use crate::clock::{BootId, MonotonicTime};

/// The size of length and checksum in bytes.
const HEAD: usize = 8;

/// The longest record in bytes. A source's records are far shorter. The limit is for damaged
/// lengths.
pub const LONGEST: usize = 4 * 1024 * 1024;

/// A record of a spool.
#[derive(Debug, Clone, PartialEq)]
pub enum SpoolRecord<'a> {
    /// A reading, with its monotonic time if the clock was not set.
    Reading(Reading<'a>, Option<MonotonicTime>),
    /// An invalid reading.
    Bad {
        /// See [`InvalidReading`](rivulet_core::reading::InvalidReading).
        reason: &'a str,
        /// See [`InvalidReading`](rivulet_core::reading::InvalidReading).
        detail: &'a str,
        /// Where it was read, for people.
        place: &'a str,
        /// The original bytes.
        bytes: &'a [u8],
    },
    /// The source's position after all records before this one, in JSON.
    Position(&'a str),
    /// The epoch offset of a boot, written once the clock is set.
    Anchor {
        /// The boot.
        boot: BootId,
        /// What to add to a monotonic time to get a timestamp, in milliseconds.
        offset: i64,
    },
}

impl SpoolRecord<'_> {
    /// Whether the record is sent to Kafka. Such records are numbered; the others are the spool's
    /// own.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        matches!(self, SpoolRecord::Reading(..) | SpoolRecord::Bad { .. })
    }
}

/// Why bytes are not a complete record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Torn {
    /// The bytes end too early.
    Short,
    /// The checksum is wrong.
    Checksum,
    /// The checksum is right, but this version does not know such a record.
    Unknown,
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Torn::Short => "the next record is incomplete",
            Torn::Checksum => "the checksum of the next record is wrong",
            Torn::Unknown => "this version does not know the next record",
        })
    }
}

/// Appends a record.
pub fn encode(record: &SpoolRecord<'_>, to: &mut Vec<u8>) {
    let start = to.len();
    to.extend_from_slice(&[0; HEAD]);
    match record {
        SpoolRecord::Reading(
            Reading {
                sensor,
                seq,
                time,
                value,
                unit,
            },
            measured,
        ) => {
            to.push(if measured.is_some() { 2 } else { 1 });
            to.extend_from_slice(&seq.to_le_bytes());
            to.extend_from_slice(&time.to_le_bytes());
            to.extend_from_slice(&value.to_le_bytes());
            match unit {
                None => to.push(0),
                Some(Unit::Celsius) => to.push(1),
                Some(Unit::Fahrenheit) => to.push(2),
                Some(Unit::Kelvin) => to.push(3),
                Some(other) => {
                    to.push(4);
                    text(other.name().as_bytes(), to);
                }
            }
            if let Some(MonotonicTime { boot, since }) = measured {
                to.extend_from_slice(boot);
                to.extend_from_slice(&since.to_le_bytes());
            }
            text(sensor.as_bytes(), to);
        }
        SpoolRecord::Bad {
            reason,
            detail,
            place,
            bytes,
        } => {
            to.push(3);
            for part in [
                reason.as_bytes(),
                detail.as_bytes(),
                place.as_bytes(),
                bytes,
            ] {
                text(part, to);
            }
        }
        SpoolRecord::Position(json) => {
            to.push(4);
            text(json.as_bytes(), to);
        }
        SpoolRecord::Anchor { boot, offset } => {
            to.push(5);
            to.extend_from_slice(boot);
            to.extend_from_slice(&offset.to_le_bytes());
        }
    }
    let length = length(to.len() - start - HEAD);
    to[start..start + 4].copy_from_slice(&length);
    let sum = checksum(&length, &to[start + HEAD..]);
    to[start + 4..start + HEAD].copy_from_slice(&sum);
}

fn text(bytes: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(&length(bytes.len()));
    to.extend_from_slice(bytes);
}

fn length(length: usize) -> [u8; 4] {
    // A length that does not fit into four bytes is above `LONGEST`, which `decode` rejects.
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn checksum(length: &[u8], body: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(length);
    sum.update(body);
    sum.finalize().to_le_bytes()
}

/// Decodes the record at the start of the bytes. Returns its size too.
///
/// # Errors
/// If there is no complete record. No input makes it panic.
pub fn decode(bytes: &[u8]) -> Result<(SpoolRecord<'_>, usize), Torn> {
    let mut head = Reader(bytes);
    let length = head.array().ok_or(Torn::Short)?;
    let sum: [u8; 4] = head.array().ok_or(Torn::Short)?;
    let size = u32::from_le_bytes(length) as usize;
    if size > LONGEST {
        return Err(Torn::Checksum);
    }
    let body = head.take(size).ok_or(Torn::Short)?;
    if checksum(&length, body) != sum {
        return Err(Torn::Checksum);
    }
    let mut body = Reader(body);
    let record = body
        .record()
        .filter(|_| body.0.is_empty())
        .ok_or(Torn::Unknown)?;
    Ok((record, HEAD + size))
}

/// The bytes that are left to decode.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(length as usize)
    }

    fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.bytes()?).ok()
    }

    fn record(&mut self) -> Option<SpoolRecord<'a>> {
        Some(match self.array()? {
            [kind @ (1 | 2)] => {
                let seq = u64::from_le_bytes(self.array()?);
                let time = i64::from_le_bytes(self.array()?);
                let value =
                    Some(f64::from_le_bytes(self.array()?)).filter(|value| value.is_finite())?;
                let unit = match self.array()? {
                    [0] => None,
                    [1] => Some(Unit::Celsius),
                    [2] => Some(Unit::Fahrenheit),
                    [3] => Some(Unit::Kelvin),
                    [4] => Some(self.text()?.parse().ok()?),
                    _ => return None,
                };
                let measured = if kind == 2 {
                    Some(MonotonicTime {
                        boot: self.array()?,
                        since: i64::from_le_bytes(self.array()?),
                    })
                } else {
                    None
                };
                SpoolRecord::Reading(
                    Reading {
                        sensor: self.text()?.into(),
                        seq,
                        time,
                        value,
                        unit,
                    },
                    measured,
                )
            }
            [3] => SpoolRecord::Bad {
                reason: self.text()?,
                detail: self.text()?,
                place: self.text()?,
                bytes: self.bytes()?,
            },
            [4] => SpoolRecord::Position(self.text()?),
            [5] => SpoolRecord::Anchor {
                boot: self.array()?,
                offset: i64::from_le_bytes(self.array()?),
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
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
            kind in 0..7_u8,
        ) {
            let _ = decode(&bytes);
            let body = [&[kind], &bytes[..]].concat();
            let length = length(body.len());
            let _ = decode(&[&length[..], &checksum(&length, &body), &body].concat());
        }
    }
}
