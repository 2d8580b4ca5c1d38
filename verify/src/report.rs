//! The result of a verification, for people and for the exit status.

use std::fmt;

use rivulet_core::text::plain;

/// How many differences are kept of each topic, and shown in total.
pub(crate) const SHOWN: usize = 10;

/// The result of [`verify`](super::verify).
///
/// Displayed, it has a line for each topic, the first differences, and last the verdict, such as
/// `verified 8766 readings in 4 topics: 0 missing, 0 extra, 0 wrong, 0 out of order`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One for each topic, in the order of the data flow.
    pub topics: Vec<TopicReport>,
    /// The first differences, topic after topic.
    pub differences: Vec<ReadingDifference>,
    /// Other things that a person should know.
    pub notes: Vec<String>,
    /// Whether repeated readings are allowed and counted apart.
    pub allow_duplicates: bool,
}

/// The result for one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicReport {
    /// The topic's name.
    pub topic: String,
    /// What it was compared with.
    pub outcome: TopicOutcome,
}

/// What a topic was compared with, and the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicOutcome {
    /// Nothing: producers or other programs write it, and all expected readings are computed from
    /// it.
    Given {
        /// How many records are readings.
        readings: u64,
        /// How many are not.
        undecodable: u64,
    },
    /// The readings that must be in it.
    Compared(ReadingCounts),
    /// The number of invalid readings that the stage must have routed to it.
    DeadLetters(ReadingCounts),
    /// Nothing, because what must be in it cannot be computed.
    NotVerifiable {
        /// Why not.
        reason: String,
    },
}

/// The counts of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadingCounts {
    /// Readings that must be there.
    pub expected: u64,
    /// Records that are there.
    pub found: u64,
    /// Readings that must be there and are not.
    pub missing: u64,
    /// Records that must not be there, including repeated readings unless they are allowed.
    pub extra: u64,
    /// Readings that are there with another value, time or unit.
    pub wrong: u64,
    /// Readings that come after a reading of the same sensor which must come after them.
    pub out_of_order: u64,
    /// Readings that are repeated with the same value, where that is allowed.
    pub duplicates: u64,
    /// Records that cannot be verified because their input was deleted.
    pub unverifiable: u64,
    /// Readings that may have been in the topic: its first records were deleted.
    pub deleted: u64,
}

impl ReadingCounts {
    /// Whether every reading is there as it must be, once and in order, and no other record is.
    pub(crate) fn is_clean(&self) -> bool {
        let ReadingCounts {
            expected,
            unverifiable,
            deleted,
            ..
        } = *self;
        *self
            == ReadingCounts {
                expected,
                found: expected + unverifiable,
                unverifiable,
                deleted,
                ..ReadingCounts::default()
            }
    }

    fn add(&mut self, other: &ReadingCounts) {
        self.expected += other.expected;
        self.found += other.found;
        self.missing += other.missing;
        self.extra += other.extra;
        self.wrong += other.wrong;
        self.out_of_order += other.out_of_order;
        self.duplicates += other.duplicates;
        self.unverifiable += other.unverifiable;
        self.deleted += other.deleted;
    }
}

/// How a record differs from the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// See [`ReadingCounts::missing`].
    Missing,
    /// See [`ReadingCounts::extra`].
    Extra,
    /// See [`ReadingCounts::wrong`].
    Wrong,
    /// See [`ReadingCounts::out_of_order`].
    OutOfOrder,
}

impl DifferenceKind {
    fn name(self) -> &'static str {
        match self {
            DifferenceKind::Missing => "missing",
            DifferenceKind::Extra => "extra",
            DifferenceKind::Wrong => "wrong",
            DifferenceKind::OutOfOrder => "out of order",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadingDifference {
    /// How it differs.
    pub kind: DifferenceKind,
    /// The topic's name.
    pub topic: String,
    /// Which reading, as text: `sensor "seattle", seq 7`.
    pub reading: String,
    /// Partition and offset of the record; `None` if there is no record.
    pub place: Option<(i32, i64)>,
    /// What must be there; `None` if nothing must.
    pub expected: Option<String>,
    /// What is there; `None` if nothing is.
    pub found: Option<String>,
}

impl fmt::Display for ReadingDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.topic)?;
        if let Some((partition, offset)) = self.place {
            write!(f, " partition {partition} offset {offset}")?;
        }
        write!(f, ", {}", plain(&self.reading))?;
        let [expected, found] =
            [&self.expected, &self.found].map(|text| text.as_deref().map(plain));
        match (expected, found) {
            (Some(expected), Some(found)) => write!(f, ": expected {expected}, found {found}"),
            (Some(expected), None) => write!(f, ": expected {expected}"),
            (None, Some(found)) => write!(f, ": found {found}"),
            (None, None) => Ok(()),
        }
    }
}

