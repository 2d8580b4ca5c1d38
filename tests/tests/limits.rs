//! Each program under a memory limit of the kernel: with the fastest flow and a stalled broker it
//! slows down, and is not killed.

use std::time::Duration;

use rivulet_tests::{Kafka, MemoryLimit, PipelineBuilder, Process, Scenario, stop_all};

const MEMORY: u64 = 16_000_000;
const STAGES: [&str; 4] = ["thermometers", "convert", "ewma", "out"];
const SENSORS: usize = 1000;
const READINGS: usize = 400_000;

fn pipeline(source: &str) -> PipelineBuilder {
    PipelineBuilder::new()
        .settings("[limits]\nmemory = \"16 MB\"\n[defaults]\npartitions = 4")
        .producer("thermometers", source, "celsius")
        .operator(
            "convert",
            "celsius",
            "{ convert = { from = \"celsius\", to = \"fahrenheit\" } }",
            "fahrenheit",
        )
        .operator("ewma", "fahrenheit", "{ ewma = { alpha = 0.5 } }", "smooth")
        .sink("out", "smooth", "{ file = { path = \"out.csv\" } }")
}

/// A memory limit for each stage. Prints why there is none if the kernel does not allow it.
fn limits() -> Option<Vec<MemoryLimit>> {
    let limits = STAGES.iter().map(|_| MemoryLimit::new(MEMORY));
    let limits: Option<Vec<MemoryLimit>> = limits.collect();
    if limits.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI must be able to create control groups"
        );
        eprintln!(
            "NOT TESTED: no control group with a limit on memory can be created here (run as root)"
        );
    }
    limits
}

#[test]
fn the_fastest_flow_and_a_stalled_broker_fit_into_16_megabytes() {
    let Some(limits) = limits() else { return };
    let kafka = Kafka::start(&[]);
    let source = format!(
        "{{ simulated = {{ sensors = {SENSORS}, readings = {} }} }}",
        READINGS / SENSORS
    );
    let scenario = Scenario::on(kafka.brokers(), pipeline(&source));
    scenario.create_topics();
    let mut running: Vec<Process> = limits
        .iter()
        .zip(STAGES)
        .map(|(limit, stage)| scenario.start_with_limit(limit, stage))
        .collect();
    scenario.grows("smooth", 2000);
    kafka.hang(Duration::from_secs(5));
    assert!(running[0].ends_within(Duration::from_mins(3)) == 0);
    scenario.grows("smooth", 1000);
    kafka.hang(Duration::from_secs(2));
    // The first reading of a sensor only seeds its average.
    let smooth = READINGS - SENSORS;
    assert_eq!(scenario.read("smooth", smooth).len(), smooth);
    for (limit, stage) in limits.iter().zip(STAGES) {
        assert!(
            limit.peak() > 1_000_000,
            "a process uses more than a megabyte"
        );
        println!(
            "{stage}: at most {:.1} MB of {:.1}",
            limit.peak() as f64 / 1e6,
            MEMORY as f64 / 1e6
        );
    }
    stop_all(&mut running[1..]);
    scenario.verify();
}

#[test]
fn readings_beyond_the_memory_budget_become_dead_letters() {
    let Some(limits) = limits() else { return };
    let scenario = Scenario::new(pipeline(
        "{ simulated = { sensors = 20000, readings = 2 } }",
    ));
    let mut running: Vec<Process> = limits
        .iter()
        .zip(STAGES)
        .map(|(limit, stage)| scenario.start_with_limit(limit, stage))
        .collect();
    running[0].succeeds();
    running[2].says(&[
        "state-full",
        "the state has reached its memory budget",
        "--memory-max",
    ]);
    let dead_letters =
        rivulet_tests::records::read(scenario.brokers(), &scenario.dead_letters("ewma"), 1);
    assert!(
        dead_letters
            .iter()
            .all(|dead_letter| dead_letter.header("rivulet.reason") == "state-full")
    );
    stop_all(&mut running[1..]);
    scenario.drain("convert");
    scenario.drain("ewma");
    let dead_letters =
        rivulet_tests::records::read(scenario.brokers(), &scenario.dead_letters("ewma"), 1);
    let dead_letters = dead_letters.len();
    let smooth = scenario.read("smooth", 1).len();
    println!("{smooth} readings and {dead_letters} dead letters");
    // Each sensor has two readings, and the first only seeds its average.
    assert_eq!(2 * smooth + dead_letters, 40_000);
    assert!(
        smooth > 5_000,
        "the memory budget is enough for some thousand sensors"
    );
}
