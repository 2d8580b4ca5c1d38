//! What one look at the groups found, and what is lacking in it.

use std::collections::BTreeMap;
use std::fmt;

use super::GroupMember;
use crate::table::aligned;
use crate::topics::plural;

/// A partition of a topic.
pub type Place = (String, i32);

/// The groups of stages at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// A stage each, in the order of the data's way.
    pub rows: Vec<GroupRow>,
}

/// The group of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// The stage's name, which is the group's.
    pub stage: String,
    /// The group's state in Kafka's words; nothing if there is no such group.
    pub state: String,
    /// The processes in it.
    pub members: Vec<GroupMember>,
    /// How many partitions they have been given.
    pub given: usize,
    /// How far they have come in each partition of the stage's inputs.
    pub positions: BTreeMap<Place, LagPosition>,
}

/// How far a group has come in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LagPosition {
    /// The next offset to read.
    pub next: i64,
    /// The end for a reader of what is committed.
    pub end: i64,
    /// What is in between.
    pub lag: GroupLag,
}

/// How many records are left to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupLag {
    /// So many.
    Records(i64),
    /// At most so many: they are too many to be counted, and offsets count the marks of
    /// transactions too.
    AtMost(i64),
}

impl Default for GroupLag {
    fn default() -> Self {
        GroupLag::Records(0)
    }
}

impl GroupLag {
    /// Two of them together.
    #[must_use]
    pub fn and(self, other: GroupLag) -> Self {
        match (self, other) {
            (GroupLag::Records(one), GroupLag::Records(two)) => GroupLag::Records(one + two),
            (one, two) => GroupLag::AtMost(one.most() + two.most()),
        }
    }

    fn most(self) -> i64 {
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

/// What is wanted of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Each has its members and nothing left to read.
    Rest,
    /// Each has its members, and what is left to read does not become more.
    Steady,
}

impl Look {
    /// What is lacking, a line for each stage that lacks something; `before` is an earlier look at
    /// the same stages.
    #[must_use]
    pub fn lacking(&self, wanted: Wanted, before: Option<&Look>) -> Vec<String> {
        let earlier = |row: &GroupRow| {
            before.and_then(|before| before.rows.iter().find(|other| other.stage == row.stage))
        };
        let lacking = self
            .rows
            .iter()
            .filter_map(|row| Some((row, row.lacks(wanted, earlier(row))?)));
        lacking
            .map(|(row, lacks)| format!("{}: {lacks}", row.stage))
            .collect()
    }
}

impl GroupRow {
    /// How many records are left to read of all partitions.
    #[must_use]
    pub fn lag(&self) -> GroupLag {
        self.positions
            .values()
            .fold(GroupLag::default(), |sum, position| sum.and(position.lag))
    }

