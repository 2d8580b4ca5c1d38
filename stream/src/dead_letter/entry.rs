//! What a record of a dead-letter topic is, told from its headers.

use super::{Migration, Offsets, header};

/// A header's name and value.
pub type Header = (String, Option<Vec<u8>>);

/// A record of a dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerRecord<'h> {
    /// A record that the stage refused.
    DeadLetter(DeadLetter<'h>),
    /// The mark of letters that somebody dealt with.
    Resolution(Resolution),
    /// A change of the stage's settings under its state.
    Migration(Migration),
    /// Something that no stage and no `rivulet` wrote.
    Foreign,
}

/// What the headers of a dead letter say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetter<'h> {
    /// The headers that the record had before it was refused.
    pub original: &'h [Header],
    /// The topic that it was read from; for a producer, the file or device.
    pub topic: &'h str,
    /// The partition and the offset that it was read at; nothing for a producer.
    pub place: Option<(i32, i64)>,
    /// The stage that refused it.
    pub stage: &'h str,
    /// A fixed word to group by, such as `not-json`.
    pub reason: &'h str,
    /// The whole story.
    pub error: &'h str,
    /// How many bytes the value had, if the record could not be kept whole.
    pub truncated: Option<u64>,
}

impl DeadLetter<'_> {
    /// The headers of the dead letter: the record's own and then, in a fixed order, the stage's.
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

    /// Where the record was read, for a person.
    #[must_use]
    pub fn origin(&self) -> String {
        match self.place {
            Some((partition, offset)) => format!("{} [{partition}] at offset {offset}", self.topic),
            None => self.topic.to_owned(),
        }
    }
}

/// What became of a letter that is not open any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// The original was sent to its topic once more.
    Replayed,
    /// Somebody decided that nothing is to be done about it.
    Dropped,
}

impl Resolved {
    /// The word in headers and on the screen.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Resolved::Replayed => "replayed",
            Resolved::Dropped => "dropped",
        }
    }
}

/// Says what became of letters that are before it in the same partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// What became of them.
    pub resolved: Resolved,
    /// Their offsets.
    pub letters: Offsets,
}

impl Resolution {
    /// The headers of the record that is the mark; it has neither key nor value.
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
    /// Tells from its headers what a record of a dead-letter topic is. Never fails: what is not
    /// exactly as a stage or `rivulet` writes it is foreign.
    ///
    /// It reads from the end, because the stage's headers are behind the record's own, which may
    /// have the same names: a refused record can be a dead letter of another pipeline.
    #[must_use]
    pub fn read(headers: &'h [Header]) -> Self {
        if let Some(mark) = Resolution::read(headers) {
            return LedgerRecord::Resolution(mark);
        }
        if let Some(change) = Migration::read(headers) {
            return LedgerRecord::Migration(change);
        }
        letter(headers).map_or(LedgerRecord::Foreign, LedgerRecord::DeadLetter)
    }
}

fn letter(headers: &[Header]) -> Option<DeadLetter<'_>> {
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

/// The value of the last header, if it has this name and is text, and the headers before it.
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
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::super::MigrationKind;
    use super::*;

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

    /// Any header, and as often one that looks like ours.
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
    fn what_is_not_as_a_stage_writes_it_is_foreign() {
        let letter = DeadLetter {
            original: &[],
            topic: "in",
            place: Some((0, 41)),
            stage: "convert",
            reason: "not-json",
            error: "no",
            truncated: None,
        };
        let whole = letter.headers();
        assert_eq!(LedgerRecord::read(&whole), LedgerRecord::DeadLetter(letter));
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
            let mut spoilt = whole.clone();
            spoilt[index].1 = Some(value.into());
            assert_eq!(
                LedgerRecord::read(&spoilt),
                LedgerRecord::Foreign,
                "{value}"
            );
        }
        assert_eq!(LedgerRecord::read(&[]), LedgerRecord::Foreign);
        let mark = [text(header::HANDLED, "eaten"), text(header::LETTERS, "1")];
        assert_eq!(LedgerRecord::read(&mark), LedgerRecord::Foreign);
    }

    proptest! {
        #[test]
        fn what_goes_into_a_letter_comes_out_whatever_headers_the_record_had(
            original in vec(any_header(), 0..12),
            topic in ".{0,20}", stage in ".{0,20}", reason in ".{0,20}", error in ".{0,20}",
            place in option::of((0..i32::MAX, 0..i64::MAX)),
            truncated in option::of(any::<u64>()),
        ) {
            // What a producer could not read has no headers of its own.
            let original = if place.is_some() { &original[..] } else { &[] };
            let letter =
                DeadLetter { original, topic: &topic, place, stage: &stage, reason: &reason, error: &error, truncated };
            let headers = letter.headers();
            prop_assert_eq!(LedgerRecord::read(&headers), LedgerRecord::DeadLetter(letter));
        }

        #[test]
        fn a_mark_comes_back(set in vec(0i64..1000, 1..50), dropped: bool) {
            let resolved = if dropped { Resolved::Dropped } else { Resolved::Replayed };
            let mark = Resolution { resolved, letters: set.into_iter().collect() };
            let headers = mark.headers();
            prop_assert_eq!(LedgerRecord::read(&headers), LedgerRecord::Resolution(mark));
        }

        #[test]
        fn a_change_comes_back(
            remedy in proptest::sample::select(&[MigrationKind::Kept, MigrationKind::Reset, MigrationKind::Anew, MigrationKind::Forgotten][..]),
            chain in option::of(".{0,30}"),
            offsets in proptest::collection::btree_map(("[a-zA-Z0-9._-]{1,20}", 0..100_i32), 0..i64::MAX, 0..9),
            sensors in proptest::collection::btree_set(".{0,9}", 0..5),
        ) {
            let sensors = if remedy == MigrationKind::Forgotten { sensors } else { [].into() };
            let change = Migration { remedy, chain, offsets, sensors };
            let headers = change.headers();
            prop_assert_eq!(LedgerRecord::read(&headers), LedgerRecord::Migration(change));
        }

        #[test]
        fn no_headers_can_harm_it(headers in vec(any_header(), 0..16)) {
            if let LedgerRecord::DeadLetter(letter) = LedgerRecord::read(&headers) {
                prop_assert_eq!(letter.headers().len(), headers.len());
            }
        }
    }
}
