//! A snapshot of consumer groups, and the conditions that it does not meet.

use std::collections::BTreeMap;
use std::fmt;

use super::GroupMember;
use crate::text::plural;

/// A partition of a topic.
pub type InputPartition = (String, i32);

/// The consumer groups of stages at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// One for each stage, in the order of the data flow.
    pub rows: Vec<GroupRow>,
}

/// The group of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// The name of the stage.
    pub stage: String,
    /// The state of the group, such as `Stable`. Empty if there is no such group.
    pub state: String,
    /// The members of the group.
    pub members: Vec<GroupMember>,
    /// How many partitions are assigned to them.
    pub assigned: usize,
    /// The position of the group in each partition of the stage's inputs.
    pub positions: BTreeMap<InputPartition, LagPosition>,
}

/// The position of a group in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LagPosition {
    /// The committed offset, if there is one.
    pub committed: Option<i64>,
    /// The next offset to read: the committed one, or the first that is there.
    pub next: i64,
    /// The last stable offset.
    pub end: i64,
    /// The records in between.
    pub lag: GroupLag,
}

/// The consumer lag in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupLag {
    /// The exact number of records.
    Records(i64),
    /// An upper bound: there are too many records to count, and offsets include transaction
    /// markers.
    AtMost(i64),
}

impl Default for GroupLag {
    fn default() -> Self {
        GroupLag::Records(0)
    }
}

impl GroupLag {
    /// The sum of two lags.
    #[must_use]
    pub fn and(self, other: GroupLag) -> Self {
        match (self, other) {
            (GroupLag::Records(one), GroupLag::Records(two)) => GroupLag::Records(one + two),
            (one, two) => GroupLag::AtMost(one.most() + two.most()),
        }
    }

    /// The number, or its upper bound.
    pub(crate) fn most(self) -> i64 {
        let (GroupLag::Records(records) | GroupLag::AtMost(records)) = self;
        records
    }
}

impl fmt::Display for GroupLag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupLag::Records(records) => records.fmt(f),
            GroupLag::AtMost(records) => write!(f, "~{records}"),
        }
    }
}

/// When groups are as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LagGoal {
    /// Each group has all partitions assigned and no lag.
    Zero,
    /// Each group has all partitions assigned, and its lag does not grow.
    Steady,
}

/// Where a consumer lag goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LagTrend {
    /// The group reads slower than records arrive.
    Grows,
    /// The group catches up.
    Shrinks,
    /// The group keeps up, or nothing happens.
    Steady,
}

impl fmt::Display for LagTrend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LagTrend::Grows => "grows",
            LagTrend::Shrinks => "shrinks",
            LagTrend::Steady => "steady",
        })
    }
}

impl Snapshot {
    /// The unmet conditions, a line for each stage that has one. `before` is an earlier snapshot of
    /// the same stages.
    #[must_use]
    pub fn unmet(&self, goal: LagGoal, before: Option<&Snapshot>) -> Vec<String> {
        let mut lines = Vec::new();
        for row in &self.rows {
            let mut earlier = before.into_iter().flat_map(|before| &before.rows);
            let earlier = earlier.find(|other| other.stage == row.stage);
            if let Some(unmet) = row.unmet(goal, earlier) {
                lines.push(format!("{}: {unmet}", row.stage));
            }
        }
        lines
    }
}

impl GroupRow {
    /// The lag of all partitions together.
    #[must_use]
    pub fn lag(&self) -> GroupLag {
        self.positions
            .values()
            .fold(GroupLag::default(), |sum, position| sum.and(position.lag))
    }

    /// Where the lag goes since an earlier snapshot of the same group. It does not grow if all that
    /// was left then has been read, however much is left now.
    #[must_use]
    pub fn trend(&self, before: &GroupRow) -> LagTrend {
        let mut positions = self.positions.iter();
        let is_growing = positions.any(|(partition, position)| {
            before.positions.get(partition).map_or_else(
                || position.lag != GroupLag::default(),
                |earlier| position.lag.most() > earlier.lag.most() && position.next < earlier.end,
            )
        });
        if is_growing {
            LagTrend::Grows
        } else if self.lag().most() < before.lag().most() {
            LagTrend::Shrinks
        } else {
            LagTrend::Steady
        }
    }

