//! Whether a state matches the digests that were committed with its offsets.

use std::collections::BTreeSet;
use std::fmt;

use rivulet_core::guarantee::Guarantee;
use rivulet_core::state::{StateDigest, StateMetadata};
use serde::Serialize;

use super::StoredSensor;
use rivulet_kafka::Committed;

/// The result of comparing a state with the metadata of its offsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Completeness {
    /// It matches.
    #[serde(rename = "whole")]
    Complete,
    /// It does not match: a part of it was lost.
    #[serde(rename = "not-whole")]
    Incomplete(Vec<StateDifference>),
    /// No digest was committed with the offsets.
    #[serde(rename = "no-note")]
    NoMetadata,
    /// It changes while it is read: the stage runs.
    #[serde(rename = "moving")]
    Changing,
}

/// How the state of one partition differs from the committed metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateDifference {
    /// The input.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The committed offset.
    pub next: i64,
    /// How many sensors were committed.
    #[serde(rename = "noted")]
    pub committed: u64,
    /// How many the changelog has.
    pub found: u64,
}

impl fmt::Display for StateDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StateDifference {
            topic,
            partition,
            next,
            committed,
            found,
        } = self;
        write!(
            f,
            "sensors in the changelog: {found}, committed at offset {next} of \
             {topic}/{partition}: {committed}"
        )?;
        if found == committed {
            f.write_str(", but with other records")
        } else {
            Ok(())
        }
    }
}

impl Completeness {
    /// Compares sensors with what was committed before they were read, and after.
    pub(super) fn of(
        before: &[Committed],
        after: &[Committed],
        sensors: &[StoredSensor],
        guarantee: Guarantee,
    ) -> Self {
        let (mut differences, mut is_changing) = (Vec::new(), false);
        // The partitions of the state that have no committed offset.
        let mut uncommitted: BTreeSet<(&str, i32)> = sensors
            .iter()
            .flat_map(|sensor| {
                sensor
                    .offsets
                    .keys()
                    .map(|topic| (topic.as_str(), sensor.partition))
            })
            .collect();
        let mut lacks_metadata = false;
        for Committed {
            topic,
            partition,
            next,
            metadata,
        } in after
        {
            uncommitted.remove(&(topic.as_str(), *partition));
            let Ok(StateMetadata { digest, .. }) = metadata.parse() else {
                lacks_metadata = true;
                continue;
            };
            let of_partition = sensors
                .iter()
                .filter(|sensor| sensor.partition == *partition);
            let last = of_partition
                .filter_map(|sensor| Some((sensor.name.as_str(), *sensor.offsets.get(topic)?)));
            let found = StateDigest::of(last);
            let earlier = before
                .iter()
                .find(|earlier| earlier.topic == *topic && earlier.partition == *partition);
            let is_unchanged = earlier
                .is_some_and(|earlier| earlier.metadata == *metadata && earlier.next == *next);
            let matched_earlier = earlier
                .and_then(|earlier| earlier.metadata.parse::<StateMetadata>().ok())
                .is_some_and(|earlier| found.matches(&earlier.digest, guarantee));
            if found.matches(&digest, guarantee) || matched_earlier {
                continue;
            }
            if is_unchanged {
                differences.push(StateDifference {
                    topic: topic.clone(),
                    partition: *partition,
                    next: *next,
                    committed: digest.sensors,
                    found: found.sensors,
                });
            } else {
                is_changing = true;
            }
        }
        match (
            differences.is_empty(),
            is_changing,
            lacks_metadata || !uncommitted.is_empty(),
        ) {
            (false, ..) => Completeness::Incomplete(differences),
            (_, true, _) => Completeness::Changing,
            (.., true) => Completeness::NoMetadata,
            _ => Completeness::Complete,
        }
    }
}

impl fmt::Display for Completeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Completeness::Complete => "complete",
            Completeness::Incomplete(_) => "incomplete",
            Completeness::NoMetadata => "no metadata",
            Completeness::Changing => "changing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensor(partition: i32, name: &str, offset: i64) -> StoredSensor {
        StoredSensor {
            partition,
            name: name.into(),
            chain: "c".into(),
            descriptions: Vec::new(),
            states: vec![vec![1.0]],
            offsets: [("in".to_owned(), offset)].into(),
            time: None,
        }
    }

    fn committed(partition: i32, next: i64, last: &[(&str, i64)]) -> Committed {
        let metadata = StateDigest::of(last.iter().copied()).to_string();
        Committed {
            topic: "in".into(),
            partition,
            next,
            metadata,
        }
    }

    fn compared(committed: &[Committed], sensors: &[StoredSensor]) -> Completeness {
        Completeness::of(committed, committed, sensors, Guarantee::ExactlyOnce)
    }

    #[test]
    fn a_state_is_complete_if_every_partition_matches() {
        let committed = [
            committed(0, 5, &[("a", 4), ("b", 2)]),
            committed(1, 9, &[("c", 8)]),
        ];
        let sensors = [sensor(0, "a", 4), sensor(0, "b", 2), sensor(1, "c", 8)];
        assert_eq!(compared(&committed, &sensors), Completeness::Complete);
        assert_eq!(compared(&[], &[]), Completeness::Complete);
        let lost = StateDifference {
            topic: "in".into(),
            partition: 0,
            next: 5,
            committed: 2,
            found: 1,
        };
        assert_eq!(
            compared(&committed, &sensors[1..]),
            Completeness::Incomplete(vec![lost])
        );
    }

    #[test]
    fn an_older_state_of_as_many_sensors_is_incomplete() {
        let Completeness::Incomplete(differences) =
            compared(&[committed(0, 5, &[("a", 4)])], &[sensor(0, "a", 3)])
        else {
            panic!("it is older")
        };
        let expected =
            "sensors in the changelog: 1, committed at offset 5 of in/0: 1, but with other records";
        assert_eq!(differences[0].to_string(), expected);
    }

    #[test]
    fn without_metadata_there_is_no_comparison() {
        assert_eq!(
            compared(&[], &[sensor(0, "a", 3)]),
            Completeness::NoMetadata
        );
        let foreign = Committed {
            topic: "in".into(),
            partition: 0,
            next: 5,
            metadata: String::new(),
        };
        assert_eq!(
            compared(&[foreign], &[sensor(0, "a", 3)]),
            Completeness::NoMetadata
        );
    }

    #[test]
    fn a_running_stage_has_not_lost_state() {
        let (before, after) = (
            [committed(0, 5, &[("a", 4)])],
            [committed(0, 9, &[("a", 8)])],
        );
        for (offset, expected) in [
            (4, Completeness::Complete),
            (6, Completeness::Changing),
            (8, Completeness::Complete),
        ] {
            let sensors = [sensor(0, "a", offset)];
            let found = Completeness::of(&before, &after, &sensors, Guarantee::ExactlyOnce);
            assert_eq!(found, expected, "{offset}");
        }
    }

    #[test]
    fn at_least_once_state_may_be_ahead_of_its_offset() {
        let committed = [committed(0, 5, &[("a", 4)])];
        let compared = Completeness::of(
            &committed,
            &committed,
            &[sensor(0, "a", 6)],
            Guarantee::AtLeastOnce,
        );
        assert_eq!(compared, Completeness::Complete);
    }
}
