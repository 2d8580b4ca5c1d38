//! The records of a spool as bytes.
//!
//! A record is the length of its body (4 bytes), a CRC-32 of the length and the body (4 bytes), and
//! the body. The first byte of the body is the record's type. Numbers are little-endian. A text has
//! its length before it.

use std::fmt;

use std::borrow::Cow;

use rivulet_core::log::Header;
use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;

use crate::clock::{BootId, MonotonicTime};
use crate::source::SourceRecord;

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
    /// A whole record.
    Record(SourceRecord<'a>),
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
        matches!(
            self,
            SpoolRecord::Reading(..) | SpoolRecord::Record(_) | SpoolRecord::Bad { .. }
        )
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
        SpoolRecord::Record(SourceRecord {
            topic,
            key,
            value,
            headers,
        }) => {
            to.push(6);
            optional(topic.as_deref().map(str::as_bytes), to);
            optional(key.as_deref(), to);
            optional(value.as_deref(), to);
            to.extend_from_slice(&length(headers.len()));
            for (name, value) in headers {
                text(name.as_bytes(), to);
                optional(value.as_deref(), to);
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

fn optional(bytes: Option<&[u8]>, to: &mut Vec<u8>) {
    to.push(bytes.is_some().into());
    if let Some(bytes) = bytes {
        text(bytes, to);
    }
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

    /// Bytes that may be missing.
    fn optional(&mut self) -> Result<Option<&'a [u8]>, Torn> {
        match self.array() {
            Some([0]) => Ok(None),
            Some([1]) => self.bytes().map(Some).ok_or(Torn::Unknown),
            _ => Err(Torn::Unknown),
        }
    }

    fn source_record(&mut self) -> Result<SourceRecord<'a>, Torn> {
        let topic = self.optional()?.map(str::from_utf8).transpose();
        let topic = topic.map_err(|_| Torn::Unknown)?.map(Cow::Borrowed);
        let (key, value) = (self.optional()?, self.optional()?);
        let mut headers: Vec<Header> = Vec::new();
        let count = self.array().ok_or(Torn::Unknown)?;
        for _ in 0..u32::from_le_bytes(count) {
            let name = self.text().ok_or(Torn::Unknown)?.to_owned();
            headers.push((name, self.optional()?.map(<[u8]>::to_vec)));
        }
        Ok(SourceRecord {
            topic,
            key: key.map(Cow::Borrowed),
            value: value.map(Cow::Borrowed),
            headers,
        })
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
            [6] => SpoolRecord::Record(self.source_record().ok()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
