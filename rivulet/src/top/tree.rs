//! The order of the stages, and the tree that they make: [`rows`].

use crate::live::StageFigures;

/// The order of the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum StageOrder {
    /// As the data flows, as a tree.
    #[default]
    Data,
    /// The largest lag first.
    Lag,
    /// The highest rate first.
    Rate,
    /// What needs somebody first.
    State,
}

impl StageOrder {
    /// The order after this one.
    pub(super) fn next(self) -> Self {
        match self {
            StageOrder::Data => StageOrder::Lag,
            StageOrder::Lag => StageOrder::Rate,
            StageOrder::Rate => StageOrder::State,
            StageOrder::State => StageOrder::Data,
        }
    }

    /// What the heading says of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            StageOrder::Data => "stage",
            StageOrder::Lag => "stage, by lag",
            StageOrder::Rate => "stage, by rate",
            StageOrder::State => "stage, by state",
        }
    }
}

/// A row of the table of stages.
#[derive(Debug, Clone)]
pub(super) struct StageRow<'f> {
    /// The stage.
    pub(super) stage: &'f StageFigures,
    /// Its name, behind the lines of the tree.
    pub(super) label: String,
}

/// The stages in an order.
pub(super) fn rows(stages: &[StageFigures], order: StageOrder) -> Vec<StageRow<'_>> {
    let rank = |stage: &StageFigures| match order {
        StageOrder::Data => 0.0,
        StageOrder::Lag => stage.lag.map_or(-1.0, |lag| lag.lag.most() as f64),
        StageOrder::Rate => stage.rate().unwrap_or(-1.0),
        // What is worse is greater.
        StageOrder::State => f64::from(stage.state as u8),
    };
    if order == StageOrder::Data {
        return tree(stages);
    }
    let rows = stages.iter().map(|stage| StageRow {
        stage,
        label: rivulet_core::text::plain(&stage.stage).into_owned(),
    });
    let mut rows: Vec<StageRow<'_>> = rows.collect();
    rows.sort_by(|one, other| rank(other.stage).total_cmp(&rank(one.stage)));
    rows
}

/// Where a stage is in the tree.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The stage that it hangs below.
    parent: Option<usize>,
    /// How many stages it reads topics of.
    parents: usize,
    depth: usize,
}

fn tree(stages: &[StageFigures]) -> Vec<StageRow<'_>> {
    let mut places: Vec<Place> = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        // They are in the order of the data flow, so whoever is read comes before.
        let writes = |of: &usize| {
            stages[*of]
                .to
                .iter()
                .any(|topic| stage.from.contains(topic))
        };
        let parents: Vec<usize> = (0..index).filter(writes).collect();
        let deeper = |one: usize, other: usize| {
            if places[other].depth > places[one].depth {
                other
            } else {
                one
            }
        };
        let parent = parents.iter().copied().reduce(deeper);
        places.push(Place {
            parent,
            parents: parents.len(),
            depth: parent.map_or(0, |parent| places[parent].depth + 1),
        });
    }
    let mut rows = Vec::new();
    for root in (0..stages.len()).filter(|index| places[*index].parent.is_none()) {
        hang(root, "", "", stages, &places, &mut rows);
    }
    rows
}

/// Adds a stage and all that hang below it. `first` stands before its name, and `rest` before those
/// of the others.
fn hang<'f>(
    index: usize,
    first: &str,
    rest: &str,
    stages: &'f [StageFigures],
    places: &[Place],
    rows: &mut Vec<StageRow<'f>>,
) {
    let others = match places[index].parents {
        0 | 1 => String::new(),
        several => format!(" +{}", several - 1),
    };
    let name = rivulet_core::text::plain(&stages[index].stage);
    rows.push(StageRow {
        stage: &stages[index],
        label: format!("{first}{name}{others}"),
    });
    let below = (0..stages.len()).filter(|other| places[*other].parent == Some(index));
    let below: Vec<usize> = below.collect();
    for (number, child) in below.iter().enumerate() {
        let (here, there) = if number + 1 == below.len() {
            ("└─", "  ")
        } else {
            ("├─", "│ ")
        };
        let (first, rest) = (format!("{rest}{here}"), format!("{rest}{there}"));
        hang(*child, &first, &rest, stages, places, rows);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::live::StageCondition;

    fn stage(name: &str, from: &[&str], to: &[&str]) -> StageFigures {
        let names = |topics: &[&str]| topics.iter().map(|topic| (*topic).to_owned()).collect();
        StageFigures {
            stage: name.to_owned(),
            from: names(from),
            to: names(to),
            ..StageFigures::default()
        }
    }

    #[test]
    fn a_stage_hangs_below_the_deepest_that_it_reads() {
        let stages = [
            stage("thermometer", &[], &["celsius"]),
            stage("other", &[], &["elsewhere"]),
            stage("convert", &["celsius"], &["warm"]),
            stage("ewma", &["warm"], &["ewma"]),
            stage("average", &["warm"], &["average"]),
            stage("shown", &["ewma"], &[]),
            stage("compare", &["ewma", "average", "warm"], &[]),
        ];
        let labels: Vec<String> = rows(&stages, StageOrder::Data)
            .into_iter()
            .map(|row| row.label)
            .collect();
        let expected = [
            "thermometer",
            "└─convert",
            "  ├─ewma",
            "  │ ├─shown",
            "  │ └─compare +2",
            "  └─average",
            "other",
        ];
        assert_eq!(labels, expected);
    }

    #[test]
    fn what_needs_somebody_comes_first() {
        let mut stages = [stage("a", &[], &["b"]), stage("b", &["b"], &[])];
        stages[0].state = StageCondition::Running;
        stages[1].state = StageCondition::Down;
        let rows = rows(&stages, StageOrder::State);
        assert_eq!(rows[0].label, "b");
    }

    proptest! {
        #[test]
        fn each_stage_is_there_once_and_below_one_that_it_reads(
            reads in prop::collection::vec(prop::collection::vec(0..12_usize, 0..4), 0..12),
        ) {
            let mut stages = Vec::new();
            for (index, reads) in reads.iter().enumerate() {
                let mut found = stage(&index.to_string(), &[], &[&format!("t{index}")]);
                let reads = reads.iter().filter(|other| **other < index);
                found.from = reads.map(|other| format!("t{other}")).collect();
                stages.push(found);
            }
            for order in [StageOrder::Data, StageOrder::Lag, StageOrder::Rate, StageOrder::State] {
                let rows = rows(&stages, order);
                let mut names: Vec<&str> = rows.iter().map(|row| &*row.stage.stage).collect();
                if order == StageOrder::Data {
                    for (at, row) in rows.iter().enumerate() {
                        let reads = |other: &StageRow<'_>| {
                            row.stage.from.contains(&other.stage.to[0])
                        };
                        let from = &row.stage.from;
                        prop_assert!(from.is_empty() || rows[..at].iter().any(reads));
                    }
                }
                names.sort_by_key(|name| name.parse::<usize>().unwrap());
                let all: Vec<&str> = stages.iter().map(|stage| &*stage.stage).collect();
                prop_assert_eq!(names, all);
            }
        }
    }
}
