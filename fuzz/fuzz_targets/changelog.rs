//! A stage's changelog. The input is its records, one on each line: `KEY=VALUE`, or `KEY` for a
//! tombstone.
//!
//! - A restored state can be used: the chain processes the next reading and makes no number that is
//!   not finite.
//! - A state that is saved after that can be restored. It has the same offsets and the same digest,
//!   and the digest reads back from its text.
//! - An error says what was being done.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rivulet_core::key_state::numbers;
use rivulet_core::operator::{Operator, emitted};
use rivulet_core::reading::Reading;
use rivulet_core::state::State;
use rivulet_core::unit::Unit;
use rivulet_operators::Chain;
use rivulet_pipeline::ComponentConfig;

fuzz_target!(|changelog: &[u8]| {
    let chain = Arc::new(chain());
    let mut state = state(&chain);
    let mut sensors = Vec::new();
    for line in changelog.split(|byte| *byte == b'\n') {
        let (key, value) = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (line, None),
        };
        match state.restore(0, key, value) {
            Ok(()) if value.is_some() => sensors.push(str::from_utf8(key).unwrap()),
            Ok(()) => {}
            Err(error) => assert!(
                error.to_string().starts_with("restoring the state"),
                "{error}"
            ),
        }
    }
    sensors.sort_unstable();
    sensors.dedup();
    // Sensors without an offset are not counted.
    assert!(state.sensors() <= sensors.len());
    let count = sensors.len();
    let mut again = self::state(&chain);
    // A sensor whose last offset is the largest possible cannot get another reading.
    let left = sensors
        .into_iter()
        .filter(|sensor| !process_and_restore(&chain, &mut state, &mut again, sensor))
        .count();
    assert_eq!(state.sensors(), count);
    for topic in [0, 1] {
        let digest = state.digest(topic, 0);
        assert!(left > 0 || again.digest(topic, 0) == digest, "{digest}");
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
});

fn chain() -> Chain {
    // The chain of the states in the corpus.
    let steps = ["ewma = { alpha = 0.5 }", "average = { window = 3 }"];
    Chain::build(&steps.map(|step| ComponentConfig::parse(step).unwrap())).unwrap()
}

fn state(chain: &Arc<Chain>) -> State {
    State::new(
        chain.clone(),
        vec!["in".to_owned(), "other".to_owned()],
        10_000_000,
        None,
    )
}

/// Processes one more reading of a sensor, and restores the saved state into `again`. Returns false
/// if there can be no further reading.
fn process_and_restore(chain: &Chain, state: &mut State, again: &mut State, sensor: &str) -> bool {
    let Some(states) = state.apply(0, 0, i64::MAX, sensor, 0).unwrap() else {
        return false;
    };
    assert_eq!(states.len(), chain.states());
    let reading = Reading {
        sensor: sensor.into(),
        seq: 0,
        time: 0,
        value: 21.5,
        unit: Some(Unit::Celsius),
    };
    for emitted in emitted(chain, reading, states).unwrap_or_default() {
        assert!(emitted.value.is_finite());
    }
    let states: Vec<Vec<f64>> = states
        .iter()
        .map(|state| state.numbers().into_owned())
        .collect();
    assert!(
        states.iter().flatten().all(|number| number.is_finite()),
        "{states:?}"
    );

    let saved: Result<(), rivulet_core::error::Error> = state.save(|partition, key, value| {
        assert_eq!((partition, key), (0, sensor));
        again.restore(partition, key.as_bytes(), value)
    });
    saved.expect("a saved state can be restored");
    assert!(
        matches!(again.apply(0, 0, i64::MAX, sensor, 0), Ok(None)),
        "the state contains the record"
    );
    let other = state.apply(1, 0, i64::MAX, sensor, 0).unwrap();
    let other = other.map(|other| numbers(other));
    let restored = again.apply(1, 0, i64::MAX, sensor, 0).unwrap();
    assert_eq!(restored.map(|restored| numbers(restored)), other);
    assert!(other.is_none_or(|other| other == states));
    // Writes all changes, so that the next save writes only the next sensor.
    state.save(|_, _, _| Ok::<(), ()>(())).unwrap();
    true
}
