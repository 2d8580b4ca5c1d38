//! Every stage is killed again and again while readings flow, and no reading is lost, duplicated,
//! wrong or out of order.

use std::time::{Duration, Instant};

use rivulet_tests::chain::{OPERATORS, chained};
use rivulet_tests::{PipelineBuilder, Process, Scenario, stop_all};

/// The stages from upstream to downstream, with their output topics.
const STAGES: [(&str, &str); 5] = [
    ("thermometers", "temperatures_celsius"),
    ("convert", "temperatures_fahrenheit"),
    ("threshold", "temperatures_above_threshold"),
    ("ewma", "temperatures_ewma"),
    ("average", "temperatures_moving_average"),
];
const TIMES: usize = 10;

#[test]
fn nothing_is_lost_or_duplicated_when_stages_are_killed() {
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\npartitions = 4")
        .producer(
            "thermometers",
            "{ simulated = { sensors = 10, readings = 2000, rate = 400 } }",
            "temperatures_celsius",
        );
    let scenario = Scenario::new(chained(pipeline));
    let mut running: Vec<Process> = STAGES
        .iter()
        .map(|(stage, _)| scenario.start(stage))
        .collect();

    let start = Instant::now();
    for _ in 0..TIMES {
        for ((stage, topic), process) in STAGES.iter().zip(&mut running) {
            // It has recovered from the last kill, and is at work.
            scenario.grows(topic, 20);
            process.kill();
            *process = scenario.start(stage);
        }
    }
    println!("{} kills in {:.1?}", TIMES * STAGES.len(), start.elapsed());

    assert_eq!(
        running[0].ends_within(Duration::from_mins(2)),
        0,
        "the producer's exit status"
    );
    stop_all(&mut running[1..]);
    for stage in OPERATORS {
        scenario.drain(stage);
    }
    let input = scenario.read("temperatures_celsius", 0).len();
    assert_eq!(input, 20_000, "readings in the first topic");
    scenario.verify();
    println!("{input} readings verified after {:.1?}", start.elapsed());
}
