//! The groups of stages, looked at again and again: [`GroupWatch`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rivulet_core::error::Result;
use rivulet_kafka::{Cluster, Group};
use rivulet_pipeline::Stage;

use super::{
    GroupLag, GroupMember, GroupRow, InputPartition, LagCounter, LagPosition, LagWindow, Snapshot,
};
use crate::CheckedPipeline;

/// Looks at the groups of stages again and again.
pub struct GroupWatch<'p> {
    pipeline: &'p CheckedPipeline<'p>,
    stages: Vec<&'p Stage>,
    clients: Option<Clients>,
    start: Instant,
    /// By the name of the stage.
    windows: BTreeMap<String, LagWindow>,
}

/// The consumer groups, and the connection that takes snapshots of them.
struct Clients {
    cluster: Cluster,
    /// One for each stage.
    groups: Vec<Group>,
    lags: LagCounter,
}

impl<'p> GroupWatch<'p> {
    /// A watch of these stages, which read topics.
    #[must_use]
    pub fn new(pipeline: &'p CheckedPipeline<'p>, stages: &[&'p Stage]) -> Self {
        GroupWatch {
            pipeline,
            stages: stages.to_vec(),
            clients: None,
            start: Instant::now(),
            windows: BTreeMap::new(),
        }
    }

    /// Takes a snapshot.
    ///
    /// # Errors
    /// If the brokers are unreachable, or a topic does not exist. The watch can go on: the next
    /// look connects again.
    pub fn look(&mut self) -> Result<Snapshot> {
        // Clients that failed are not used again: new ones ask only brokers that are reachable.
        let mut clients = match self.clients.take() {
            Some(clients) => {
                // The other requests would wait for brokers that are away, one after the other.
                clients.cluster.inventory()?;
                clients
            }
            None => Clients::new(self.pipeline, &self.stages)?,
        };
        let (snapshot, times) = self.snapshot(&mut clients)?;
        self.clients = Some(clients);
        for (row, at) in snapshot.rows.iter().zip(times) {
            let window = self.windows.entry(row.stage.clone()).or_default();
            window.push(at, &row.positions);
        }
        Ok(snapshot)
    }

    /// The last positions of a stage.
    #[must_use]
    pub fn window(&self, stage: &str) -> Option<&LagWindow> {
        self.windows.get(stage)
    }

    /// Takes a snapshot. Watermarks are read before offsets, and stages in the order of the data
    /// flow: if all lags are zero, everything that was there at the beginning has been processed by
    /// all. With it comes when each stage was looked at, since the watch began.
    fn snapshot(&self, clients: &mut Clients) -> Result<(Snapshot, Vec<Duration>)> {
        let (mut rows, mut times) = (Vec::new(), Vec::new());
        for (stage, group) in self.stages.iter().zip(&clients.groups) {
            times.push(self.start.elapsed());
            let watermarks = group.stable_watermarks()?;
            let mut positions: BTreeMap<InputPartition, LagPosition> = watermarks
                .into_iter()
                .map(|(place, (first, end))| {
                    (
                        place,
                        LagPosition {
                            committed: None,
                            next: first,
                            end,
                            lag: GroupLag::default(),
                        },
                    )
                })
                .collect();
            for committed in group.committed()? {
                if let Some(position) = positions.get_mut(&(committed.topic, committed.partition)) {
                    position.committed = Some(committed.next);
                    // Records below the log start offset were deleted.
                    position.next = committed.next.max(position.next);
                }
            }
            let (state, members) = (String::new(), Vec::new());
            rows.push(GroupRow {
                stage: stage.name.clone(),
                state,
                members,
                assigned: 0,
                positions,
            });
        }
        clients.lags.count(&self.pipeline.connection(), &mut rows)?;
        let groups = clients.cluster.groups()?;
        for (row, stage) in rows.iter_mut().zip(&self.stages) {
            let name = stage.group();
            let Some(group) = groups.iter().find(|group| group.name == name) else {
                continue;
            };
            row.state.clone_from(&group.state);
            row.members = group
                .members
                .iter()
                .map(|member| GroupMember::new(&name, member))
                .collect();
            let assigned = group.members.iter().flat_map(|member| &member.partitions);
            row.assigned = assigned
                .filter(|place| row.positions.contains_key(*place))
                .count();
        }
        Ok((Snapshot { rows }, times))
    }
}

impl Clients {
    fn new(pipeline: &CheckedPipeline<'_>, stages: &[&Stage]) -> Result<Self> {
        let connection = pipeline.connection();
        let groups = stages
            .iter()
            .map(|stage| Group::new(&connection, &stage.group(), &stage.from))
            .collect::<Result<_>>()?;
        Ok(Clients {
            groups,
            cluster: Cluster::new(&connection)?,
            lags: LagCounter::default(),
        })
    }
}
