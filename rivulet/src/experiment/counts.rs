//! How many events were sent: [`EventCounts`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts the events that experiments send, and the experiments that run.
///
/// Their names are those of the classroom's first producer, so that its dashboards go on working.
#[derive(Debug)]
pub struct EventCounts {
    registry: Registry,
    events: Family<EventLabels, Counter>,
    /// The counters of the family by key and topic, found without a copy of either.
    counters: RwLock<HashMap<String, HashMap<String, Counter>>>,
    experiments: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    key: String,
    topic: String,
}

impl Default for EventCounts {
    fn default() -> Self {
        let mut registry = Registry::default();
        let events = Family::<EventLabels, Counter>::default();
        let experiments = Gauge::default();
        registry.register(
            "experiment_producer_event_count",
            "Events that were sent, by key and topic",
            events.clone(),
        );
        registry.register(
            "experiment_producer_num_experiments",
            "Experiments that run",
            experiments.clone(),
        );
        EventCounts {
            registry,
            events,
            counters: RwLock::default(),
            experiments,
        }
    }
}

impl EventCounts {
    /// The media type of Prometheus' text format.
    pub(super) const MEDIA_TYPE: &'static str = prometheus_text::CONTENT_TYPE;

    /// Counts an event with this key, the UUID of its experiment. It may be called for every event,
    /// in any thread.
    pub fn count(&self, key: &str, topic: &str) {
        let counters = self.counters.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counters.get(key).and_then(|topics| topics.get(topic)) {
            counter.inc();
            return;
        }
        drop(counters);
        let labels = EventLabels {
            key: key.to_owned(),
            topic: topic.to_owned(),
        };
        let counter = self.events.get_or_create_owned(&labels);
        counter.inc();
        let counters = self.counters.write();
        let mut counters = counters.unwrap_or_else(PoisonError::into_inner);
        let topics = counters.entry(labels.key).or_default();
        topics.insert(labels.topic, counter);
    }

    /// Sets how many experiments run.
    pub fn set_running(&self, experiments: usize) {
        let experiments = i64::try_from(experiments).unwrap_or(i64::MAX);
        self.experiments.set(experiments);
    }

    /// How many experiments run.
    #[must_use]
    pub fn running(&self) -> i64 {
        self.experiments.get()
    }

    /// How many events were counted so far, by key.
    #[must_use]
    pub fn by_key(&self) -> BTreeMap<String, u64> {
        let counters = self.counters.read().unwrap_or_else(PoisonError::into_inner);
        let sums = counters.iter().map(|(key, topics)| {
            let counts = topics.values().map(Counter::get);
            (key.clone(), counts.sum())
        });
        sums.collect()
    }

    /// All counts in Prometheus' text format, whose media type is [`Self::MEDIA_TYPE`].
    pub(super) fn prometheus(&self) -> String {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)
            .expect("writing to a string cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn the_names_are_those_that_dashboards_ask_for() {
        let counts = EventCounts::default();
        counts.count("a", "experiment");
        counts.count("a", "experiment");
        counts.set_running(1);
        let expected = "\
# HELP experiment_producer_event_count_total Events that were sent, by key and topic.
# TYPE experiment_producer_event_count_total counter
experiment_producer_event_count_total{key=\"a\",topic=\"experiment\"} 2
# HELP experiment_producer_num_experiments Experiments that run.
# TYPE experiment_producer_num_experiments gauge
experiment_producer_num_experiments 1
";
        assert_eq!(counts.prometheus(), expected);
    }

    #[test]
    fn a_key_cannot_add_a_line() {
        let counts = EventCounts::default();
        counts.count("a\"} 1\nb\\", "t");
        let text = counts.prometheus();
        assert!(
            text.contains("{key=\"a\\\"} 1\\nb\\\\\",topic=\"t\"} 1\n"),
            "{text}"
        );
    }

    #[test]
    fn a_key_counts_in_all_its_topics() {
        let counts = EventCounts::default();
        for (key, topic) in [("a", "s"), ("a", "t"), ("b", "s"), ("a", "t")] {
            counts.count(key, topic);
        }
        let expected = [("a".to_owned(), 3), ("b".to_owned(), 1)];
        assert_eq!(counts.by_key(), BTreeMap::from(expected));
    }

    #[test]
    fn two_threads_lose_no_event() {
        const EVENTS: u64 = 100_000;
        let counts = Arc::new(EventCounts::default());
        thread::scope(|scope| {
            for thread in 0..2 {
                let counts = counts.clone();
                scope.spawn(move || {
                    for event in 0..EVENTS {
                        let key = ["3f0c8a52", "9d41e7b6"][usize::from(event % 2 == thread)];
                        counts.count(key, "experiment");
                    }
                });
            }
        });
        assert_eq!(counts.by_key().values().sum::<u64>(), 2 * EVENTS);
    }
}
