//! A spool's records as bytes.
//!
//! A record is its length (4 bytes), a CRC-32 of the length and what follows (4 bytes), and that:
//! first a byte for its kind. Numbers are little-endian; texts have their length before them.

use std::fmt;

use stream::reading::{Reading, Unit};

use crate::clock::{BootId, MonotonicTime};

/// What stands before each record.
const HEAD: usize = 8;

/// The longest record, in bytes. None that a source makes comes near; it bounds what a damaged
/// length can ask for.
pub const LONGEST: usize = 4 * 1024 * 1024;

/// What a spool holds.
#[derive(Debug, Clone, PartialEq)]
pub enum SpoolRecord<'a> {
    /// A reading, with the moment it was measured at if its time was not known then.
    Reading(Reading<'a>, Option<MonotonicTime>),
    /// Something that should have been a reading.
    Bad {
        /// See [`InvalidReading`](stream::reading::InvalidReading).
        reason: &'a str,
        /// See [`InvalidReading`](stream::reading::InvalidReading).
        detail: &'a str,
        /// Where it was found, for a person.
        place: &'a str,
        /// The original bytes.
        bytes: &'a [u8],
    },
    /// The position of the source behind all records before, in JSON.
    Position(&'a str),
    /// The clock was set: what to add to the milliseconds since a start of the machine to get the
    /// time.
    Anchor {
        /// Which start of the machine.
        boot: BootId,
        /// Milliseconds.
        offset: i64,
    },
}

impl SpoolRecord<'_> {
    /// Whether it is something to be sent, which is counted, or a note of the spool's own.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        matches!(self, SpoolRecord::Reading(..) | SpoolRecord::Bad { .. })
    }
}

/// Why bytes are not a whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Torn {
    /// They end too early.
    Short,
    /// The checksum is another.
    Checksum,
    /// The checksum is right, but no record of this version looks so.
    Unknown,
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Torn::Short => "it is not whole",
            Torn::Checksum => "its checksum is wrong",
            Torn::Unknown => "this version does not know it",
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
            to.push(match unit {
                None => 0,
                Some(Unit::Celsius) => 1,
                Some(Unit::Fahrenheit) => 2,
                Some(Unit::Kelvin) => 3,
            });
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
    // What is too long for four bytes is refused by its length when it is read.
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn checksum(length: &[u8], body: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(length);
    sum.update(body);
    sum.finalize().to_le_bytes()
}

/// Reads the record that the bytes begin with, and tells how many of them it takes.
///
/// # Errors
/// What is wrong with them; nothing that bytes can be makes it panic.
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

/// What is left to read.
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
    fn what_is_written_is_read() {
        for record in records() {
            let mut bytes = encoded(&record);
            let size = bytes.len();
            bytes.extend_from_slice(b"whatever follows");
            assert_eq!(decode(&bytes), Ok((record, size)));
        }
    }

    #[test]
    fn a_record_cut_anywhere_is_told_from_a_whole_one() {
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
    fn any_changed_bit_is_noticed() {
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
    fn zeros_are_no_record() {
        // What a file system leaves where it made room and lost the power before it wrote.
        assert_eq!(decode(&[0; 4096]), Err(Torn::Checksum));
    }

    #[test]
    fn what_is_whole_but_strange_is_refused() {
        let sealed = |body: &[u8]| {
            let length = length(body.len());
            [&length[..], &checksum(&length, body), body].concat()
        };
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
            "bytes left over"
        );
        let mut infinite = encoded(&records()[0]);
        infinite[HEAD + 17..HEAD + 25].copy_from_slice(&f64::INFINITY.to_le_bytes());
        assert_eq!(decode(&sealed(&infinite[HEAD..])), Err(Torn::Unknown));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), kind in 0..7_u8) {
            let _ = decode(&bytes);
            let body = [&[kind], &bytes[..]].concat();
            let length = length(body.len());
            let _ = decode(&[&length[..], &checksum(&length, &body), &body].concat());
        }
    }
}
