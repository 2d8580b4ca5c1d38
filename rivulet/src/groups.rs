//! The consumer groups of a pipeline's stages: who runs each stage, and what is left to read.

mod look;
mod member;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use stream::error::Result;
use stream::pipeline::{Diagnostic, Diagnostics, Pipeline, Stage, suggest};

pub use self::look::{GroupLag, GroupRow, LagPosition, Look, Place, Wanted};
pub use self::member::GroupMember;
use self::member::given;
use crate::cluster::Cluster;
use crate::read::{ReadProgress, Reader};
use crate::state::group::Group;

/// How long to wait before looking again; long enough to see that something is worked on.
const PAUSE: Duration = Duration::from_secs(1);

/// Up to so many records of a topic are counted; of more it is told between which offsets they are.
const COUNTED: usize = 10_000;

/// The stages of these names, or all that read, in the order of the data's way.
///
/// # Errors
/// A name that no stage has, or one of a producer, which is in no group.
pub fn readers<'p>(
    pipeline: &'p Pipeline,
    names: &[String],
) -> Result<Vec<&'p Stage>, Diagnostics> {
    let readers: Vec<&Stage> = pipeline
        .in_order()
        .into_iter()
        .filter(|stage| !stage.from.is_empty())
        .collect();
    for name in names {
        let stage = pipeline.stage(name)?;
        if stage.from.is_empty() {
            let known: Vec<&str> = readers.iter().map(|stage| stage.name.as_str()).collect();
            let diagnostic = Diagnostic::at(
                stage.place.clone(),
                format!("`{name}` reads no topic, so it has no group"),
            );
            return Err(Diagnostics::new(
                pipeline.text.clone(),
                vec![diagnostic.help(suggest(name, &known))],
            ));
        }
    }
    Ok(readers
        .into_iter()
        .filter(|stage| names.is_empty() || names.contains(&stage.name))
        .collect())
}

