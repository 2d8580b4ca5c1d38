//! The state alone, with chains that keep a list of numbers.

use std::any::Any;

use super::*;
use crate::keyed::Keyed;
use crate::operator::Emitter;
use crate::reading::{InvalidReading, Reading};

/// Keeps numbers for each sensor.
struct Named(&'static str);

#[derive(Debug, Default)]
struct Numbers(Vec<f64>);

impl KeyState for Numbers {
    fn numbers(&self) -> Cow<'_, [f64]> {
        self.0.as_slice().into()
    }
}

impl Keyed for Named {
    type State = Numbers;

    fn process(
        &self,
        _: Reading<'_>,
        _: &mut Numbers,
        _: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading> {
        Ok(())
    }

    fn numbers(&self) -> usize {
        1
    }

    fn restore(&self, numbers: &[f64]) -> Result<Numbers, String> {
        if numbers.contains(&-1.0) {
            return Err("it has a -1".to_owned());
        }
        Ok(Numbers(numbers.to_vec()))
    }

    fn describe(&self) -> String {
        self.0.to_owned()
    }
}

fn state(chain: &'static str) -> State {
    State::new(Arc::new(Named(chain)), vec!["in".into()], 1_000_000, None)
}

fn own(states: &mut [Box<dyn KeyState>]) -> &mut Vec<f64> {
    let state: &mut dyn Any = &mut *states[0];
    &mut state.downcast_mut::<Numbers>().unwrap().0
}

/// The state for a new record, within the budget.
fn apply<'s>(state: &'s mut State, partition: i32, offset: i64, sensor: &str) -> &'s mut Vec<f64> {
    apply_at(state, partition, offset, sensor, 7)
}

/// The same for a reading with a time.
fn apply_at<'s>(
    state: &'s mut State,
    partition: i32,
    offset: i64,
    sensor: &str,
    time: i64,
) -> &'s mut Vec<f64> {
    state.begin_record();
    own(state
        .apply(0, partition, offset, sensor, time)
        .unwrap()
        .unwrap())
}

/// What a commit writes: partition, sensor and value, which is empty for a tombstone.
fn saved(state: &mut State) -> Vec<(i32, String, String)> {
    let mut out = Vec::new();
    state
        .save(|partition, sensor, value| {
            out.push((
                partition,
                sensor.to_owned(),
                String::from_utf8_lossy(value.unwrap_or_default()).into_owned(),
            ));
            Ok::<(), ()>(())
        })
        .unwrap();
    out
}

#[test]
fn a_saved_state_is_restored_and_each_sensor_is_saved_once() {
    let mut first = state("ewma(alpha=0.5)");
    for offset in 0..10_i32 {
        *apply(&mut first, 2, offset.into(), "a") = vec![f64::from(offset) + 0.1];
    }
    let records = saved(&mut first);
    let value = r#"{"chain":"ewma(alpha=0.5)","offsets":{"in":9},"time":7,"memories":[[9.1]]}"#;
    assert_eq!(records, [(2, "a".to_owned(), value.to_owned())]);
    assert!(saved(&mut first).is_empty(), "nothing has changed since");

    let mut second = state("ewma(alpha=0.5)");
    second.restore(2, b"a", Some(value.as_bytes())).unwrap();
    assert_eq!(second.digest(0, 2), first.digest(0, 2));
    assert!(
        matches!(second.apply(0, 2, 9, "a", 7), Ok(None)),
        "the record at 9 is in the state already"
    );
    assert_eq!(apply(&mut second, 2, 10, "a"), &[9.1]);
}

#[test]
fn a_sensor_has_a_state_in_each_partition() {
    let mut state = state("c");
    apply(&mut state, 0, 0, "a").push(1.0);
    assert!(apply(&mut state, 1, 0, "a").is_empty());
    assert_eq!(state.sensors(), 2);
}

#[test]
fn a_tombstone_removes_a_state_and_the_last_record_counts() {
    let mut state = state("c");
    for number in ["1.5", "2.5"] {
        let value = format!(r#"{{"chain":"c","offsets":{{}},"memories":[[{number}]]}}"#);
        state.restore(0, b"a", Some(value.as_bytes())).unwrap();
    }
    assert_eq!(apply(&mut state, 0, 0, "a"), &[2.5]);
    state.restore(0, b"a", None).unwrap();
    assert_eq!(
        (state.digest(0, 0), state.sensors()),
        (StateDigest::default(), 0)
    );
    assert!(apply(&mut state, 0, 0, "a").is_empty());
}

#[test]
fn a_tombstone_may_have_any_key() {
    assert_eq!(state("c").restore(0, b"\xff", None), Ok(()));
    assert!(state("c").restore(0, b"\xff", Some(b"")).is_err());
}

#[test]
fn the_state_of_another_chain_is_an_error() {
    let value = br#"{"chain":"ewma(alpha=0.5)","offsets":{},"memories":[[1.0]]}"#;
    let error = state("ewma(alpha=0.3)")
        .restore(0, b"a", Some(value))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("made by `ewma(alpha=0.5)`, but the stage now is `ewma(alpha=0.3)`"),
        "{error}"
    );
}

