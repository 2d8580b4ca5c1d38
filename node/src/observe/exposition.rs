//! The metrics in Prometheus' text format.

mod clients;
mod families;
mod machine;
mod samples;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::registry::Registry;
use rivulet_core::metrics::{Activity, Gauge, TroubleKind};

use self::clients::clients;
use self::families::Families;
use self::machine::{certificates, process};
use self::samples::{gauges, labelled, named, one_if, partitions};
use super::{ObservedStage, Observer, Readiness};

/// The media type of the format.
pub(super) const MEDIA_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// All metrics of the stages of this process, and of the process.
pub(super) fn of(observer: &Arc<Observer>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exposition(observer.clone())));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).expect("writing to a string cannot fail");
    text
}

#[derive(Debug)]
struct Exposition(Arc<Observer>);

impl Collector for Exposition {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        let stages = &*self.0.stages();
        self.health(&mut families, stages)?;
        records(&mut families, stages)?;
        commits(&mut families, stages)?;
        state(&mut families, stages)?;
        sources(&mut families, stages)?;
        clients(&mut families, stages)?;
        certificates(&mut families, stages)?;
        process(&mut families, self.0.memory_limit)
    }
}

impl Exposition {
    fn health(&self, to: &mut Families<'_>, stages: &[ObservedStage]) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        to.gauges(
            "rivulet_build_info",
            "The version of the program",
            [(version, 1.0)],
        )?;
        to.gauges(
            "rivulet_stage_info",
            "What the stage is and where it runs",
            stages.iter().map(|stage| {
                let labels = [
                    ("stage", stage.name.as_str()),
                    ("kind", stage.kind),
                    ("instance", stage.instance.as_str()),
                    ("guarantee", stage.guarantee.as_str()),
                ];
                (labels, 1.0)
            }),
        )?;
        let now = Instant::now();
        let looks: Vec<Readiness> = stages
            .iter()
            .map(|stage| Readiness::of(stage, self.0.stalled_after, now))
            .collect();
        to.gauges(
            "rivulet_ready",
            "Whether the stage does its work, as /readyz says",
            stages
                .iter()
                .zip(&looks)
                .map(|(stage, look)| (named(stage), one_if(look.is_ready))),
        )?;
        to.gauges(
            "rivulet_stage_state",
            "What the stage is at",
            stages.iter().flat_map(|stage| {
                let (activity, _) = stage.metrics.health.activity();
                Activity::ALL.map(|other| {
                    let labels = [("stage", stage.name.as_str()), ("state", other.name())];
                    (labels, one_if(other == activity))
                })
            }),
        )?;
        to.gauges(
            "rivulet_stage_state_since_timestamp_seconds",
            "When it began with that",
            stages.iter().map(|stage| {
                let (_, (_, since)) = stage.metrics.health.activity();
                let since = since
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap_or_default();
                (named(stage), since.as_secs_f64())
            }),
        )?;
        to.gauges(
            "rivulet_trouble",
            "Whether this keeps the stage from going on",
            stages.iter().zip(&looks).flat_map(|(stage, look)| {
                let troubles = stage.metrics.health.troubles();
                let known = TroubleKind::ALL.map(|kind| {
                    let has = troubles.iter().any(|trouble| trouble.kind == kind);
                    (kind.name(), has)
                });
                let seen = [("stalled", look.is_stalled), ("hung", look.is_hung)];
                known.into_iter().chain(seen).map(|(trouble, has)| {
                    (
                        [("stage", stage.name.as_str()), ("trouble", trouble)],
                        one_if(has),
                    )
                })
            }),
        )?;
        to.gauges(
            "rivulet_loop_idle_seconds",
            "How long the stage's thread has not moved",
            stages
                .iter()
                .map(|stage| (named(stage), stage.idle(now).as_secs_f64())),
        )
    }
}

