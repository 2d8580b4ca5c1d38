//! The samples of stages, with their labels.

use std::collections::BTreeMap;
use std::fmt;

use rivulet_core::metrics::Gauge;

use super::families::Families;
use crate::observe::ObservedStage;

/// The label of a stage.
pub(super) fn named(stage: &ObservedStage) -> [(&'static str, &str); 1] {
    [("stage", &stage.name)]
}

pub(super) fn one_if(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// A gauge of each stage that has it.
pub(super) fn gauges(
    to: &mut Families<'_>,
    name: &str,
    help: &str,
    stages: &[ObservedStage],
    gauge: impl Fn(&ObservedStage) -> &Gauge,
) -> fmt::Result {
    let samples = stages
        .iter()
        .filter_map(|stage| Some((named(stage), gauge(stage).get()? as f64)));
    to.gauges(name, help, samples)
}

/// Counts of each stage by one more label.
pub(super) fn labelled<'s>(
    stages: &'s [ObservedStage],
    label: &'static str,
    counts: impl Fn(&ObservedStage) -> BTreeMap<&'static str, u64>,
) -> impl Iterator<Item = ([(&'static str, &'s str); 2], u64)> {
    stages.iter().flat_map(move |stage| {
        let name = stage.name.as_str();
        let counts = counts(stage).into_iter();
        counts.map(move |(value, count)| ([("stage", name), (label, value)], count))
    })
}

/// A partition that a stage reads, or has read.
pub(super) struct PartitionSample<'s> {
    stage: &'s str,
    topic: String,
    partition: String,
    /// `None` if it is not assigned.
    pub(super) lag: Option<u64>,
    pub(super) processed: u64,
}

impl PartitionSample<'_> {
    pub(super) fn labels(&self) -> [(&'static str, &str); 3] {
        [
            ("stage", self.stage),
            ("topic", &self.topic),
            ("partition", &self.partition),
        ]
    }
}

/// The partitions of all stages.
pub(super) fn partitions(stages: &[ObservedStage]) -> Vec<PartitionSample<'_>> {
    let of_stage = |stage: &ObservedStage| stage.metrics.partitions();
    stages
        .iter()
        .flat_map(|stage| {
            of_stage(stage)
                .into_iter()
                .map(|partition| PartitionSample {
                    stage: &stage.name,
                    topic: partition.topic.clone(),
                    partition: partition.partition.to_string(),
                    lag: stage.metrics.lag(&partition),
                    processed: partition.processed.get(),
                })
        })
        .collect()
}
