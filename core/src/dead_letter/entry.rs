//! The records of a dead-letter topic, read from their headers.

use super::{Migration, Offsets, header};
use crate::log::Header;

/// A record of a dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerRecord<'h> {
    /// A record that the stage could not process.
    DeadLetter(DeadLetter<'h>),
    /// Dead letters were replayed or dropped.
    Resolution(Resolution),
    /// The stage's state was migrated.
    Migration(Migration),
    /// A record that neither a stage nor `rivulet` has written.
    Foreign,
}

/// The headers of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetter<'h> {
    /// The record's own headers.
    pub original: &'h [Header],
    /// The topic that it was read from. For a producer, the file or device.
    pub topic: &'h str,
    /// The partition and the offset that it was read at. `None` for a producer.
    pub place: Option<(i32, i64)>,
    /// The stage that could not process it.
    pub stage: &'h str,
    /// A fixed word to group by, such as `not-json`.
    pub reason: &'h str,
    /// The error in full.
    pub error: &'h str,
    /// The length of the original value in bytes, if the record was truncated.
    pub truncated: Option<u64>,
}

impl DeadLetter<'_> {
    /// The headers of the dead letter: the record's own, then the stage's in a fixed order.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        let mut headers = self.original.to_vec();
        headers.push(text(header::TOPIC, self.topic));
        if let Some((partition, offset)) = self.place {
            headers.push(text(header::PARTITION, &partition.to_string()));
            headers.push(text(header::OFFSET, &offset.to_string()));
        }
        headers.push(text(header::STAGE, self.stage));
        headers.push(text(header::REASON, self.reason));
        headers.push(text(header::ERROR, self.error));
        headers.extend(
            self.truncated
                .map(|size| text(header::TRUNCATED, &size.to_string())),
        );
        headers
    }

    /// Where the record was read, as text.
    #[must_use]
    pub fn origin(&self) -> String {
        match self.place {
            Some((partition, offset)) => format!("{} [{partition}] at offset {offset}", self.topic),
            None => self.topic.to_owned(),
        }
    }
}

/// How a dead letter was resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// The original record was sent to its topic again.
    Replayed,
    /// Somebody decided to do nothing about it.
    Dropped,
}

impl Resolved {
    /// The word in headers and in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Resolved::Replayed => "replayed",
            Resolved::Dropped => "dropped",
        }
    }
}

/// Says how dead letters before it in the same partition were resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// How they were resolved.
    pub resolved: Resolved,
    /// The offsets of the dead letters.
    pub letters: Offsets,
}

impl Resolution {
    /// The headers of the resolution's record, which has no key and no value.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        vec![
            text(header::HANDLED, self.resolved.name()),
            text(header::LETTERS, &self.letters.to_string()),
        ]
    }

    fn read(headers: &[Header]) -> Option<Self> {
        let (headers, letters) = last(headers, header::LETTERS)?;
        let (headers, resolved) = last(headers, header::HANDLED)?;
        let resolved = [Resolved::Replayed, Resolved::Dropped]
            .into_iter()
            .find(|known| known.name() == resolved)?;
        headers.is_empty().then_some(Resolution {
            resolved,
            letters: letters.parse().ok()?,
        })
    }
}

impl<'h> LedgerRecord<'h> {
    /// Reads a record of a dead-letter topic from its headers. Never fails: a record that is not
    /// exactly as a stage or `rivulet` writes it is [foreign](Self::Foreign).
    ///
    /// It reads from the end. The record's own headers come before the stage's and may have the
    /// same names: the record can be a dead letter of another pipeline.
    #[must_use]
    pub fn read(headers: &'h [Header]) -> Self {
        if let Some(resolution) = Resolution::read(headers) {
            return LedgerRecord::Resolution(resolution);
        }
        if let Some(migration) = Migration::read(headers) {
            return LedgerRecord::Migration(migration);
        }
        dead_letter(headers).map_or(LedgerRecord::Foreign, LedgerRecord::DeadLetter)
    }
}

fn dead_letter(headers: &[Header]) -> Option<DeadLetter<'_>> {
    let (headers, truncated) = match last(headers, header::TRUNCATED) {
        Some((before, size)) => (before, Some(size.parse().ok()?)),
        None => (headers, None),
    };
    let (headers, error) = last(headers, header::ERROR)?;
    let (headers, reason) = last(headers, header::REASON)?;
    let (headers, stage) = last(headers, header::STAGE)?;
    let (headers, place) = match last(headers, header::OFFSET) {
        Some((before, offset)) => {
            let (before, partition) = last(before, header::PARTITION)?;
            (before, Some((number(partition)?, number(offset)?)))
        }
        None => (headers, None),
    };
    let (original, topic) = last(headers, header::TOPIC)?;
    Some(DeadLetter {
        original,
        topic,
        place,
        stage,
        reason,
        error,
        truncated,
    })
}

/// The headers before the last one, and its value. `None` if the last one has another name or is
/// not text.
pub(super) fn last<'h>(headers: &'h [Header], name: &str) -> Option<(&'h [Header], &'h str)> {
    let ((found, value), before) = headers.split_last()?;
    let value = std::str::from_utf8(value.as_deref()?).ok()?;
    (found == name).then_some((before, value))
}