#[test]
fn numbers_that_the_operator_cannot_have_written_are_an_error() {
    let value = br#"{"chain":"c","offsets":{},"memories":[[1.0,-1.0]]}"#;
    let error = state("c").restore(0, b"a", Some(value)).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("it has a -1"), "{error}");
}

fn with_ttl(ttl: u64) -> State {
    State::new(
        Arc::new(Named("c")),
        vec!["in".into()],
        1_000_000,
        Some(Duration::from_millis(ttl)),
    )
}

#[test]
fn a_sensor_expires_when_its_partition_is_ahead_by_the_ttl() {
    let mut state = with_ttl(100);
    apply_at(&mut state, 0, 0, "old", 1000).push(1.5);
    state.apply(0, 0, 1, "new", 1100).unwrap();
    let not_yet = apply_at(&mut state, 0, 2, "old", 1000);
    assert_eq!(not_yet, &[1.5]);
    state.apply(0, 0, 3, "new", 1101).unwrap();
    state.apply(0, 1, 0, "other", 9999).unwrap();
    let records = saved(&mut state);
    assert_eq!(
        records.last().unwrap(),
        &(0, "old".to_owned(), String::new())
    );
    assert_eq!(
        (state.sensors(), state.digest(0, 0)),
        (2, StateDigest::of([("new", 3)]))
    );
    assert!(
        apply(&mut state, 0, 4, "old").is_empty(),
        "its state is empty, although the reading is late"
    );
}

/// The results must not depend on whether an expired sensor is still in memory.
#[test]
fn results_do_not_depend_on_when_sensors_are_removed() {
    const READINGS: [(&str, i64); 8] = [
        ("a", 0),
        ("b", 50),
        ("a", 90),
        ("b", 170),
        ("a", 180),
        ("c", 400),
        ("b", 380),
        ("a", 401),
    ];
    fn run(save_each: bool) -> Vec<usize> {
        let mut state = with_ttl(100);
        let mut seen = Vec::new();
        for (offset, (sensor, time)) in (0..).zip(READINGS) {
            let numbers = apply_at(&mut state, 0, offset, sensor, time);
            numbers.push(1.0);
            seen.push(numbers.len());
            if save_each {
                saved(&mut state);
            }
        }
        seen
    }
    assert_eq!(run(false), [1, 1, 2, 1, 3, 1, 1, 1]);
    assert_eq!(run(true), run(false));
}

#[test]
fn a_sensor_in_two_partitions_is_reported_once() {
    let mut state = state("c");
    apply(&mut state, 0, 0, "a");
    apply(&mut state, 1, 0, "b");
    assert_eq!(state.take_split_sensor(), None);
    apply(&mut state, 1, 1, "a");
    apply(&mut state, 0, 1, "b");
    let split_sensor = state.take_split_sensor().unwrap();
    assert_eq!(
        (split_sensor.sensor.as_str(), split_sensor.partitions),
        ("a", [0, 1])
    );
    assert_eq!(state.take_split_sensor(), None);
}

#[test]
fn a_number_that_is_not_finite_is_never_written() {
    let mut state = state("c");
    apply(&mut state, 0, 0, "a").push(f64::NAN);
    assert!(
        state
            .check()
            .unwrap_err()
            .to_string()
            .contains("not finite")
    );
}

#[test]
fn a_full_state_rejects_new_sensors_and_keeps_the_known_ones() {
    let mut state = State::new(Arc::new(Named("c")), vec!["in".into()], 1000, None);
    let sensors: Vec<String> = (0..10).map(|number| format!("sensor-{number}")).collect();
    let known = sensors
        .iter()
        .take_while(|sensor| state.apply(0, 0, 0, sensor, 7).is_ok())
        .count();
    assert!((2..8).contains(&known), "{known} sensors in 1000 bytes");
    let exceeded = state.apply(0, 0, 1, &sensors[known], 7).unwrap_err();
    assert_eq!(
        exceeded.to_string(),
        "the state has reached its memory budget of 1 kB"
    );
    assert!(state.apply(0, 0, 1, &sensors[0], 7).is_ok());
    let records = saved(&mut state);

    state.clear();
    for (partition, sensor, value) in &records {
        state
            .restore(*partition, sensor.as_bytes(), Some(value.as_bytes()))
            .unwrap();
    }
    state.restore(0, b"unknown", None).unwrap();
    let error = state
        .restore(0, b"one more", Some(records[0].2.as_bytes()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("memory budget") && error.contains("--memory-max"),
        "{error}"
    );
    assert!(state.apply(0, 0, 2, &sensors[known - 1], 7).is_ok());
}