    fn lacks(&self, wanted: Wanted, before: Option<&GroupRow>) -> Option<String> {
        let (lag, partitions) = (self.lag(), self.positions.len());
        if self.members.is_empty() {
            return Some(format!("nobody runs it; {} left to read", records(lag)));
        }
        if self.state != "Stable" {
            return Some(format!(
                "its partitions are being shared out ({})",
                self.state
            ));
        }
        if self.given < partitions {
            return Some(format!(
                "only {} of {partitions} partitions are given to its members",
                self.given
            ));
        }
        match wanted {
            Wanted::Rest if lag != GroupLag::default() => {
                Some(format!("{} left to read", records(lag)))
            }
            Wanted::Steady => {
                let before = before?;
                let falls_behind = self.positions.iter().any(|(place, position)| {
                    match before.positions.get(place) {
                        Some(earlier) => {
                            position.lag.most() > earlier.lag.most() && position.next < earlier.end
                        }
                        None => position.lag != GroupLag::default(),
                    }
                });
                falls_behind.then(|| {
                    format!(
                        "it falls behind: {} left to read, {} before",
                        records(lag),
                        before.lag()
                    )
                })
            }
            Wanted::Rest => None,
        }
    }
}

fn records(lag: GroupLag) -> String {
    match lag {
        GroupLag::Records(records) => plural(records, "record"),
        GroupLag::AtMost(_) => format!("{lag} records"),
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["stage", "group", "members", "partitions", "lag"]
            .map(str::to_owned)
            .to_vec();
        let dash = |text: String| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text
            }
        };
        let rows = self.rows.iter().map(|row| {
            let members: Vec<String> = row.members.iter().map(GroupMember::to_string).collect();
            vec![
                row.stage.clone(),
                dash(row.state.clone()),
                dash(members.join(", ")),
                format!("{}/{}", row.given, row.positions.len()),
                row.lag().to_string(),
            ]
        });
        f.write_str(&aligned(
            &std::iter::once(head).chain(rows).collect::<Vec<_>>(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(next: i64, end: i64) -> LagPosition {
        LagPosition {
            next,
            end,
            lag: GroupLag::Records(end - next),
        }
    }

    /// A group with two members that have everything.
    fn row(stage: &str, positions: &[LagPosition]) -> GroupRow {
        let member = |instance: &str| GroupMember {
            instance: instance.into(),
            host: "10.42.0.250".into(),
        };
        GroupRow {
            stage: stage.into(),
            state: "Stable".into(),
            members: vec![member("a"), member("b")],
            given: positions.len(),
            positions: (0..)
                .zip(positions)
                .map(|(number, position)| (("t".into(), number), *position))
                .collect(),
        }
    }

    fn look(rows: &[GroupRow]) -> Look {
        Look {
            rows: rows.to_vec(),
        }
    }

    #[test]
    fn every_stage_is_a_line() {
        let busy = LagPosition {
            lag: GroupLag::AtMost(50_000),
            ..position(0, 50_000)
        };
        let nobody = GroupRow {
            state: String::new(),
            members: vec![],
            given: 0,
            ..row("out", &[position(1, 4)])
        };
        let expected = "\
stage    group   members                       partitions  lag
convert  Stable  a@10.42.0.250, b@10.42.0.250  2/2         0
ewma     Stable  a@10.42.0.250, b@10.42.0.250  2/2         ~50002
out      -       -                             0/1         3
";
        let rows = [
            row("convert", &[position(7, 7); 2]),
            row("ewma", &[position(7, 9), busy]),
            nobody,
        ];
        assert_eq!(look(&rows).to_string(), expected);
    }

    #[test]
    fn at_rest_every_stage_has_members_and_nothing_left() {
        let rest = row("a", &[position(7, 7), position(9, 9)]);
        assert!(
            look(std::slice::from_ref(&rest))
                .lacking(Wanted::Rest, None)
                .is_empty()
        );
        // Two offsets, and both are marks of transactions.
        let marks = row(
            "b",
            &[LagPosition {
                next: 7,
                end: 9,
                lag: GroupLag::Records(0),
            }],
        );
        let shared = GroupRow {
            state: "PreparingRebalance".into(),
            ..rest.clone()
        };
        let alone = GroupRow {
            given: 1,
            ..rest.clone()
        };
        let nobody = GroupRow {
            members: vec![],
            state: "Empty".into(),
            given: 0,
            ..rest.clone()
        };
        let found = look(&[
            rest,
            marks,
            shared,
            alone,
            nobody,
            row("e", &[position(6, 7), position(7, 9)]),
        ]);
        let expected = [
            "a: its partitions are being shared out (PreparingRebalance)",
            "a: only 1 of 2 partitions are given to its members",
            "a: nobody runs it; 0 records left to read",
            "e: 3 records left to read",
        ];
        assert_eq!(found.lacking(Wanted::Rest, None), expected);
    }

    #[test]
    fn a_lag_that_does_not_grow_is_steady() {
        let steady = |before: LagPosition, now: LagPosition| {
            look(&[row("a", &[now])]).lacking(Wanted::Steady, Some(&look(&[row("a", &[before])])))
        };
        assert!(steady(position(0, 100), position(0, 100)).is_empty());
        assert!(steady(position(0, 100), position(50, 140)).is_empty());
        // More is left, but all that was there before has been read.
        assert!(steady(position(98, 100), position(100, 110)).is_empty());
        let expected = ["a: it falls behind: 130 records left to read, 100 before"];
        assert_eq!(steady(position(0, 100), position(50, 180)), expected);
        assert!(
            look(&[row("a", &[position(0, 100)])])
                .lacking(Wanted::Steady, None)
                .is_empty()
        );
    }
}