fn number<T: std::str::FromStr + PartialOrd + Default>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number| *number >= T::default())
}

pub(super) fn text(name: &str, value: &str) -> Header {
    (name.to_owned(), Some(value.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::option;
    use proptest::prelude::*;

    use super::super::MigrationKind;
    use super::*;

    const KINDS: [MigrationKind; 4] = [
        MigrationKind::Kept,
        MigrationKind::Reset,
        MigrationKind::Anew,
        MigrationKind::Forgotten,
    ];

    const OURS: &[&str] = &[
        header::TOPIC,
        header::PARTITION,
        header::OFFSET,
        header::STAGE,
        header::REASON,
        header::ERROR,
        header::TRUNCATED,
        header::HANDLED,
        header::LETTERS,
        header::STATE,
        header::CHAIN,
        header::OFFSETS,
        header::SENSORS,
    ];

    /// Any header, half of them with a name of ours.
    fn any_header() -> impl Strategy<Value = Header> {
        let name = prop_oneof![
            proptest::sample::select(OURS).prop_map(str::to_owned),
            ".{0,9}"
        ];
        let value = prop_oneof![
            vec(any::<u8>(), 0..9),
            proptest::sample::select(&["1", "-1", "3,7..9", "replayed", "kept", "in/0=7"][..])
                .prop_map(|text| text.as_bytes().to_vec()),
        ];
        (name, option::of(value))
    }

    #[test]
    fn any_other_headers_are_foreign() {
        let dead_letter = DeadLetter {
            original: &[],
            topic: "in",
            place: Some((0, 41)),
            stage: "convert",
            reason: "not-json",
            error: "no",
            truncated: None,
        };
        let whole = dead_letter.headers();
        assert_eq!(
            LedgerRecord::read(&whole),
            LedgerRecord::DeadLetter(dead_letter)
        );
        for index in 1..whole.len() {
            let mut lacking = whole.clone();
            lacking.remove(index);
            assert_eq!(
                LedgerRecord::read(&lacking),
                LedgerRecord::Foreign,
                "without {}",
                whole[index].0
            );
            let mut without_value = whole.clone();
            without_value[index].1 = None;
            assert_eq!(LedgerRecord::read(&without_value), LedgerRecord::Foreign);
        }
        for (index, value) in [(1, "one"), (1, "-1"), (1, "4294967296"), (2, "-5"), (2, "")] {
            let mut invalid = whole.clone();
            invalid[index].1 = Some(value.into());
            assert_eq!(
                LedgerRecord::read(&invalid),
                LedgerRecord::Foreign,
                "{value}"
            );
        }
        assert_eq!(LedgerRecord::read(&[]), LedgerRecord::Foreign);
        let unknown = [text(header::HANDLED, "eaten"), text(header::LETTERS, "1")];
        assert_eq!(LedgerRecord::read(&unknown), LedgerRecord::Foreign);
    }

    proptest! {
        #[test]
        fn a_dead_letter_reads_back_whatever_headers_the_record_had(
            original in vec(any_header(), 0..12),
            topic in ".{0,20}",
            stage in ".{0,20}",
            reason in ".{0,20}",
            error in ".{0,20}",
            place in option::of((0..i32::MAX, 0..i64::MAX)),
            truncated in option::of(any::<u64>()),
        ) {
            // The dead letter of a producer has no original headers.
            let original = if place.is_some() { &original[..] } else { &[] };
            let dead_letter = DeadLetter {
                original,
                topic: &topic,
                place,
                stage: &stage,
                reason: &reason,
                error: &error,
                truncated,
            };
            let headers = dead_letter.headers();
            prop_assert_eq!(LedgerRecord::read(&headers), LedgerRecord::DeadLetter(dead_letter));
        }

        #[test]
        fn a_resolution_reads_back(set in vec(0i64..1000, 1..50), dropped: bool) {
            let resolved = if dropped { Resolved::Dropped } else { Resolved::Replayed };
            let resolution = Resolution { resolved, letters: set.into_iter().collect() };
            let headers = resolution.headers();
            prop_assert_eq!(LedgerRecord::read(&headers), LedgerRecord::Resolution(resolution));
        }

        #[test]
        fn a_migration_reads_back(
            remedy in proptest::sample::select(&KINDS[..]),
            chain in option::of(".{0,30}"),
            offsets in btree_map(("[a-zA-Z0-9._-]{1,20}", 0..100_i32), 0..i64::MAX, 0..9),
            sensors in btree_set(".{0,9}", 0..5),
        ) {
            let sensors = if remedy == MigrationKind::Forgotten { sensors } else { [].into() };
            let migration = Migration { remedy, chain, offsets, sensors };
            let headers = migration.headers();
            prop_assert_eq!(LedgerRecord::read(&headers), LedgerRecord::Migration(migration));
        }

        #[test]
        fn any_headers_can_be_read(headers in vec(any_header(), 0..16)) {
            if let LedgerRecord::DeadLetter(dead_letter) = LedgerRecord::read(&headers) {
                prop_assert_eq!(dead_letter.headers().len(), headers.len());
            }
        }
    }
}