    fn unmet(&self, goal: LagGoal, before: Option<&GroupRow>) -> Option<String> {
        let (lag, partitions) = (self.lag(), self.positions.len());
        if self.members.is_empty() {
            return Some(format!("the group has no members; lag: {}", records(lag)));
        }
        if self.state != "Stable" {
            return Some(format!("the group is rebalancing ({})", self.state));
        }
        if self.assigned < partitions {
            return Some(format!(
                "only {} of {partitions} partitions are assigned",
                self.assigned
            ));
        }
        match goal {
            LagGoal::Zero if lag != GroupLag::default() => Some(format!("lag: {}", records(lag))),
            LagGoal::Steady => {
                let before = before?;
                let is_growing = self.trend(before) == LagTrend::Grows;
                let (now, before) = (records(lag), before.lag());
                is_growing.then(|| format!("the lag grows: {now}, {before} before"))
            }
            LagGoal::Zero => None,
        }
    }
}

fn records(lag: GroupLag) -> String {
    match lag {
        GroupLag::Records(records) => plural(records, "record"),
        GroupLag::AtMost(_) => format!("{lag} records"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(next: i64, end: i64) -> LagPosition {
        LagPosition {
            committed: Some(next),
            next,
            end,
            lag: GroupLag::Records(end - next),
        }
    }

    /// A group with two members that have all partitions.
    fn row(stage: &str, positions: &[LagPosition]) -> GroupRow {
        let members = ["a", "b"].map(|instance| GroupMember {
            instance: instance.into(),
            host: "10.42.0.250".into(),
        });
        GroupRow {
            stage: stage.into(),
            state: "Stable".into(),
            members: members.into(),
            assigned: positions.len(),
            positions: (0..)
                .zip(positions)
                .map(|(number, position)| (("t".into(), number), *position))
                .collect(),
        }
    }

    fn snapshot(rows: &[GroupRow]) -> Snapshot {
        Snapshot {
            rows: rows.to_vec(),
        }
    }

    #[test]
    fn the_goal_is_members_all_partitions_and_no_lag() {
        let caught_up = row("a", &[position(7, 7), position(9, 9)]);
        let snapshot_of_one = snapshot(std::slice::from_ref(&caught_up));
        assert!(snapshot_of_one.unmet(LagGoal::Zero, None).is_empty());
        // Both offsets are transaction markers.
        let markers = row(
            "b",
            &[LagPosition {
                lag: GroupLag::Records(0),
                ..position(7, 9)
            }],
        );
        let rebalancing = GroupRow {
            state: "PreparingRebalance".into(),
            ..caught_up.clone()
        };
        let partly_assigned = GroupRow {
            assigned: 1,
            ..caught_up.clone()
        };
        let empty = GroupRow {
            members: vec![],
            state: "Empty".into(),
            assigned: 0,
            ..caught_up.clone()
        };
        let found = snapshot(&[
            caught_up,
            markers,
            rebalancing,
            partly_assigned,
            empty,
            row("e", &[position(6, 7), position(7, 9)]),
        ]);
        let expected = [
            "a: the group is rebalancing (PreparingRebalance)",
            "a: only 1 of 2 partitions are assigned",
            "a: the group has no members; lag: 0 records",
            "e: lag: 3 records",
        ];
        assert_eq!(found.unmet(LagGoal::Zero, None), expected);
    }

    #[test]
    fn a_lag_grows_shrinks_or_is_steady() {
        let trend = |before, now| row("a", &[now]).trend(&row("a", &[before]));
        assert_eq!(trend(position(0, 100), position(50, 180)), LagTrend::Grows);
        assert_eq!(trend(position(0, 100), position(0, 101)), LagTrend::Grows);
        assert_eq!(
            trend(position(0, 100), position(50, 140)),
            LagTrend::Shrinks
        );
        assert_eq!(trend(position(0, 100), position(0, 100)), LagTrend::Steady);
        assert_eq!(
            trend(position(98, 100), position(100, 110)),
            LagTrend::Steady
        );
    }

    #[test]
    fn a_lag_that_does_not_grow_is_steady() {
        let steady = |before: LagPosition, now: LagPosition| {
            snapshot(&[row("a", &[now])])
                .unmet(LagGoal::Steady, Some(&snapshot(&[row("a", &[before])])))
        };
        assert!(steady(position(0, 100), position(0, 100)).is_empty());
        assert!(steady(position(0, 100), position(50, 140)).is_empty());
        // The lag is larger, but everything that was there before has been read.
        assert!(steady(position(98, 100), position(100, 110)).is_empty());
        let expected = ["a: the lag grows: 130 records, 100 before"];
        assert_eq!(steady(position(0, 100), position(50, 180)), expected);
        assert!(
            snapshot(&[row("a", &[position(0, 100)])])
                .unmet(LagGoal::Steady, None)
                .is_empty()
        );
    }
}
