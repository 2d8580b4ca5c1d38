//! What a record of a dead-letter topic is, told from its headers.

use super::{Change, Offsets, header};

/// A header's name and value.
pub type Header = (String, Option<Vec<u8>>);

/// A record of a dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<'h> {
    /// A record that the stage refused.
    Letter(Letter<'h>),
    /// The mark of letters that somebody dealt with.
    Mark(Mark),
    /// A change of the stage's settings under its state.
    Change(Change),
    /// Something that no stage and no `rivulet` wrote.
    Foreign,
}

/// What the headers of a dead letter say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Letter<'h> {
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

impl Letter<'_> {
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
pub enum Handled {
    /// The original was sent to its topic once more.
    Replayed,
    /// Somebody decided that nothing is to be done about it.
    Dropped,
}

impl Handled {
    /// The word in headers and on the screen.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Handled::Replayed => "replayed",
            Handled::Dropped => "dropped",
        }
    }
}

/// Says what became of letters that are before it in the same partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What became of them.
    pub handled: Handled,
    /// Their offsets.
    pub letters: Offsets,
}

impl Mark {
    /// The headers of the record that is the mark; it has neither key nor value.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        vec![
            text(header::HANDLED, self.handled.name()),
            text(header::LETTERS, &self.letters.to_string()),
        ]
    }

    fn read(headers: &[Header]) -> Option<Self> {
        let (headers, letters) = last(headers, header::LETTERS)?;
        let (headers, handled) = last(headers, header::HANDLED)?;
        let handled = [Handled::Replayed, Handled::Dropped]
            .into_iter()
            .find(|known| known.name() == handled)?;
        headers.is_empty().then_some(Mark {
            handled,
            letters: letters.parse().ok()?,
        })
    }
}

impl<'h> Entry<'h> {
    /// Tells from its headers what a record of a dead-letter topic is. Never fails: what is not
    /// exactly as a stage or `rivulet` writes it is foreign.
    ///
    /// It reads from the end, because the stage's headers are behind the record's own, which may
    /// have the same names: a refused record can be a dead letter of another pipeline.
    #[must_use]
    pub fn read(headers: &'h [Header]) -> Self {
        if let Some(mark) = Mark::read(headers) {
            return Entry::Mark(mark);
        }
        if let Some(change) = Change::read(headers) {
            return Entry::Change(change);
        }
        letter(headers).map_or(Entry::Foreign, Entry::Letter)
    }
}

fn letter(headers: &[Header]) -> Option<Letter<'_>> {
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
    Some(Letter {
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

    use super::super::Remedy;
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
        let letter = Letter {
            original: &[],
            topic: "in",
            place: Some((0, 41)),
            stage: "convert",
            reason: "not-json",
            error: "no",
            truncated: None,
        };
        let whole = letter.headers();
        assert_eq!(Entry::read(&whole), Entry::Letter(letter));
        for index in 1..whole.len() {
            let mut lacking = whole.clone();
            lacking.remove(index);
            assert_eq!(
                Entry::read(&lacking),
                Entry::Foreign,
                "without {}",
                whole[index].0
            );
            let mut without_value = whole.clone();
            without_value[index].1 = None;
            assert_eq!(Entry::read(&without_value), Entry::Foreign);
        }
        for (index, value) in [(1, "one"), (1, "-1"), (1, "4294967296"), (2, "-5"), (2, "")] {
            let mut spoilt = whole.clone();
            spoilt[index].1 = Some(value.into());
            assert_eq!(Entry::read(&spoilt), Entry::Foreign, "{value}");
        }
        assert_eq!(Entry::read(&[]), Entry::Foreign);
        let mark = [text(header::HANDLED, "eaten"), text(header::LETTERS, "1")];
        assert_eq!(Entry::read(&mark), Entry::Foreign);
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
                Letter { original, topic: &topic, place, stage: &stage, reason: &reason, error: &error, truncated };
            let headers = letter.headers();
            prop_assert_eq!(Entry::read(&headers), Entry::Letter(letter));
        }

        #[test]
        fn a_mark_comes_back(set in vec(0i64..1000, 1..50), dropped: bool) {
            let handled = if dropped { Handled::Dropped } else { Handled::Replayed };
            let mark = Mark { handled, letters: set.into_iter().collect() };
            let headers = mark.headers();
            prop_assert_eq!(Entry::read(&headers), Entry::Mark(mark));
        }

        #[test]
        fn a_change_comes_back(
            remedy in proptest::sample::select(&[Remedy::Kept, Remedy::Reset, Remedy::Anew, Remedy::Forgotten][..]),
            chain in option::of(".{0,30}"),
            offsets in proptest::collection::btree_map(("[a-zA-Z0-9._-]{1,20}", 0..100_i32), 0..i64::MAX, 0..9),
            sensors in proptest::collection::btree_set(".{0,9}", 0..5),
        ) {
            let sensors = if remedy == Remedy::Forgotten { sensors } else { [].into() };
            let change = Change { remedy, chain, offsets, sensors };
            let headers = change.headers();
            prop_assert_eq!(Entry::read(&headers), Entry::Change(change));
        }

        #[test]
        fn no_headers_can_harm_it(headers in vec(any_header(), 0..16)) {
            if let Entry::Letter(letter) = Entry::read(&headers) {
                prop_assert_eq!(letter.headers().len(), headers.len());
            }
        }
    }
}