/// Looks at the groups of stages until they are as wanted, at most so long; a cluster that does not
/// answer is waited for too. `tell` is given what is lacking each time. Gives the last look, and
/// what it lacks.
///
/// # Errors
/// If the cluster does not answer in the end, or a topic does not exist.
pub fn wait(
    pipeline: &Pipeline,
    stages: &[&Stage],
    wanted: Wanted,
    limit: Duration,
    tell: &mut dyn FnMut(&[String]),
) -> Result<(Look, Vec<String>)> {
    let start = Instant::now();
    let (mut groups, mut before): (Option<Groups<'_>>, Option<Look>) = (None, None);
    loop {
        let looked = match &mut groups {
            Some(groups) => groups.look(),
            None => Groups::new(pipeline, stages).and_then(|new| groups.insert(new).look()),
        };
        let is_over = start.elapsed() >= limit;
        match looked {
            Ok(look) => {
                // Whether a lag grows is seen in two looks, however short the limit.
                let is_first = wanted == Wanted::Steady && before.is_none();
                let lacking = look.lacking(wanted, before.as_ref());
                if !is_first && (is_over || lacking.is_empty()) {
                    return Ok((look, lacking));
                }
                tell(&lacking);
                before = Some(look);
            }
            Err(error) if is_over => return Err(error),
            Err(error) => {
                // New clients ask only the brokers that there are.
                groups = None;
                tell(&[error.into_parts().0]);
            }
        }
        let left = limit.saturating_sub(start.elapsed());
        thread::sleep(if wanted == Wanted::Steady {
            PAUSE
        } else {
            PAUSE.min(left)
        });
    }
}

/// Stages' groups, to look at them again and again.
struct Groups<'p> {
    pipeline: &'p Pipeline,
    cluster: Cluster,
    stages: Vec<(&'p Stage, Group)>,
    /// What was found in the last look between two offsets of a topic's partition: it does not
    /// change.
    known: BTreeMap<(String, i32, i64, i64), GroupLag>,
}

impl<'p> Groups<'p> {
    fn new(pipeline: &'p Pipeline, stages: &[&'p Stage]) -> Result<Self> {
        let stages = stages
            .iter()
            .map(|stage| Ok((*stage, Group::new(pipeline, stage)?)))
            .collect::<Result<_>>()?;
        Ok(Groups {
            pipeline,
            cluster: Cluster::new(&pipeline.kafka)?,
            stages,
            known: BTreeMap::new(),
        })
    }

    /// The ends come before the offsets, and the stages in the order of the data's way: where all
    /// of them have nothing left, all that there was at the beginning has gone through.
    fn look(&mut self) -> Result<Look> {
        let mut rows = Vec::new();
        for (stage, group) in &self.stages {
            let ends = group.settled_ends()?;
            let mut positions: BTreeMap<Place, LagPosition> = ends
                .into_iter()
                .map(|(place, (first, end))| {
                    (
                        place,
                        LagPosition {
                            next: first,
                            end,
                            lag: GroupLag::default(),
                        },
                    )
                })
                .collect();
            for committed in group.committed()? {
                if let Some(position) = positions.get_mut(&(committed.topic, committed.partition)) {
                    // What comes before the first record has been taken by retention.
                    position.next = committed.next.max(position.next);
                }
            }
            let (state, members) = (String::new(), Vec::new());
            rows.push(GroupRow {
                stage: stage.name.clone(),
                state,
                members,
                given: 0,
                positions,
            });
        }
        self.count(&mut rows)?;
        let groups = self.cluster.groups()?;
        for row in &mut rows {
            let Some(group) = groups
                .groups()
                .iter()
                .find(|group| group.name() == row.stage)
            else {
                continue;
            };
            group.state().clone_into(&mut row.state);
            row.members = group
                .members()
                .iter()
                .map(|member| GroupMember::new(&row.stage, member))
                .collect();
            let given = group
                .members()
                .iter()
                .flat_map(|member| given(member.assignment().unwrap_or_default()));
            row.given = given
                .filter(|place| row.positions.contains_key(place))
                .count();
        }
        Ok(Look { rows })
    }

    /// Finds out what there is between positions and ends: it may be no records but the marks of
    /// transactions, which no offset tells apart.
    fn count(&mut self, rows: &mut [GroupRow]) -> Result<()> {
        let (mut known, mut unknown) = (BTreeMap::new(), Vec::new());
        for row in &*rows {
            let mut spans: BTreeMap<&str, BTreeMap<i32, (i64, i64)>> = BTreeMap::new();
            for ((topic, partition), LagPosition { next, end, .. }) in &row.positions {
                let span = (topic.clone(), *partition, *next, *end);
                if next >= end {
                    known.insert(span, GroupLag::default());
                } else if let Some(lag) = self.known.get(&span) {
                    known.insert(span, *lag);
                } else {
                    spans
                        .entry(topic)
                        .or_default()
                        .insert(*partition, (*next, *end));
                }
            }
            unknown.extend(spans);
        }
        // Stages that read the same are often at the same place.
        unknown.dedup();
        let mut silent = |_: ReadProgress<'_>| ();
        let mut reader = if unknown.is_empty() {
            None
        } else {
            Some(Reader::new(&self.pipeline.kafka, &[], &mut silent)?)
        };
        for (topic, spans) in unknown {
            let Some(reader) = &mut reader else { break };
            let counts = reader.count(topic, &spans, COUNTED)?;
            for (partition, (next, end)) in spans {
                let counted = counts.as_ref().and_then(|counts| counts.get(&partition));
                let lag = counted.map_or(GroupLag::AtMost(end - next), |count| {
                    GroupLag::Records(*count)
                });
                known.insert((topic.to_owned(), partition, next, end), lag);
            }
        }
        for row in rows {
            for ((topic, partition), position) in &mut row.positions {
                let lag = known.get(&(topic.clone(), *partition, position.next, position.end));
                position.lag = lag.copied().unwrap_or(position.lag);
            }
        }
        self.known = known;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stream::pipeline::Text;

    use super::*;

    #[test]
    fn a_producer_has_no_group() {
        let text = r#"
[sink.out]
from = "b"
sink = "console"
[operator.warm]
from = "a"
steps = [{ threshold = { above = 1 } }]
to = "b"
[producer.in]
source = { list = { values = [1] } }
to = "a"
"#;
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text: text.into(),
        }))
        .unwrap();
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            let stages =
                readers(&pipeline, &wanted).map_err(|diagnostics| diagnostics.to_string())?;
            Ok::<Vec<&str>, String>(
                stages
                    .into_iter()
                    .map(|stage| stage.name.as_str())
                    .collect(),
            )
        };
        assert_eq!(names(&[]).unwrap(), ["warm", "out"]);
        assert_eq!(names(&["out"]).unwrap(), ["out"]);
        let refusal = names(&["out", "in"]).unwrap_err();
        assert!(
            refusal.contains("`in` reads no topic") && refusal.contains("there are `warm`, `out`"),
            "{refusal}"
        );
        assert!(
            names(&["wram"])
                .unwrap_err()
                .contains("did you mean `warm`?")
        );
    }
}
