//! The search for a record that the brokers reject.

use crate::error::Error;
use crate::log::{Fault, Rejection, TopicPartition};

/// How often something else is tried for one record before the stage gives up.
const MOST: usize = 4;

/// Finds out which record it is that the brokers reject, if they reject something of many.
///
/// After a rejection the records up to there are worked on again, and each is acknowledged before
/// the next is begun. What is rejected then came of the record at hand.
#[derive(Debug, Default)]
pub(super) struct RejectionSearch {
    /// Up to which offset records are worked on one by one; empty for none.
    until: Vec<(TopicPartition, i64)>,
    /// The record at hand.
    at: Option<(TopicPartition, i64)>,
    /// The records found so far; a transaction may hold several.
    suspects: Vec<Suspect>,
}

#[derive(Debug)]
struct Suspect {
    at: (TopicPartition, i64),
    /// Why what came of it was rejected, each time.
    rejections: Vec<Rejection>,
}

impl RejectionSearch {
    /// Whether each record is to be acknowledged before the next.
    pub(super) fn is_on(&self) -> bool {
        !self.until.is_empty()
    }

    /// A record is about to be worked on. Gives why what came of it was rejected, if it is known
    /// for that.
    pub(super) fn begin(&mut self, partition: TopicPartition, offset: i64) -> Option<&[Rejection]> {
        self.at = Some((partition, offset));
        let suspect = self
            .suspects
            .iter()
            .find(|suspect| suspect.at == (partition, offset));
        suspect.map(|suspect| &*suspect.rejections)
    }

    /// Something was rejected; `next` are the offsets behind all that was worked on.
    ///
    /// # Errors
    /// The cause, if it cannot be a record's, or all that could be tried for that record was.
    pub(super) fn rejected(
        &mut self,
        why: Rejection,
        next: impl Iterator<Item = (TopicPartition, i64)>,
        cause: &Error,
    ) -> Result<(), Error> {
        let Some(at) = self.at else {
            return Err(cause.clone());
        };
        if !self.is_on() {
            self.until = next.collect();
            // The record at hand may not have been done with.
            match self
                .until
                .iter_mut()
                .find(|(partition, _)| *partition == at.0)
            {
                Some((_, until)) => *until = (*until).max(at.1 + 1),
                None => self.until.push((at.0, at.1 + 1)),
            }
            return Ok(());
        }
        let tries = match self.suspects.iter_mut().find(|suspect| suspect.at == at) {
            Some(suspect) => {
                suspect.rejections.push(why);
                suspect.rejections.len()
            }
            None => {
                self.suspects.push(Suspect {
                    at,
                    rejections: vec![why],
                });
                1
            }
        };
        if tries < MOST {
            Ok(())
        } else {
            Err(cause.clone())
        }
    }

    /// What was rejected although all records were acknowledged came of none of them, but of the
    /// state.
    pub(super) fn outside_of_records(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Rejected(_, error) if self.is_on() => Fault::Fatal(error),
            fault => fault,
        }
    }

    /// Everything below these offsets is committed.
    pub(super) fn committed(&mut self, next: &[(TopicPartition, i64)]) {
        let is_done = |(partition, offset): (TopicPartition, i64)| {
            next.iter()
                .any(|(committed, next)| *committed == partition && *next >= offset)
        };
        self.until.retain(|until| !is_done(*until));
        self.suspects
            .retain(|suspect| !is_done((suspect.at.0, suspect.at.1 + 1)));
        self.at = None;
    }

    /// What was done since the last commit is undone.
    pub(super) fn rolled_back(&mut self) {
        self.at = None;
    }

    /// These partitions are the stage's no longer.
    pub(super) fn keep(&mut self, owned: &[TopicPartition]) {
        self.until
            .retain(|(partition, _)| owned.contains(partition));
        self.suspects
            .retain(|suspect| owned.contains(&suspect.at.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: TopicPartition = TopicPartition {
        topic: 0,
        partition: 0,
    };
    const OTHER: TopicPartition = TopicPartition {
        topic: 0,
        partition: 1,
    };

    fn reject(search: &mut RejectionSearch, next: &[(TopicPartition, i64)]) -> Result<(), Error> {
        search.rejected(
            Rejection::TooLarge,
            next.iter().copied(),
            &Error::new("sending", "too large"),
        )
    }

    #[test]
    fn one_of_many_is_found_by_working_on_them_one_by_one() {
        let mut search = RejectionSearch::default();
        assert!(search.begin(FIRST, 4).is_none() && !search.is_on());
        reject(&mut search, &[(FIRST, 4), (OTHER, 9)]).unwrap();
        assert!(search.is_on());
        assert!(search.begin(FIRST, 3).is_none());
        reject(&mut search, &[(FIRST, 3), (OTHER, 9)]).unwrap();
        assert_eq!(search.begin(FIRST, 3), Some(&[Rejection::TooLarge][..]));
        search.committed(&[(FIRST, 4)]);
        assert!(search.begin(FIRST, 3).is_none(), "it is done with");
        assert!(
            search.is_on(),
            "the record at 4 was at hand, and 8 of the other partition"
        );
        search.committed(&[(FIRST, 5), (OTHER, 9)]);
        assert!(!search.is_on());
    }

    #[test]
    fn several_of_many_are_all_remembered() {
        let mut search = RejectionSearch::default();
        search.begin(FIRST, 1);
        reject(&mut search, &[(FIRST, 4)]).unwrap();
        for _ in 0..2 {
            for offset in [1, 3] {
                search.begin(FIRST, offset);
                reject(&mut search, &[]).unwrap();
            }
        }
        assert_eq!(search.begin(FIRST, 1), Some(&[Rejection::TooLarge; 2][..]));
        assert_eq!(search.begin(FIRST, 3), Some(&[Rejection::TooLarge; 2][..]));
    }

    #[test]
    fn a_record_for_which_nothing_helps_ends_the_search() {
        let mut search = RejectionSearch::default();
        search.begin(FIRST, 0);
        reject(&mut search, &[]).unwrap();
        for _ in 1..MOST {
            search.begin(FIRST, 0);
            reject(&mut search, &[]).unwrap();
        }
        search.begin(FIRST, 0);
        assert!(reject(&mut search, &[]).is_err());
    }

    #[test]
    fn what_came_of_no_record_is_fatal() {
        let mut search = RejectionSearch::default();
        assert!(reject(&mut search, &[]).is_err());
        search.begin(FIRST, 0);
        reject(&mut search, &[(FIRST, 1)]).unwrap();
        let fault = Fault::Rejected(Rejection::TooLarge, Error::new("sending", "too large"));
        assert!(matches!(search.outside_of_records(fault), Fault::Fatal(_)));
        search.keep(&[OTHER]);
        assert!(!search.is_on());
    }
}
