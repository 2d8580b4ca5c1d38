//! The search for a record that the brokers reject.

use crate::error::Error;
use crate::log::{Fault, Rejection, TopicPartition};

/// How many rejections of one record end the stage.
const MOST: usize = 4;

/// Finds the record whose results the brokers reject, after they have rejected one of many.
///
/// After a rejection the same records are processed again, one by one: the results of each are
/// acknowledged before the next. A result that is rejected now belongs to the current record.
#[derive(Debug, Default)]
pub(super) struct RejectionSearch {
    /// The offsets up to which records are processed one by one. Empty if there is no search.
    until: Vec<(TopicPartition, i64)>,
    /// The current record.
    current: Option<(TopicPartition, i64)>,
    /// The records found so far. A transaction may contain several.
    found: Vec<RejectedRecord>,
}

#[derive(Debug)]
struct RejectedRecord {
    at: (TopicPartition, i64),
    /// Why its results were rejected, once for each try.
    rejections: Vec<Rejection>,
}

impl RejectionSearch {
    /// Whether the results of each record must be acknowledged before the next record.
    pub(super) fn is_on(&self) -> bool {
        !self.until.is_empty()
    }

    /// A record is about to be processed. Returns why its results were rejected before, if they
    /// were.
    pub(super) fn begin(&mut self, partition: TopicPartition, offset: i64) -> Option<&[Rejection]> {
        self.current = Some((partition, offset));
        let found = self
            .found
            .iter()
            .find(|record| record.at == (partition, offset));
        found.map(|record| &*record.rejections)
    }

    /// A result was rejected. `next` are the next offsets after all processed records.
    ///
    /// # Errors
    /// The cause, if no record was processed, or if one record was rejected [`MOST`] times.
    pub(super) fn rejected(
        &mut self,
        why: Rejection,
        next: impl Iterator<Item = (TopicPartition, i64)>,
        cause: &Error,
    ) -> Result<(), Error> {
        let Some(at) = self.current else {
            return Err(cause.clone());
        };
        if !self.is_on() {
            self.until = next.collect();
            // The current record may not be complete.
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
        let tries = match self.found.iter_mut().find(|record| record.at == at) {
            Some(record) => {
                record.rejections.push(why);
                record.rejections.len()
            }
            None => {
                self.found.push(RejectedRecord {
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

    /// Makes a rejection during the commit fatal in a search. The results of all records are
    /// acknowledged then, so a record of the state was rejected.
    pub(super) fn outside_of_records(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Rejected(_, error) if self.is_on() => Fault::Fatal(error),
            fault => fault,
        }
    }

    /// Everything below these offsets is committed.
    pub(super) fn committed(&mut self, next: &[(TopicPartition, i64)]) {
        for (partition, next) in next {
            self.until
                .retain(|(other, until)| other != partition || until > next);
            self.found
                .retain(|record| record.at.0 != *partition || record.at.1 >= *next);
        }
        self.current = None;
    }

    /// The transaction is aborted.
    pub(super) fn rolled_back(&mut self) {
        self.current = None;
    }

    /// Only these partitions are still assigned.
    pub(super) fn keep(&mut self, assigned: &[TopicPartition]) {
        self.until
            .retain(|(partition, _)| assigned.contains(partition));
        self.found.retain(|record| assigned.contains(&record.at.0));
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
    fn one_of_many_is_found_by_processing_them_one_by_one() {
        let mut search = RejectionSearch::default();
        assert!(search.begin(FIRST, 4).is_none() && !search.is_on());
        reject(&mut search, &[(FIRST, 4), (OTHER, 9)]).unwrap();
        assert!(search.is_on());
        assert!(search.begin(FIRST, 3).is_none());
        reject(&mut search, &[(FIRST, 3), (OTHER, 9)]).unwrap();
        assert_eq!(search.begin(FIRST, 3), Some(&[Rejection::TooLarge][..]));
        search.committed(&[(FIRST, 4)]);
        assert!(search.begin(FIRST, 3).is_none(), "it is committed");
        assert!(
            search.is_on(),
            "the record at 4 is not committed, nor 8 of the other partition"
        );
        search.committed(&[(FIRST, 5), (OTHER, 9)]);
        assert!(!search.is_on());
    }

    #[test]
    fn several_of_many_are_all_found() {
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
    fn a_record_that_is_always_rejected_ends_the_search() {
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
    fn a_rejection_without_a_record_is_fatal() {
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
