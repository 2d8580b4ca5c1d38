//! Instances of one stage share its partitions, join, leave and die.

use rivulet_tests::chain::{OPERATORS, chained};
use rivulet_tests::{PipelineBuilder, Process, Scenario, stop_all};

#[test]
fn instances_come_go_and_die_while_readings_flow() {
    let pipeline = PipelineBuilder::new()
        // A dead member is removed sooner than by default.
        .settings("[kafka]\n\"session.timeout.ms\" = 4000\n\"heartbeat.interval.ms\" = 500")
        .settings("\"transaction.timeout.ms\" = 5000")
        .settings("[defaults]\npartitions = 4")
        // More readings than the test needs: the producer is stopped.
        .producer(
            "thermometers",
            "{ simulated = { sensors = 10, readings = 100000, rate = 1000 } }",
            "temperatures_celsius",
        );
    let scenario = Scenario::new(chained(pipeline));
    let mut running: Vec<Process> = OPERATORS
        .iter()
        .map(|stage| scenario.start(stage))
        .collect();
    let mut producer = scenario.start("thermometers");
    scenario.grows("temperatures_ewma", 500);
    scenario.has_members("ewma", 1);

    let mut second = scenario.start_as("ewma", "b");
    scenario.has_members("ewma", 2);
    scenario.grows("temperatures_ewma", 500);
    second.stop();
    scenario.has_members("ewma", 1);
    scenario.grows("temperatures_ewma", 500);

    let mut second = scenario.start_as("ewma", "b");
    scenario.has_members("ewma", 2);
    scenario.grows("temperatures_ewma", 500);
    second.kill();
    scenario.has_members("ewma", 1);
    scenario.grows("temperatures_ewma", 500);

    producer.stop();
    stop_all(&mut running);
    for stage in OPERATORS {
        scenario.drain(stage);
    }
    scenario.verify();
}
