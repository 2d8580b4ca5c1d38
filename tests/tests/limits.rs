//! Each program under a hard limit of the kernel: with the fastest flow and a broker that stalls it
//! slows down and does not die.

use std::time::Duration;

use tests::{Cage, Kafka, PipelineBuilder, Process, Scenario, stop_all};

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

/// A cage for each stage; nothing, said loudly, where the kernel gives none.
fn cages() -> Option<Vec<Cage>> {
    let cages: Option<Vec<Cage>> = STAGES.iter().map(|_| Cage::new(MEMORY)).collect();
    if cages.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI must be able to make control groups"
        );
        eprintln!(
            "NOT TESTED: no control group with a limit on memory can be made here (run as root)"
        );
    }
    cages
}

#[test]
fn the_fastest_flow_and_a_stalled_broker_fit_into_sixteen_megabytes() {
    let Some(cages) = cages() else { return };
    let kafka = Kafka::start(&[]);
    let source = format!(
        "{{ simulated = {{ sensors = {SENSORS}, readings = {} }} }}",
        READINGS / SENSORS
    );
    let scenario = Scenario::on(kafka.brokers(), pipeline(&source));
    scenario.create_topics();
    let mut running: Vec<Process> = cages
        .iter()
        .zip(STAGES)
        .map(|(cage, stage)| scenario.start_within(cage, stage))
        .collect();
    scenario.grows("smooth", 2000);
    kafka.hang(Duration::from_secs(5));
    assert!(running[0].ends_within(Duration::from_mins(3)) == 0);
    scenario.grows("smooth", 1000);
    kafka.hang(Duration::from_secs(2));
    // The first reading of a sensor only begins its average.
    let smooth = READINGS - SENSORS;
    assert_eq!(scenario.read("smooth", smooth).len(), smooth);
    for (cage, stage) in cages.iter().zip(STAGES) {
        assert!(
            cage.peak() > 1_000_000,
            "a process takes more than a megabyte"
        );
        println!(
            "{stage}: at most {:.1} MB of {:.1}",
            cage.peak() as f64 / 1e6,
            MEMORY as f64 / 1e6
        );
    }
    stop_all(&mut running[1..]);
    scenario.verify();
}

#[test]
fn sensors_without_room_become_dead_letters() {
    let Some(cages) = cages() else { return };
    let scenario = Scenario::new(pipeline(
        "{ simulated = { sensors = 20000, readings = 2 } }",
    ));
    let mut running: Vec<Process> = cages
        .iter()
        .zip(STAGES)
        .map(|(cage, stage)| scenario.start_within(cage, stage))
        .collect();
    running[0].succeeds();
    running[2].says(&[
        "state-full",
        "the state has reached its memory budget",
        "--memory-max",
    ]);
    let letters = tests::records::read(scenario.brokers(), &scenario.dead_letters("ewma"), 1);
    assert!(
        letters
            .iter()
            .all(|letter| letter.header("rivulet.reason") == "state-full")
    );
    stop_all(&mut running[1..]);
    scenario.drain("convert");
    scenario.drain("ewma");
    let letters = tests::records::read(scenario.brokers(), &scenario.dead_letters("ewma"), 1).len();
    let smooth = scenario.read("smooth", 1).len();
    println!("{smooth} readings and {letters} dead letters");
    // Two readings of each sensor, the first of which only begins its average.
    assert_eq!(2 * smooth + letters, 40_000);
    assert!(smooth > 5_000, "there is room for some thousand sensors");
}
