//! The digest of a partition's state, to check that a restored state is complete.

use std::fmt;
use std::str::FromStr;

use crate::guarantee::Guarantee;

/// A digest of the state that one partition of an input has made: how many sensors it has, and
/// which of their records were the last.
///
/// It is committed with the offset that the state belongs to. If a state restored from the
/// changelog does not match it, a part was lost: the topic was deleted or truncated, or it is not
/// compacted and old records were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateDigest {
    /// How many sensors there are.
    pub sensors: u64,
    /// The sum over all sensors of a hash of name and last offset. It does not depend on an order,
    /// and replacing an offset costs two hashes.
    digest: u64,
}

impl StateDigest {
    /// The digest of sensors with these last offsets.
    pub fn of<'s>(last: impl IntoIterator<Item = (&'s str, i64)>) -> Self {
        let mut digest = StateDigest::default();
        for (sensor, offset) in last {
            digest.replace(hash(sensor), -1, offset);
        }
        digest
    }

    /// Whether the digest of a restored state matches the `committed` one.
    #[must_use]
    pub fn matches(&self, committed: &StateDigest, guarantee: Guarantee) -> bool {
        match guarantee {
            Guarantee::ExactlyOnce => self == committed,
            // The state is ahead of the offset if a process died between the two.
            Guarantee::AtLeastOnce => self.sensors >= committed.sensors,
        }
    }

    /// Replaces a sensor's last offset. −1 stands for none.
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

/// The metadata of a committed offset: the digest of the state that belongs to it, and how many
/// partitions the topic had.
///
/// With another number of partitions, keys map to other partitions, where sensors have no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateMetadata {
    /// The digest of the state.
    pub digest: StateDigest,
    /// How many partitions the topic had. `None` in metadata of versions that did not write it.
    pub partitions: Option<i32>,
}

/// `10 sensors, digest 9ae16a3b2f90404f, of 4 partitions`.
impl fmt::Display for StateMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.digest)?;
        self.partitions
            .map_or(Ok(()), |count| write!(f, ", of {count} partitions"))
    }
}

impl FromStr for StateMetadata {
    type Err = String;

    fn from_str(metadata: &str) -> Result<Self, String> {
        let Some((digest, count)) = metadata.split_once(", of ") else {
            return Ok(StateMetadata {
                digest: metadata.parse()?,
                partitions: None,
            });
        };
        let count = count
            .strip_suffix(" partitions")
            .and_then(|count| count.parse().ok());
        let count = count.ok_or_else(|| format!("`{metadata}` is not the metadata of a state"))?;
        Ok(StateMetadata {
            digest: digest.parse()?,
            partitions: Some(count),
        })
    }
}

/// `10 sensors, digest 9ae16a3b2f90404f`.
impl fmt::Display for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sensors, digest {:016x}", self.sensors, self.digest)
    }
}

impl FromStr for StateDigest {
    type Err = String;

    fn from_str(metadata: &str) -> Result<Self, String> {
        let parsed = metadata
            .split_once(" sensors, digest ")
            .and_then(|(sensors, digest)| {
                Some(StateDigest {
                    sensors: sensors.parse().ok()?,
                    digest: u64::from_str_radix(digest, 16).ok()?,
                })
            });
        parsed.ok_or_else(|| format!("`{metadata}` is not a digest of a state"))
    }
}

/// The 64-bit FNV-1a hash of a text (Fowler, Noll and Vo), the same on every machine.
#[must_use]
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A hash of name and offset: the last step of `SplitMix64` (Steele, Lea and Flood 2014).
fn mix(sensor: u64, offset: i64) -> u64 {
    let mut mixed = sensor.wrapping_add(offset.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(last: &[(&str, i64)]) -> StateDigest {
        StateDigest::of(last.iter().copied())
    }

    #[test]
    fn a_digest_differs_between_states_and_ignores_their_order() {
        let all = digest(&[("a", 1), ("b", 2)]);
        assert_eq!(all, digest(&[("b", 2), ("a", 1)]));
        assert_ne!(all, digest(&[("a", 2), ("b", 1)]));
        assert_ne!(all, digest(&[("a", 1), ("c", 2)]));
        assert_ne!(all, digest(&[("a", 1)]));
        let mut replaced = digest(&[("a", 1), ("b", 0)]);
        replaced.replace(hash("b"), 0, 2);
        assert_eq!(all, replaced);
        replaced.replace(hash("b"), 2, -1);
        assert_eq!(digest(&[("a", 1)]), replaced);
    }

    #[test]
    fn state_may_be_ahead_of_its_offset_only_without_transactions() {
        let (committed, ahead) = (digest(&[("a", 1)]), digest(&[("a", 2), ("b", 3)]));
        assert!(committed.matches(&committed, Guarantee::ExactlyOnce));
        assert!(
            !ahead.matches(&committed, Guarantee::ExactlyOnce)
                && ahead.matches(&committed, Guarantee::AtLeastOnce)
        );
        assert!(!committed.matches(&ahead, Guarantee::AtLeastOnce));
    }

    #[test]
    fn metadata_is_read_back_and_anything_else_is_an_error() {
        let all = digest(&[("a", 1), ("b", 2)]);
        assert_eq!(all.to_string().parse(), Ok(all));
        assert_eq!(
            StateDigest::default().to_string(),
            "0 sensors, digest 0000000000000000"
        );
        assert!("ten sensors".parse::<StateDigest>().is_err());
        for partitions in [None, Some(4)] {
            let metadata = StateMetadata {
                digest: all,
                partitions,
            };
            assert_eq!(metadata.to_string().parse(), Ok(metadata));
        }
        assert!(
            "0 sensors, digest 0000000000000000, of many partitions"
                .parse::<StateMetadata>()
                .is_err()
        );
    }
}
