//! Sets of offsets, written as `3,7..9`.

use std::fmt;
use std::str::FromStr;

/// A set of offsets of one partition, kept as ranges. As text `3,7..9`, where ranges include both
/// ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offsets(Vec<(i64, i64)>);

impl Offsets {
    /// The ranges in ascending order, each with its first and last offset. They do not touch.
    #[must_use]
    pub fn ranges(&self) -> &[(i64, i64)] {
        &self.0
    }

    /// Whether an offset is in the set.
    #[must_use]
    pub fn contains(&self, offset: i64) -> bool {
        let count = self.0.partition_point(|(first, _)| *first <= offset);
        count > 0 && self.0[count - 1].1 >= offset
    }

    fn of(mut ranges: Vec<(i64, i64)>) -> Self {
        ranges.sort_unstable();
        let mut offsets = Offsets(Vec::with_capacity(ranges.len()));
        for (first, last) in ranges {
            match offsets.0.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => offsets.0.push((first, last)),
            }
        }
        offsets
    }
}

impl FromIterator<i64> for Offsets {
    fn from_iter<I: IntoIterator<Item = i64>>(offsets: I) -> Self {
        Self::of(offsets.into_iter().map(|offset| (offset, offset)).collect())
    }
}

impl fmt::Display for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            f.write_str(if index > 0 { "," } else { "" })?;
            if first == last {
                write!(f, "{first}")?;
            } else {
                write!(f, "{first}..{last}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Offsets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(range)
            .collect::<Result<_, _>>()
            .map(Self::of)
    }
}

fn range(part: &str) -> Result<(i64, i64), String> {
    let (first, last) = part.split_once("..").unwrap_or((part, part));
    let range = offset(first)
        .zip(offset(last))
        .filter(|(first, last)| first <= last);
    range.ok_or_else(|| {
        format!("`{part}` is neither an offset nor a range; write 3, 7..9 or 3,7..9")
    })
}

fn offset(text: &str) -> Option<i64> {
    text.trim().parse().ok().filter(|offset| *offset >= 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_error_shows_how_to_write_offsets() {
        for text in [
            "",
            "a",
            "-1",
            "9..7",
            "1..",
            "..",
            "1,,2",
            "1...3",
            "99999999999999999999",
        ] {
            let error = text.parse::<Offsets>().unwrap_err();
            assert!(error.contains("3,7..9"), "{text}: {error}");
        }
    }

    #[test]
    fn a_range_to_the_largest_offset_does_not_overflow() {
        let all: Offsets = format!("5,0..{}", i64::MAX).parse().unwrap();
        assert_eq!(all.ranges(), [(0, i64::MAX)]);
    }

    proptest! {
        #[test]
        fn offsets_read_back_and_equal_a_plain_set(
            set in proptest::collection::btree_set(0i64..60, 1..40),
        ) {
            let offsets: Offsets = set.iter().rev().copied().collect();
            prop_assert_eq!(&offsets.to_string().parse::<Offsets>().unwrap(), &offsets);
            let contained = (-1..61).filter(|offset| offsets.contains(*offset));
            prop_assert_eq!(contained.collect::<BTreeSet<i64>>(), set);
            prop_assert!(offsets.ranges().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