impl Report {
    /// Whether everything that could be compared is as it must be. See also
    /// [`unverified`](Self::unverified).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let total = self.total();
        (total.missing, total.extra, total.wrong, total.out_of_order) == (0, 0, 0, 0)
    }

    /// What could not be compared, as text; `None` if everything was compared.
    #[must_use]
    pub fn unverified(&self) -> Option<String> {
        let topics = self
            .topics
            .iter()
            .filter(|topic| matches!(topic.outcome, TopicOutcome::NotVerifiable { .. }))
            .count() as u64;
        let ReadingCounts {
            unverifiable,
            deleted,
            ..
        } = self.total();
        let parts = [
            (topics, "topic", "topics", ""),
            (
                unverifiable,
                "record",
                "records",
                " whose input was deleted",
            ),
            (
                deleted,
                "reading",
                "readings",
                " that may have been deleted",
            ),
        ];
        let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
        let parts: Vec<String> = parts
            .map(|(count, one, many, which)| {
                format!("{count} {}{which}", if count == 1 { one } else { many })
            })
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// The counts of all compared topics, including dead letters. `expected` and `found` count
    /// readings only.
    #[must_use]
    pub fn total(&self) -> ReadingCounts {
        let mut total = ReadingCounts::default();
        for topic in &self.topics {
            match &topic.outcome {
                TopicOutcome::Compared(counts) => total.add(counts),
                TopicOutcome::DeadLetters(counts) => total.add(&ReadingCounts {
                    expected: 0,
                    found: 0,
                    ..*counts
                }),
                TopicOutcome::Given { .. } | TopicOutcome::NotVerifiable { .. } => (),
            }
        }
        total
    }

    /// How many topics were compared reading by reading.
    #[must_use]
    pub fn compared(&self) -> usize {
        self.topics
            .iter()
            .filter(|topic| matches!(topic.outcome, TopicOutcome::Compared(_)))
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .topics
            .iter()
            .map(|topic| topic.topic.len())
            .max()
            .unwrap_or_default()
            .max("topic".len());
        writeln!(
            f,
            "{:width$}  expected     found  missing  extra  wrong  out of order",
            "topic"
        )?;
        for TopicReport { topic, outcome } in &self.topics {
            write!(f, "{topic:width$}  ")?;
            match outcome {
                TopicOutcome::Given {
                    readings,
                    undecodable: 0,
                } => writeln!(f, "{:>8}  {readings:>8}", "given")?,
                TopicOutcome::Given {
                    readings,
                    undecodable,
                } => {
                    writeln!(
                        f,
                        "{:>8}  {readings:>8}, and {undecodable} that are not readings",
                        "given"
                    )?;
                }
                TopicOutcome::Compared(counts) => {
                    let ReadingCounts {
                        expected,
                        found,
                        missing,
                        extra,
                        wrong,
                        out_of_order,
                        ..
                    } = counts;
                    write!(
                        f,
                        "{expected:>8}  {found:>8}  {missing:>7}  {extra:>5}  {wrong:>5}  \
                         {out_of_order:>12}"
                    )?;
                    write_remarks(f, counts)?;
                }
                TopicOutcome::DeadLetters(counts) => {
                    let ReadingCounts {
                        expected,
                        found,
                        missing,
                        extra,
                        ..
                    } = counts;
                    write!(
                        f,
                        "{expected:>8}  {found:>8}  {missing:>7}  {extra:>5}  {:>5}  {:>12}",
                        "-", "-"
                    )?;
                    write_remarks(f, counts)?;
                }
                TopicOutcome::NotVerifiable { reason } => {
                    writeln!(f, "not verifiable: {}", plain(reason))?;
                }
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {}", plain(note))?;
        }
        for difference in self.differences.iter().take(SHOWN) {
            writeln!(f, "{difference}")?;
        }
        let ReadingCounts {
            expected,
            missing,
            extra,
            wrong,
            out_of_order,
            duplicates,
            ..
        } = self.total();
        write!(
            f,
            "verified {expected} readings in {} topics: ",
            self.compared()
        )?;
        write!(
            f,
            "{missing} missing, {extra} extra, {wrong} wrong, {out_of_order} out of order"
        )?;
        if self.allow_duplicates {
            write!(f, ", {duplicates} duplicates")?;
        }
        if let Some(unverified) = self.unverified() {
            write!(f, "; not verifiable: {unverified}")?;
        }
        writeln!(f)
    }
}

/// Writes what follows the counts of a topic.
fn write_remarks(f: &mut fmt::Formatter<'_>, counts: &ReadingCounts) -> fmt::Result {
    let ReadingCounts {
        duplicates,
        unverifiable,
        deleted,
        ..
    } = counts;
    if *duplicates > 0 {
        write!(f, ", {duplicates} duplicates")?;
    }
    if *unverifiable > 0 {
        write!(f, ", {unverifiable} not verifiable: input deleted")?;
    }
    if *deleted > 0 {
        write!(f, ", {deleted} not verifiable: deleted here")?;
    }
    writeln!(f)
}

#[cfg(test)]
mod tests;
