//! States as they are shown.

use rivulet_core::key_state::describe_numbers;
use serde_json::json;

use super::*;

fn sensor(partition: i32, name: &str, chain: &str, states: &[&[f64]]) -> StoredSensor {
    StoredSensor {
        partition,
        name: name.into(),
        chain: chain.into(),
        states: states.iter().map(|state| state.to_vec()).collect(),
        descriptions: states.iter().map(|state| describe_numbers(state)).collect(),
        offsets: [("warm".to_owned(), 8)].into(),
        time: None,
    }
}

fn shown(sensors: Vec<StoredSensor>, completeness: Completeness) -> StageState {
    let states = StoredStates {
        chain: "convert(from=celsius, to=fahrenheit) → ewma(alpha=0.5) → average(window=3)".into(),
        keepers: vec!["ewma(alpha=0.5)".into(), "average(window=3)".into()],
        inputs: vec!["warm".into(), "late".into()],
        partitions: 4,
        completeness,
        sensors,
    };
    StageState {
        stage: "smooth".into(),
        kept: Stored::States(states),
    }
}

const CHAIN: &str = "convert(from=celsius, to=fahrenheit) → ewma(alpha=0.5) → average(window=3)";

#[test]
fn every_sensor_is_a_line_and_the_last_line_is_a_summary() {
    let sensors = vec![
        sensor(0, "boston", CHAIN, &[&[62.740_625], &[1.0, 2.0, 3.0]]),
        sensor(2, "rome", CHAIN, &[&[-0.5], &[]]),
    ];
    let shown = shown(sensors, Completeness::Complete);
    let expected = "\
partition  sensor  ewma(alpha=0.5)  average(window=3)  last of warm  last of late
0          boston  62.7406          1 2 3              8             -
2          rome    -0.5             -                  8             -
2 sensors in 2 partitions, made by `convert(from=celsius, to=fahrenheit) → ewma(alpha=0.5) → \
                    average(window=3)`; \
complete: it matches the committed offsets
";
    assert_eq!(shown.to_string(), expected);
    assert_eq!(shown.fault(), None);
    let only = shown.clone().only("rome").unwrap().to_string();
    assert!(only.contains("rome") && !only.contains("boston"), "{only}");
    assert!(
        shown
            .only("bosten")
            .unwrap_err()
            .to_string()
            .contains("did you mean `boston`?")
    );
}

#[test]
fn the_json_has_every_number_in_full() {
    let shown = shown(
        vec![sensor(
            0,
            "boston",
            CHAIN,
            &[&[62.740_625], &[1.0, 2.0, 3.0]],
        )],
        Completeness::Complete,
    );
    let expected = json!({
        "stage": "smooth",
        "chain": CHAIN,
        "keepers": ["ewma(alpha=0.5)", "average(window=3)"],
        "inputs": ["warm", "late"],
        "partitions": 4,
        "whole": "whole",
        "sensors": [{
            "partition": 0,
            "sensor": "boston",
            "chain": CHAIN,
            "memories": [[62.740_625], [1.0, 2.0, 3.0]],
            "offsets": {"warm": 8}
        }]
    });
    assert_eq!(json!(shown), expected);
}

#[test]
fn an_empty_state_says_so() {
    let shown = shown(vec![], Completeness::Complete);
    assert_eq!(
        shown.to_string(),
        "empty; complete: it matches the committed offsets\n"
    );
    let none = StageState {
        stage: "in".into(),
        kept: Stored::Position(None),
    };
    assert_eq!(
        none.to_string(),
        "empty: the source starts from the beginning\n"
    );
}

#[test]
fn a_state_of_another_chain_or_an_incomplete_one_is_a_fault() {
    let other = shown(
        vec![sensor(0, "boston", "ewma(alpha=0.3)", &[&[1.0]])],
        Completeness::Complete,
    );
    let text = other.to_string();
    assert!(
        text.contains("made by `ewma(alpha=0.3)`, but the stage in the file is `convert("),
        "{text}"
    );
    let fault = other.fault().unwrap();
    assert!(
        fault.contains("the state of smooth is of another chain"),
        "{fault}"
    );
    assert!(
        fault.contains("state keep smooth") && fault.contains("state reset smooth"),
        "{fault}"
    );
    let difference = super::super::StateDifference {
        topic: "warm".into(),
        partition: 1,
        next: 9,
        committed: 3,
        found: 0,
    };
    let lost = shown(vec![], Completeness::Incomplete(vec![difference]));
    assert!(
        lost.to_string()
            .contains("sensors in the changelog: 0, committed at offset 9 of warm/1: 3"),
        "{lost}"
    );
    let fault = lost.fault().unwrap();
    assert!(
        fault.contains("is incomplete") && fault.contains("rivulet state reset smooth"),
        "{fault}"
    );
}
