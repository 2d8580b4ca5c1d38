use proptest::prelude::*;

use super::*;

fn counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    let counts = counts.iter();
    counts
        .map(|(key, count)| ((*key).to_owned(), *count))
        .collect()
}

#[test]
fn a_rate_is_that_of_the_time_that_has_passed() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs_f64(seconds);
    let mut history = RateHistory::new(start);
    history.sample(at(1.0), counts(&[("a", 10)]));
    // The sample is late by half a second.
    history.sample(at(2.5), counts(&[("a", 25), ("b", 3)]));
    history.sample(at(3.0), counts(&[("a", 25), ("b", 3)]));
    let table = history.table();
    assert_eq!(table.seconds, [1.0, 2.5, 3.0]);
    assert_eq!(table.total, [10.0, 12.0, 0.0]);
    let rates: Vec<_> = table
        .experiments
        .iter()
        .map(|column| &column.rates[..])
        .collect();
    let a = [Some(10.0), Some(10.0), Some(0.0)];
    // It has no rate before its first event, and a rate of none afterwards.
    let b = [None, Some(2.0), Some(0.0)];
    assert_eq!(rates, [a, b]);
    assert_eq!(table.experiments[1].events, 3);
    assert_eq!((table.others, table.events), (None, 28));
}

#[test]
fn two_samples_at_one_time_are_one() {
    let start = Instant::now();
    let mut history = RateHistory::new(start);
    history.sample(start, counts(&[("a", 1)]));
    assert!(history.table().seconds.is_empty());
    history.sample(start + Duration::from_secs(2), counts(&[("a", 4)]));
    assert_eq!(history.table().total, [2.0]);
}

#[test]
fn the_history_is_bounded_in_points_and_names() {
    let start = Instant::now();
    let mut history = RateHistory::new(start);
    let mut all = BTreeMap::new();
    for second in 1..=1000 {
        // Each second has a new key.
        all.insert(format!("{second:04}"), 7);
        history.sample(start + Duration::from_secs(second), all.clone());
    }
    let table = history.table();
    assert_eq!(table.seconds.len(), POINTS);
    assert_eq!(table.seconds[..2], [701.0, 702.0]);
    assert_eq!(table.total, [7.0; POINTS]);
    assert!((1..=NAMED).contains(&table.experiments.len()));
    assert!(table.others.is_some_and(|others| others.contains(&7.0)));
    // Whose events are too old is no longer named.
    history.sample(start + Duration::from_secs(1001), all.clone());
    for second in 1002..=1400 {
        history.sample(start + Duration::from_secs(second), all.clone());
    }
    let table = history.table();
    assert!(table.experiments.is_empty() && table.others.is_none());
    assert_eq!(table.events, 7000);
}

#[test]
fn what_a_key_hides_is_shown() {
    let start = Instant::now();
    let mut history = RateHistory::new(start);
    history.sample(
        start + Duration::from_secs(1),
        counts(&[("\u{202e}a\n", 1)]),
    );
    assert_eq!(history.table().experiments[0].name, "\\u{202e}a\\n");
}

/// For each sample: milliseconds since the last one, and the new events of some keys.
fn samples() -> impl Strategy<Value = Vec<(u64, Vec<(u8, u64)>)>> {
    let new = prop::collection::vec((0..100_u8, 0..1000_u64), 0..90);
    prop::collection::vec((1..5000_u64, new), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_points_add_up_to_the_counts(samples in samples()) {
        let start = Instant::now();
        let mut now = start;
        let mut history = RateHistory::new(start);
        let mut all = BTreeMap::new();
        for (millis, new) in samples {
            now += Duration::from_millis(millis);
            for (key, events) in new {
                *all.entry(key.to_string()).or_default() += events;
            }
            history.sample(now, all.clone());
        }
        let by_points: u64 = history.points.iter().map(Point::total).sum();
        prop_assert_eq!(by_points, all.values().sum::<u64>());

        // As a reader sees it: rate times time.
        let table = history.table();
        let mut before = 0.0;
        let mut events = 0.0;
        for (number, at) in table.seconds.iter().enumerate() {
            let named = table.experiments.iter().filter_map(|column| column.rates[number]);
            let others = table.others.as_ref().map_or(0.0, |others| others[number]);
            let parts = named.sum::<f64>() + others;
            prop_assert!((parts - table.total[number]).abs() < 0.1);
            events += table.total[number] * (at - before);
            before = *at;
        }
        prop_assert!((events - by_points as f64).abs() < 1.0, "{} {}", events, by_points);
        prop_assert!(table.experiments.len() <= NAMED);
    }
}
