//! Whether a state is the one that was noted when its offsets were committed.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use stream::pipeline::Guarantee;
use stream::state::{StateDigest, StateMetadata};

use super::StoredSensor;
use super::group::Committed;

/// What a comparison of a state with the notes beside its offsets comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whole {
    /// It is what was noted.
    Whole,
    /// It is not: some of it was lost.
    NotWhole(Vec<StateDifference>),
    /// There is no note to compare it with.
    NoNote,
    /// It changes while it is read: the stage is at work.
    Moving,
}

/// How the state of one partition differs from what was noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateDifference {
    /// The input.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset that the note stands beside.
    pub next: i64,
    /// How many sensors were noted.
    pub noted: u64,
    /// How many the changelog has.
    pub found: u64,
}

impl fmt::Display for StateDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StateDifference {
            topic,
            partition,
            next,
            noted,
            found,
        } = self;
        write!(
            f,
            "sensors in the changelog: {found}, noted at offset {next} of {topic}/{partition}: \
             {noted}"
        )?;
        if found == noted {
            f.write_str(", but of other records")
        } else {
            Ok(())
        }
    }
}

impl Whole {
    /// Compares sensors with what was committed before they were read, and after.
    pub(super) fn judge(
        before: &[Committed],
        after: &[Committed],
        sensors: &[StoredSensor],
        guarantee: Guarantee,
    ) -> Self {
        let (mut differences, mut moving) = (Vec::new(), false);
        // What is remembered of partitions that nothing was committed of lacks a note.
        let mut unnoted: BTreeSet<(&str, i32)> = sensors
            .iter()
            .flat_map(|sensor| {
                sensor
                    .offsets
                    .keys()
                    .map(|topic| (topic.as_str(), sensor.partition))
            })
            .collect();
        let mut lacks_note = false;
        for Committed {
            topic,
            partition,
            next,
            note,
        } in after
        {
            unnoted.remove(&(topic.as_str(), *partition));
            let Ok(StateMetadata { digest: noted, .. }) = note.parse() else {
                lacks_note = true;
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
            let stood_still =
                earlier.is_some_and(|earlier| earlier.note == *note && earlier.next == *next);
            let fitted = earlier
                .and_then(|earlier| earlier.note.parse::<StateMetadata>().ok())
                .is_some_and(|noted| found.matches(&noted.digest, guarantee));
            if found.matches(&noted, guarantee) || fitted {
                continue;
            }
            if stood_still {
                let (noted, found) = (noted.sensors, found.sensors);
                differences.push(StateDifference {
                    topic: topic.clone(),
                    partition: *partition,
                    next: *next,
                    noted,
                    found,
                });
            } else {
                moving = true;
            }
        }
        match (
            differences.is_empty(),
            moving,
            lacks_note || !unnoted.is_empty(),
        ) {
            (false, ..) => Whole::NotWhole(differences),
            (_, true, _) => Whole::Moving,
            (.., true) => Whole::NoNote,
            _ => Whole::Whole,
        }
    }
}

/// In a word or two.
impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Whole::Whole => "whole",
            Whole::NotWhole(_) => "not whole",
            Whole::NoNote => "no note",
            Whole::Moving => "changing",
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
            states: vec![vec![1.0]],
            offsets: [("in".to_owned(), offset)].into(),
            time: None,
        }
    }

    fn committed(partition: i32, next: i64, last: &[(&str, i64)]) -> Committed {
        let note = StateDigest::of(last.iter().copied()).to_string();
        Committed {
            topic: "in".into(),
            partition,
            next,
            note,
        }
    }

    fn judge(committed: &[Committed], sensors: &[StoredSensor]) -> Whole {
        Whole::judge(committed, committed, sensors, Guarantee::ExactlyOnce)
    }

    #[test]
    fn a_state_is_whole_if_every_partition_is_what_was_noted() {
        let notes = [
            committed(0, 5, &[("a", 4), ("b", 2)]),
            committed(1, 9, &[("c", 8)]),
        ];
        let sensors = [sensor(0, "a", 4), sensor(0, "b", 2), sensor(1, "c", 8)];
        assert_eq!(judge(&notes, &sensors), Whole::Whole);
        assert_eq!(judge(&[], &[]), Whole::Whole);
        let lost = StateDifference {
            topic: "in".into(),
            partition: 0,
            next: 5,
            noted: 2,
            found: 1,
        };
        assert_eq!(judge(&notes, &sensors[1..]), Whole::NotWhole(vec![lost]));
    }

    #[test]
    fn an_older_state_of_as_many_sensors_is_told() {
        let Whole::NotWhole(differences) =
            judge(&[committed(0, 5, &[("a", 4)])], &[sensor(0, "a", 3)])
        else {
            panic!("it is older")
        };
        let expected =
            "sensors in the changelog: 1, noted at offset 5 of in/0: 1, but of other records";
        assert_eq!(differences[0].to_string(), expected);
    }

    #[test]
    fn without_a_note_nothing_can_be_told() {
        assert_eq!(judge(&[], &[sensor(0, "a", 3)]), Whole::NoNote);
        let foreign = Committed {
            topic: "in".into(),
            partition: 0,
            next: 5,
            note: String::new(),
        };
        assert_eq!(judge(&[foreign], &[sensor(0, "a", 3)]), Whole::NoNote);
    }

    #[test]
    fn a_stage_at_work_is_not_taken_for_a_loss() {
        let (before, after) = (
            [committed(0, 5, &[("a", 4)])],
            [committed(0, 9, &[("a", 8)])],
        );
        let whole = |offset| {
            Whole::judge(
                &before,
                &after,
                &[sensor(0, "a", offset)],
                Guarantee::ExactlyOnce,
            )
        };
        assert_eq!(
            (whole(4), whole(6), whole(8)),
            (Whole::Whole, Whole::Moving, Whole::Whole)
        );
    }

    #[test]
    fn at_least_once_state_may_be_ahead_of_its_offset() {
        let notes = [committed(0, 5, &[("a", 4)])];
        let whole = Whole::judge(&notes, &notes, &[sensor(0, "a", 6)], Guarantee::AtLeastOnce);
        assert_eq!(whole, Whole::Whole);
    }
}
