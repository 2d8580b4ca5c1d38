//! Looks at the stages of a pipeline again and again: [`FiguresWatch`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rivulet_pipeline::Stage;

use super::exposition::{ProcessMetrics, StageMetrics};
use super::figures::{PipelineFigures, StageCondition, StageFigures};
use super::groups::{GroupsLook, SeenGroups};
use super::processes::StageProcesses;
use super::rate::RateWindow;
use crate::CheckedPipeline;
use crate::groups::{Answer, GroupReport, GroupsReport, ProcessTargets, Snapshot, get, readiness};
use crate::text::plural;

/// How many rates a stage's history has: one a second makes a minute.
const HISTORY: usize = 60;

/// The size of the largest `/metrics`, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// What is said if no process is asked.
const NOT_ASKED: &str = "No process is asked for its metrics, so this is what Kafka tells. To see \
                         more, name the processes with --targets FILE.";

/// Looks at the stages of a pipeline again and again: at their consumer groups, and at the metrics
/// of their processes.
pub(super) struct FiguresWatch<'p> {
    pipeline: &'p CheckedPipeline<'p>,
    stages: Vec<&'p Stage>,
    groups: &'p SeenGroups,
    /// When the groups were looked at that the offsets are from.
    seen_at: Option<Duration>,
    targets: Option<&'p ProcessTargets>,
    start: Instant,
    /// By stage and address.
    metrics: BTreeMap<(String, String), RateWindow<StageMetrics>>,
    /// The committed offsets of a stage, and the ends of its outputs, by stage.
    offsets: BTreeMap<String, RateWindow<(f64, Option<f64>)>>,
    histories: BTreeMap<String, VecDeque<f64>>,
}

/// What a process has answered: whether its stages are ready, and their metrics.
type Asked = (Answer, ProcessMetrics);

impl<'p> FiguresWatch<'p> {
    pub(super) fn new(
        pipeline: &'p CheckedPipeline<'p>,
        targets: Option<&'p ProcessTargets>,
        groups: &'p SeenGroups,
    ) -> Self {
        FiguresWatch {
            pipeline,
            groups,
            seen_at: None,
            stages: pipeline.in_order(),
            targets,
            start: Instant::now(),
            metrics: BTreeMap::new(),
            offsets: BTreeMap::new(),
            histories: BTreeMap::new(),
        }
    }

    /// Looks once.
    pub(super) fn look(&mut self) -> PipelineFigures {
        let asked = self.targets.map(ask);
        let groups = self.groups.lock();
        let groups = groups.unwrap_or_else(PoisonError::into_inner).clone();
        let at = self.start.elapsed();
        let mut figures = PipelineFigures {
            time: jiff::Timestamp::now().as_millisecond(),
            ..PipelineFigures::default()
        };
        let mut reports = BTreeMap::new();
        match groups.as_deref() {
            Some(GroupsLook {
                at,
                seen: Ok((snapshot, report)),
            }) => {
                reports = self.reports(snapshot, report, *at);
            }
            Some(GroupsLook {
                seen: Err(error), ..
            }) => figures.error = Some(error.to_string()),
            None => (),
        }
        if asked.is_none() {
            figures.notes.push(NOT_ASKED.to_owned());
        }
        for stage in &self.stages.clone() {
            let mut found = StageFigures::new(self.pipeline, stage);
            if let Some(group) = reports.get(&stage.name) {
                self.add_group(&mut found, group);
            }
            if let (Some(targets), Some(asked)) = (self.targets, &asked) {
                let note = self.add_processes(&mut found, stage, targets, asked, at);
                figures.notes.extend(note);
            }
            let history = self.histories.entry(stage.name.clone()).or_default();
            history.extend(found.rate());
            history.drain(..history.len().saturating_sub(HISTORY));
            found.history = history.iter().copied().collect();
            figures.stages.push(found);
        }
        figures
    }

