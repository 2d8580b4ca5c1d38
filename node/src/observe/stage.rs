//! A stage of this process, and since when something is so: [`ObservedStage`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rivulet_core::metrics::{Activity, Metrics};
use rivulet_core::shutdown::Shutdown;
use rivulet_pipeline::{Pipeline, Stage};

/// A stage of this process, and what was seen of it.
#[derive(Debug)]
pub struct ObservedStage {
    /// Its name in Kafka.
    pub(super) name: String,
    /// The kind of its table: `operator`.
    pub(super) kind: &'static str,
    pub(super) instance: String,
    pub(super) guarantee: String,
    /// The properties of its Kafka clients.
    pub(super) properties: BTreeMap<String, String>,
    pub(super) metrics: Arc<Metrics>,
    shutdown: Shutdown,
    /// How many signs of life its thread had given, and when the last one.
    beats: Seen,
    /// How often it had committed, and when it last did.
    committed: Seen,
    /// Since when there is something to do.
    busy_since: Option<Instant>,
    /// Records that were processed, at the last looks.
    processed: Rate,
    /// Whether the machine's clock is synchronised, if the source needs that. The kernel may not
    /// say.
    pub(super) is_clock_set: Option<bool>,
}

/// A count, and when it last changed.
#[derive(Debug, Clone, Copy)]
struct Seen {
    count: u64,
    at: Instant,
}

impl Seen {
    fn look(&mut self, count: u64, now: Instant) {
        if self.count != count {
            *self = Seen { count, at: now };
        }
    }
}

/// How fast a count grows, over the time of [`Rate::WINDOW`] or a little more.
#[derive(Debug, Default)]
struct Rate(Vec<(Instant, u64)>);

impl Rate {
    const WINDOW: Duration = Duration::from_secs(10);

    fn look(&mut self, count: u64, now: Instant) {
        let is_old = |(at, _): &(Instant, u64)| now.duration_since(*at) >= Self::WINDOW;
        // The newest of the old ones is where the window begins.
        let old = self.0.iter().take_while(|seen| is_old(seen)).count();
        self.0.drain(..old.saturating_sub(1));
        self.0.push((now, count));
    }

    fn a_second(&self) -> Option<f64> {
        let ((from, before), (to, after)) = (self.0.first()?, self.0.last()?);
        let seconds = to.duration_since(*from).as_secs_f64();
        (seconds > 0.0).then(|| (after - before) as f64 / seconds)
    }
}

impl ObservedStage {
    /// A stage that `instance` runs, with its own metrics and shutdown.
    #[must_use]
    pub fn new(
        pipeline: &Pipeline,
        stage: &Stage,
        instance: &str,
        metrics: &Arc<Metrics>,
        shutdown: &Shutdown,
    ) -> Self {
        let seen = Seen {
            count: 0,
            at: Instant::now(),
        };
        ObservedStage {
            name: stage.group(),
            kind: stage.kind.table(),
            instance: instance.to_owned(),
            guarantee: pipeline.guarantee.to_string(),
            properties: pipeline.kafka.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
            beats: seen,
            committed: seen,
            busy_since: None,
            processed: Rate::default(),
            is_clock_set: None,
        }
    }

    /// Looks at the stage.
    pub(super) fn look(&mut self, now: Instant) {
        self.beats.look(self.shutdown.beats(), now);
        self.committed.look(self.metrics.commits.get(), now);
        self.processed.look(self.metrics.read.get(), now);
        if self.metrics.needs_clock.load(Ordering::Relaxed) {
            self.is_clock_set = rivulet_kernel_clock::is_synchronised();
        }
        if self.metrics.backlog() == 0 {
            self.busy_since = None;
        } else {
            self.busy_since.get_or_insert(now);
        }
    }

    /// Whether it has ended, while the process goes on with others.
    pub(super) fn has_ended(&self) -> bool {
        self.metrics.health.activity().0 == Activity::Stopped
    }

    /// How long its thread has not moved.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.beats.at)
    }

    /// How often its thread has moved.
    pub(super) fn moves(&self) -> u64 {
        self.beats.count
    }

    /// How long it has had something to do and has committed nothing.
    pub(super) fn stalled(&self, now: Instant) -> Duration {
        self.busy_since.map_or(Duration::ZERO, |since| {
            now.saturating_duration_since(since.max(self.committed.at))
        })
    }

    /// Records read, or readings of a source, a second. `None` right after its start.
    pub(super) fn rate(&self) -> Option<f64> {
        self.processed.a_second()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        assert_eq!(rate.a_second(), None);
        for second in 0..100 {
            // A hundred a second, and from the fiftieth second on ten.
            let count = (second * 100).min(5000 + (second.max(50) - 50) * 10);
            rate.look(count, start + Duration::from_secs(second));
        }
        assert_eq!(rate.a_second(), Some(10.0));
        assert!(rate.0.len() <= 12, "{}", rate.0.len());
    }
}
