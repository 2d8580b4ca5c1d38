//! What `rivulet compare` shows.

use rivulet_tests::chain::add_comparison;
use rivulet_tests::wait;

use super::*;

/// The chain with all stages drained, and a `compare` sink that never runs.
fn compared(pipeline: PipelineBuilder, source: &str) -> Scenario {
    let scenario = Scenario::new(chained(pipeline.producer(
        "thermometer",
        source,
        "temperatures_celsius",
    )));
    add_comparison(&scenario, false, "every-seconds = 1");
    let rows = (0..)
        .zip(CELSIUS)
        .map(|(second, value)| format!("hall,2024-01-01T00:00:{second:02}Z,{value}\n"));
    scenario.write(
        "readings.csv",
        format!("sensor,time,celsius\n{}", rows.collect::<String>()),
    );
    scenario.start("thermometer").succeeds();
    for stage in OPERATORS {
        scenario.drain(stage);
    }
    scenario
}

/// The worked example, with a different time for each reading, by which the branches are joined.
fn compared_example(settings: &str) -> Scenario {
    compared(
        PipelineBuilder::new().settings(settings),
        "{ file = { path = \"readings.csv\", value = \"celsius\" } }",
    )
}

/// The figures for the known results of both branches.
const FIGURES: [&str; 4] = [
    ": 8 joined, in °F",
    "  ewma            57.4074  62.7406\n",
    "  average         57.1250  62.6000\n",
    "  ewma - average   0.2824   0.1406    0.8074  1.0469\n",
];

#[test]
fn the_known_results_of_both_branches_are_compared() {
    let scenario = compared_example("");
    let mut compare = scenario.rivulet(&["compare", "--once"]);
    compare.succeeds();
    compare.says(&FIGURES);
    assert!(compare.out().contains(&format!(
        "without a partner 1 in {}",
        scenario.name("temperatures_ewma")
    )));
    assert_eq!(compare.err(), "");

    let [ewma, average, input] = [
        "temperatures_ewma",
        "temperatures_moving_average",
        "temperatures_above_threshold",
    ]
    .map(|topic| scenario.name(topic));
    let mut compare = scenario.rivulet(&["compare", &ewma, &average, "--input", &input, "--once"]);
    compare.succeeds();
    compare.says(&[
        ": 8 joined, in °F, lag in steps",
        "  ewma - input     -0.9176  -3.4594    2.1551  2.4405\n",
    ]);

    let error = scenario
        .rivulet(&["compare", &ewma, "nowhere", "--once"])
        .fails();
    assert!(
        error.contains("no stage reads or writes the topic `nowhere`"),
        "{error}"
    );
    records::delete_topic(scenario.brokers(), &ewma);
    let error = scenario.rivulet(&["compare", "--once"]).fails();
    assert!(
        error.contains(&format!("reading {ewma}: there is no such topic")),
        "{error}"
    );
    assert!(error.contains("rivulet topics create"), "{error}");
}

#[test]
fn plain_numbers_are_compared_too() {
    let numbers = PipelineBuilder::new().settings("[defaults]\nformat = \"number\"");
    let numbers = numbers.topic(
        "temperatures_celsius",
        "format = \"number\"\nunit = \"celsius\"",
    );
    // The time of a plain number is when it was sent.
    let scenario = compared(numbers, &source().replace("list = {", "list = { rate = 1,"));
    let mut compare = scenario.rivulet(&["compare", "--once"]);
    compare.succeeds();
    compare.says(&["(all): 8 joined", FIGURES[1], FIGURES[2], FIGURES[3]]);
}

#[test]
fn a_long_history_is_compared_completely() {
    let source = "{ simulated = { sensors = 2, readings = 30000, base = 30 } }";
    let scenario = compared(
        PipelineBuilder::new().settings("[defaults]\npartitions = 4"),
        source,
    );
    let mut compare = scenario.rivulet(&["compare", "--once"]);
    compare.succeeds();
    // Each sensor has far more readings than may wait to be joined.
    assert_eq!(
        compare.out().matches(": 29998 joined").count(),
        2,
        "{}",
        compare.out()
    );
    compare.says(&["dropped because more than 4096 were waiting 0"]);
}

#[test]
fn concurrent_comparisons_leave_no_group() {
    let scenario = compared_example("[defaults]\npartitions = 4");
    let mut comparisons = [
        scenario.rivulet(&["compare"]),
        scenario.rivulet(&["compare"]),
    ];
    let mut latest = scenario.rivulet(&["compare", "--latest"]);
    for compare in &mut comparisons {
        compare.says(&FIGURES);
    }
    // They go on: all see new readings, and the last one sees nothing else.
    let mut seq = 0;
    wait::until_true("new readings are compared", || {
        let reading = format!(
            r#"{{"sensor":"new","seq":{seq},"time":{seq},"value":60,"unit":"fahrenheit"}}"#
        );
        for topic in ["temperatures_ewma", "temperatures_moving_average"] {
            records::produce(
                scenario.brokers(),
                &scenario.name(topic),
                &[Record::of(reading.as_str()).key("new")],
            );
        }
        seq += 1;
        comparisons
            .iter()
            .chain([&latest])
            .all(|compare| compare.out().contains("new: "))
    });
    stop_all(&mut comparisons);
    latest.stop();
    assert!(!latest.out().contains(FIGURES[0]), "{}", latest.out());
    for group in [scenario.name("compare"), "rivulet".to_owned()] {
        assert!(
            !records::has_group(scenario.brokers(), &group),
            "there is a group {group}"
        );
    }
}