fn records(to: &mut Families<'_>, stages: &[ObservedStage]) -> fmt::Result {
    let partitions = partitions(stages);
    to.counters(
        "rivulet_records_processed",
        "Records of inputs that were processed and committed",
        partitions.iter().map(|it| (it.labels(), it.processed)),
    )?;
    to.gauges(
        "rivulet_lag_records",
        "Records of inputs that are not committed; some may be transaction markers",
        partitions
            .iter()
            .filter_map(|it| Some((it.labels(), it.lag? as f64))),
    )?;
    to.counters(
        "rivulet_source_readings",
        "Readings that the source has yielded",
        stages
            .iter()
            .filter(|stage| stage.kind == "producer")
            .map(|stage| (named(stage), stage.metrics.read.get())),
    )?;
    to.counters(
        "rivulet_records_skipped",
        "Records without a reading",
        stages
            .iter()
            .map(|stage| (named(stage), stage.metrics.skipped.get())),
    )?;
    to.counters(
        "rivulet_records_written",
        "Records written to output topics, or readings written to a sink",
        stages
            .iter()
            .map(|stage| (named(stage), stage.metrics.written.get())),
    )?;
    to.counters(
        "rivulet_dead_letters",
        "Records that became dead letters, by reason",
        labelled(stages, "reason", |stage| stage.metrics.dead.by_label()),
    )?;
    gauges(
        to,
        "rivulet_uncommitted_records",
        "Records that are processed and not committed, or readings of a source",
        stages,
        |stage| &stage.metrics.uncommitted,
    )?;
    to.histograms(
        "rivulet_end_to_end_seconds",
        "From a record's entry into the pipeline to the commit of its results here",
        stages
            .iter()
            .filter(|stage| stage.kind != "producer")
            .map(|stage| (named(stage), stage.metrics.end_to_end.snapshot())),
    )
}

fn commits(to: &mut Families<'_>, stages: &[ObservedStage]) -> fmt::Result {
    to.counters(
        "rivulet_commits",
        "Commits that succeeded",
        stages
            .iter()
            .map(|stage| (named(stage), stage.metrics.commits.get())),
    )?;
    to.histograms(
        "rivulet_commit_seconds",
        "How long commits took",
        stages
            .iter()
            .map(|stage| (named(stage), stage.metrics.commit_time.snapshot())),
    )?;
    to.gauges(
        "rivulet_last_commit_timestamp_seconds",
        "When the last commit succeeded; 0 before the first",
        stages.iter().map(|stage| {
            let milliseconds = stage.metrics.last_commit.get().unwrap_or(0);
            (named(stage), milliseconds as f64 / 1000.0)
        }),
    )?;
    to.counters(
        "rivulet_rollbacks",
        "Rollbacks to the last commit, by the kind of their cause",
        labelled(stages, "cause", |stage| stage.metrics.aborts.by_label()),
    )?;
    to.counters(
        "rivulet_rebalances",
        "What the consumer group did with the stage's partitions",
        labelled(stages, "change", |stage| {
            stage.metrics.rebalances.by_label()
        }),
    )
}

fn state(to: &mut Families<'_>, stages: &[ObservedStage]) -> fmt::Result {
    let mut of = |name: &str, help: &str, gauge: fn(&ObservedStage) -> &Gauge| {
        gauges(to, name, help, stages, gauge)
    };
    of("rivulet_state_sensors", "Sensors with state", |stage| {
        &stage.metrics.state_sensors
    })?;
    of("rivulet_state_bytes", "The memory of the state", |stage| {
        &stage.metrics.state_bytes
    })?;
    of(
        "rivulet_state_limit_bytes",
        "How much memory the state may take",
        |stage| &stage.metrics.state_limit,
    )?;
    to.counters(
        "rivulet_restored_sensors",
        "Sensors whose state was restored",
        stages
            .iter()
            .filter(|stage| stage.metrics.state_limit.get().is_some())
            .map(|stage| (named(stage), stage.metrics.restored.get())),
    )?;
    to.gauges(
        "rivulet_restore_seconds",
        "How long the last restore took",
        stages.iter().filter_map(|stage| {
            let milliseconds = stage.metrics.restore_time.get()?;
            Some((named(stage), milliseconds as f64 / 1000.0))
        }),
    )
}

fn sources(to: &mut Families<'_>, stages: &[ObservedStage]) -> fmt::Result {
    let mut of = |name: &str, help: &str, gauge: fn(&ObservedStage) -> &Gauge| {
        gauges(to, name, help, stages, gauge)
    };
    of(
        "rivulet_spool_readings",
        "Readings that wait in the spool",
        |stage| &stage.metrics.spool_readings,
    )?;
    of("rivulet_spool_bytes", "The size of the spool", |stage| {
        &stage.metrics.spool_bytes
    })?;
    of(
        "rivulet_source_taken_over",
        "Whether the producer has replaced one of another instance when it started",
        |stage| &stage.metrics.taken_over,
    )?;
    to.gauges(
        "rivulet_clock_synchronized",
        "Whether the machine's clock is synchronised, as the kernel says",
        stages
            .iter()
            .filter_map(|stage| Some((named(stage), one_if(stage.is_clock_set?)))),
    )?;
    to.counters(
        "rivulet_spool_dropped",
        "Readings that were dropped because the spool was full",
        stages
            .iter()
            .filter_map(|stage| Some((named(stage), stage.metrics.spool_dropped.get()?))),
    )
}

#[cfg(test)]
mod tests;