    /// The groups by stage, with the offsets noted for rates.
    fn reports(
        &mut self,
        snapshot: &Snapshot,
        report: &GroupsReport,
        at: Duration,
    ) -> BTreeMap<String, GroupReport> {
        let stages = report.stages.iter();
        let reports = stages
            .filter_map(|stage| Some((stage.stage.clone(), stage.group.clone()?)))
            .collect();
        if self.seen_at.replace(at) == Some(at) {
            return reports;
        }
        let mut ends: BTreeMap<&str, BTreeMap<i32, i64>> = BTreeMap::new();
        for row in &snapshot.rows {
            for ((topic, partition), position) in &row.positions {
                ends.entry(topic)
                    .or_default()
                    .insert(*partition, position.end);
            }
        }
        let writers = |topic: &String| {
            self.stages
                .iter()
                .filter(|stage| stage.to.contains(topic))
                .count()
        };
        for row in &snapshot.rows {
            let Some(stage) = self.stages.iter().find(|stage| stage.name == row.stage) else {
                continue;
            };
            let read: i64 = row.positions.values().map(|position| position.next).sum();
            let sum = |topic: &String| {
                let ends = ends.get(topic.as_str()).filter(|_| writers(topic) == 1)?;
                Some(ends.values().sum::<i64>() as f64)
            };
            let written: Option<Vec<f64>> = stage.to.iter().map(sum).collect();
            let written = written.map(|ends| ends.iter().sum());
            let window = self.offsets.entry(row.stage.clone()).or_default();
            if window
                .last()
                .is_some_and(|(before, _)| *before > read as f64)
            {
                window.clear();
            }
            window.push(at, (read as f64, written));
        }
        reports
    }

    /// What Kafka alone tells.
    fn add_group(&self, found: &mut StageFigures, group: &GroupReport) {
        let mut hosts: Vec<String> = group
            .members
            .iter()
            .map(|member| member.host.clone())
            .collect();
        hosts.sort();
        hosts.dedup();
        found.nodes = hosts;
        found.lag = Some(group.lag);
        found.partitions.clone_from(&group.partitions);
        (found.state, found.sentence) = match group.state.as_deref() {
            _ if group.members.is_empty() => (
                StageCondition::Down,
                "no process is in its consumer group".to_owned(),
            ),
            Some("Stable") if group.assigned < group.partitions.len() => (
                StageCondition::NotReady,
                format!(
                    "{} of {} partitions are assigned",
                    group.assigned,
                    group.partitions.len()
                ),
            ),
            Some("Stable") => (
                StageCondition::Running,
                format!("{} assigned", plural(group.assigned as u64, "partition")),
            ),
            _ => (
                StageCondition::Starting,
                "the group is rebalancing".to_owned(),
            ),
        };
        if let Some(window) = self.offsets.get(&found.stage) {
            found.rate_in = window.rate(|(read, _)| *read);
            let known = window.last().and_then(|(_, written)| *written).is_some();
            let written = window.rate(|(_, written)| written.unwrap_or_default());
            found.rate_out = written.filter(|_| known && !found.to.is_empty());
            found.is_estimate = true;
        }
    }

    /// What the processes of a stage tell. Returns what of them cannot be reached, unless it could
    /// be before: then the process is gone.
    fn add_processes(
        &mut self,
        found: &mut StageFigures,
        stage: &Stage,
        targets: &ProcessTargets,
        asked: &[Option<Asked>],
        at: Duration,
    ) -> Option<String> {
        let (mut processes, mut note) = (StageProcesses::default(), None);
        let is_stage = |name: &str| name == stage.group() || name == stage.name;
        for (target, asked) in targets.targets.iter().zip(asked) {
            let Some((answer, metrics)) = asked else {
                continue;
            };
            let key = (stage.name.clone(), target.address.clone());
            match answer {
                Ok(lines) => {
                    let Some((_, is_ready, sentence)) = lines.iter().find(|line| is_stage(&line.0))
                    else {
                        continue;
                    };
                    let mut stages = metrics.stages.iter();
                    let of_stage = stages.find(|(name, _)| is_stage(name));
                    let of_stage = of_stage.map_or_else(Default::default, |found| found.1.clone());
                    processes.answered(target, *is_ready, sentence, metrics, &of_stage);
                    let window = self.metrics.entry(key).or_default();
                    if window
                        .last()
                        .is_some_and(|before| before.read > of_stage.read)
                    {
                        window.clear();
                    }
                    window.push(at, of_stage);
                    processes.add(window);
                }
                Err(why) if self.metrics.contains_key(&key) => processes.is_gone(target, why),
                Err(why) if target.stage.as_deref().is_some_and(is_stage) => {
                    note = Some(format!(
                        "{}: {} is not reachable: {why}; this is what Kafka tells",
                        stage.name, target.address
                    ));
                }
                Err(_) => (),
            }
        }
        processes.put(found);
        note
    }
}

/// Asks all processes whether their stages are ready, and for their metrics.
fn ask(targets: &ProcessTargets) -> Vec<Option<Asked>> {
    targets.each(|agent, target| {
        let ready = readiness(agent, &target.address);
        let metrics = match &ready {
            Ok(_) => get(agent, &target.address, "/metrics", LARGEST),
            Err(_) => Ok((0, String::new())),
        };
        let metrics = metrics.map_or_else(
            |_| ProcessMetrics::default(),
            |(_, text)| ProcessMetrics::parse(&text),
        );
        (ready, metrics)
    })
}
