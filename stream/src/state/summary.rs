//! The state of one partition in a few bytes, to tell whether all of it is there again.

use std::fmt;
use std::str::FromStr;

use crate::pipeline::Guarantee;

/// How many sensors have sent something through a partition of an input, and which of their records
/// were the last.
///
/// It is committed beside the offset that the state belongs to. When the changelog gives another
/// state than this, some of it was lost: the topic was deleted, cut short, or not compacted but
/// deleted by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// How many sensors there are.
    pub sensors: u64,
    /// The sum over all of them of a hash of name and last offset: it does not depend on an order,
    /// and replacing one offset costs two hashes.
    digest: u64,
}

impl Summary {
    /// What sensors with these last offsets come to.
    pub fn of<'s>(last: impl IntoIterator<Item = (&'s str, i64)>) -> Self {
        let mut summary = Summary::default();
        for (sensor, offset) in last {
            summary.replace(hash(sensor), -1, offset);
        }
        summary
    }

    /// Whether a state that comes to this is whole where `noted` was noted.
    #[must_use]
    pub fn fits(&self, noted: &Summary, guarantee: Guarantee) -> bool {
        match guarantee {
            Guarantee::ExactlyOnce => self == noted,
            // State gets ahead of its offset when a process dies between the two.
            Guarantee::AtLeastOnce => self.sensors >= noted.sensors,
        }
    }

    /// Replaces a sensor's last offset; −1 for none.
    pub(super) fn replace(&mut self, sensor: u64, before: i64, after: i64) {
        if before >= 0 {
            self.digest = self.digest.wrapping_sub(mix(sensor, before));
            self.sensors -= 1;
        }
        if after >= 0 {
            self.digest = self.digest.wrapping_add(mix(sensor, after));
            self.sensors += 1;
        }
    }
}

/// What is noted beside an offset: the state that belongs to it, and how many partitions the topic
/// had.
///
/// With another number of partitions, keys go to other partitions, and sensors would begin anew
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// The state.
    pub summary: Summary,
    /// How many partitions the topic had; `None` in notes of versions that did not say it.
    pub partitions: Option<i32>,
}

/// `10 sensors, digest 9ae16a3b2f90404f, of 4 partitions`.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.summary)?;
        self.partitions
            .map_or(Ok(()), |count| write!(f, ", of {count} partitions"))
    }
}

impl FromStr for Note {
    type Err = String;

    fn from_str(note: &str) -> Result<Self, String> {
        let Some((summary, count)) = note.split_once(", of ") else {
            return Ok(Note {
                summary: note.parse()?,
                partitions: None,
            });
        };
        let count = count
            .strip_suffix(" partitions")
            .and_then(|count| count.parse().ok());
        let count = count.ok_or_else(|| format!("`{note}` is no note of a state"))?;
        Ok(Note {
            summary: summary.parse()?,
            partitions: Some(count),
        })
    }
}

/// `10 sensors, digest 9ae16a3b2f90404f`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sensors, digest {:016x}", self.sensors, self.digest)
    }
}

impl FromStr for Summary {
    type Err = String;

    fn from_str(note: &str) -> Result<Self, String> {
        let parsed = note
            .split_once(" sensors, digest ")
            .and_then(|(sensors, digest)| {
                Some(Summary {
                    sensors: sensors.parse().ok()?,
                    digest: u64::from_str_radix(digest, 16).ok()?,
                })
            });
        parsed.ok_or_else(|| format!("`{note}` is no summary of a state"))
    }
}

/// A text in 64 bits: FNV-1a (Fowler, Noll and Vo), the same on every machine.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Name and offset in 64 bits: the last step of `SplitMix64` (Steele, Lea and Flood 2014).
fn mix(sensor: u64, offset: i64) -> u64 {
    let mut mixed = sensor.wrapping_add(offset.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(last: &[(&str, i64)]) -> Summary {
        Summary::of(last.iter().copied())
    }

    #[test]
    fn it_tells_states_apart_and_knows_no_order() {
        let all = summary(&[("a", 1), ("b", 2)]);
        assert_eq!(all, summary(&[("b", 2), ("a", 1)]));
        assert_ne!(all, summary(&[("a", 2), ("b", 1)]));
        assert_ne!(all, summary(&[("a", 1), ("c", 2)]));
        assert_ne!(all, summary(&[("a", 1)]));
        let mut replaced = summary(&[("a", 1), ("b", 0)]);
        replaced.replace(hash("b"), 0, 2);
        assert_eq!(all, replaced);
        replaced.replace(hash("b"), 2, -1);
        assert_eq!(summary(&[("a", 1)]), replaced);
    }

    #[test]
    fn state_may_be_ahead_of_its_offset_only_without_transactions() {
        let (noted, ahead) = (summary(&[("a", 1)]), summary(&[("a", 2), ("b", 3)]));
        assert!(noted.fits(&noted, Guarantee::ExactlyOnce));
        assert!(
            !ahead.fits(&noted, Guarantee::ExactlyOnce)
                && ahead.fits(&noted, Guarantee::AtLeastOnce)
        );
        assert!(!noted.fits(&ahead, Guarantee::AtLeastOnce));
    }

    #[test]
    fn a_note_is_read_back_and_anything_else_refused() {
        let all = summary(&[("a", 1), ("b", 2)]);
        assert_eq!(all.to_string().parse(), Ok(all));
        assert_eq!(
            Summary::default().to_string(),
            "0 sensors, digest 0000000000000000"
        );
        assert!("ten sensors".parse::<Summary>().is_err());
        for partitions in [None, Some(4)] {
            let note = Note {
                summary: all,
                partitions,
            };
            assert_eq!(note.to_string().parse(), Ok(note));
        }
        assert!(
            "0 sensors, digest 0000000000000000, of many partitions"
                .parse::<Note>()
                .is_err()
        );
    }
}
