//! What was sent: [`Produced`].

use std::fmt;

use rivulet_core::text::plain;

use crate::text::plural;

/// What one producer has sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProducedCounts {
    /// How many records were delivered.
    pub sent: u64,
    /// How many records were committed, and in how many transactions.
    pub committed: (u64, u64),
    /// How many records were aborted, and in how many transactions.
    pub aborted: (u64, u64),
}

impl ProducedCounts {
    fn add(self, other: Self) -> Self {
        let add = |one: (u64, u64), other: (u64, u64)| (one.0 + other.0, one.1 + other.1);
        ProducedCounts {
            sent: self.sent + other.sent,
            committed: add(self.committed, other.committed),
            aborted: add(self.aborted, other.aborted),
        }
    }
}

/// What all producers have sent. Displayed, it is a line for each, and the sum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Produced {
    /// The topics.
    pub topics: Vec<String>,
    /// Whether the records were in transactions.
    pub is_transactional: bool,
    /// The producers, in the order of their numbers.
    pub producers: Vec<ProducedCounts>,
}

impl Produced {
    /// The sum.
    #[must_use]
    pub fn total(&self) -> ProducedCounts {
        let producers = self.producers.iter().copied();
        producers.fold(ProducedCounts::default(), ProducedCounts::add)
    }

    fn line(&self, counts: &ProducedCounts) -> String {
        let records = |count: u64| plural(count, "record");
        if self.is_transactional {
            let (committed, aborted) = (counts.committed, counts.aborted);
            format!(
                "committed {} in {}, aborted {} in {}",
                records(committed.0),
                plural(committed.1, "transaction"),
                aborted.0,
                aborted.1
            )
        } else {
            let topics = self.topics.join(", ");
            format!("sent {} to {}", records(counts.sent), plain(&topics))
        }
    }
}

impl fmt::Display for Produced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.producers.len() > 1 {
            for (number, counts) in self.producers.iter().enumerate() {
                writeln!(f, "producer{number}: {}", self.line(counts))?;
            }
        }
        f.write_str(&self.line(&self.total()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_line_for_each_producer_and_the_sum() {
        let sent = |sent| ProducedCounts {
            sent,
            ..ProducedCounts::default()
        };
        let mut produced = Produced {
            topics: vec!["a".into(), "b".into()],
            is_transactional: false,
            producers: vec![sent(1)],
        };
        assert_eq!(produced.to_string(), "sent 1 record to a, b");
        produced.producers.push(sent(1000));
        assert_eq!(
            produced.to_string(),
            "producer0: sent 1 record to a, b\nproducer1: sent 1000 records to a, b\n\
             sent 1001 records to a, b"
        );
    }

    #[test]
    fn transactions_are_counted_by_their_end() {
        let produced = Produced {
            topics: vec!["a".into()],
            is_transactional: true,
            producers: vec![ProducedCounts {
                sent: 20,
                committed: (12, 3),
                aborted: (8, 2),
            }],
        };
        let line = "committed 12 records in 3 transactions, aborted 8 in 2";
        assert_eq!(produced.to_string(), line);
    }
}
