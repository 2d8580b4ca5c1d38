//! `rivulet plot`: the sensors of topics, drawn at a terminal.

use std::ops::Range;

use rivulet_tests::records::{self, Record};
use rivulet_tests::{
    Answer, Browser, Kafka, PipelineBuilder, Pty, Scenario, SchemaRegistry, Signal, wait,
};
use serde_json::json;

const SIZE: (u16, u16) = (110, 36);
const SENSORS: [&str; 8] = [
    "attic", "cellar", "garage", "garden", "hall", "kitchen", "porch", "study",
];

fn scenario() -> Scenario {
    let topic = "external = true\npartitions = 4\nunit = \"celsius\"";
    let pipeline = PipelineBuilder::new().topic("temps", topic);
    Scenario::new(pipeline.sink("show", "temps", "\"console\""))
}

/// Readings of sensors whose values are the numbers.
fn produce(scenario: &Scenario, sensors: &[&str], numbers: Range<u32>) {
    let all = numbers.flat_map(|number| sensors.iter().map(move |sensor| (sensor, number)));
    let records: Vec<Record> = all
        .map(|(sensor, number)| {
            let time = 1_700_000_000_000 + 1000 * u64::from(number);
            let value = json!({ "sensor": sensor, "seq": number, "time": time, "value": number });
            Record::of(value.to_string()).key(*sensor)
        })
        .collect();
    records::produce(scenario.brokers(), &scenario.name("temps"), &records);
}

/// Starts a plot of the topic.
fn plot(scenario: &Scenario, arguments: &[&str]) -> Pty {
    let topic = scenario.name("temps");
    scenario.at_terminal(&[&["plot", &topic], arguments].concat(), SIZE)
}

fn quit(mut pty: Pty) {
    pty.keys("q");
    assert_eq!(pty.ends(), 0, "{}", pty.screen());
    assert!(!pty.is_full_screen());
}

/// The sensors of the legend whose last value is this.
fn drawn(screen: &str, value: &str) -> Vec<&'static str> {
    let has = |sensor: &&str| screen.contains(&format!("{sensor} {value} °C"));
    SENSORS.into_iter().filter(has).collect()
}

/// Whether the axis of values has this label.
fn has_bound(screen: &str, label: &str) -> bool {
    let labels = screen.lines().filter_map(|line| line.split_once('┤'));
    labels.into_iter().any(|(before, _)| before.trim() == label)
}

#[test]
fn values_and_bounds_are_read_off_the_screen() {
    let scenario = scenario();
    produce(&scenario, &["attic", "hall"], 20..31);
    let bad = [Record::of("warm\u{1b}[2J").key("hall")];
    records::produce(scenario.brokers(), &scenario.name("temps"), &bad);
    let mut pty = plot(&scenario, &[]);
    let screen = pty.shows("both sensors and the bad record", |screen| {
        drawn(screen, "30.00").len() == 2 && screen.contains("1 record is not a reading")
    });
    assert!(pty.is_full_screen() && pty.has_colours());
    // From 20 − 10 to 30 + 10.
    assert!(
        has_bound(&screen, "40.0") && has_bound(&screen, "10.0"),
        "{screen}"
    );
    assert!(
        screen.contains("14 Nov 2023 22:13:4") && screen.contains(" 22:13:50"),
        "{screen}"
    );
    assert!(screen.contains("not-json"), "{screen}");
    produce(&scenario, &["attic"], 31..51);
    pty.shows("what is new", |screen| {
        screen.contains("attic 50.00 °C") && has_bound(screen, "60.0")
    });
    let key = |screen: &str| {
        let (before, _) = screen.split_once(" attic 50.00")?;
        let mut key = before.chars().rev().skip(2);
        key.next().map(String::from)
    };
    let attic = key(&pty.screen()).expect("it has a key");
    pty.keys(&attic);
    pty.shows("only the hall", |screen| {
        screen.contains("(hidden)") && has_bound(screen, "40.0")
    });
    pty.keys(&attic);
    pty.keys("?");
    pty.shows("help", |screen| screen.contains("hide or show a series"));
    pty.resize(60, 16);
    pty.shows("the smaller terminal", |screen| {
        screen.contains("attic 50.00 °C")
    });
    quit(pty);

    let pty = plot(&scenario, &["--sensors", "hall,porch"]);
    let screen = pty.shows("one of them", |screen| {
        screen.contains("nothing yet of porch")
    });
    assert!(!screen.contains("attic"), "{screen}");
    quit(pty);
}

#[test]
fn keys_work_while_the_terminal_changes_its_size() {
    let scenario = scenario();
    produce(&scenario, &["attic"], 20..31);
    let mut pty = plot(&scenario, &[]);
    pty.shows("the sensor", |screen| screen.contains("attic 30.00"));
    for (turn, columns) in (90..100).enumerate() {
        pty.resize(columns, 30);
        pty.keys("?");
        let is_helping = turn % 2 == 0;
        pty.shows("help, or no help", |screen| {
            screen.contains("attic 30.00") && screen.contains("hide or show") == is_helping
        });
    }
    quit(pty);
}

#[test]
fn a_second_member_takes_over_half_of_the_sensors() {
    let scenario = scenario();
    let group = scenario.name("plots");
    let options = ["--group", &group];
    produce(&scenario, &SENSORS, 0..5);
    let first = plot(&scenario, &options);
    first.shows("all sensors", |screen| {
        screen.contains("4 of 4 partitions") && drawn(screen, "4.00").len() == 8
    });
    let second = plot(&scenario, &options);
    for pty in [&first, &second] {
        pty.shows("half of the partitions", |screen| {
            screen.contains("2 of 4 partitions")
        });
    }
    produce(&scenario, &SENSORS, 5..9);
    wait::until_true("each sensor is drawn by one of them", || {
        let mut both = drawn(&first.screen(), "8.00");
        both.extend(drawn(&second.screen(), "8.00"));
        both.sort_unstable();
        both == SENSORS
    });
    let of_first = drawn(&first.screen(), "8.00");
    let is_gone = |sensor: &&str| !of_first.contains(sensor);
    for sensor in SENSORS.iter().filter(|sensor| is_gone(sensor)) {
        assert!(!first.screen().contains(sensor), "{}", first.screen());
    }
    quit(second);
    first.shows("all partitions", |screen| {
        screen.contains("4 of 4 partitions")
    });
    produce(&scenario, &SENSORS, 9..10);
    first.shows("all sensors again", |screen| {
        drawn(screen, "9.00").len() == 8
    });
    quit(first);
}

#[test]
fn a_member_goes_on_where_it_committed() {
    let scenario = scenario();
    let group = scenario.name("plots");
    produce(&scenario, &["attic"], 20..30);
    for (numbers, last, lowest) in [(30..30, "29.00", "10.0"), (60..70, "69.00", "50.0")] {
        produce(&scenario, &["attic"], numbers);
        let pty = plot(&scenario, &["--group", &group, "--from", "1h"]);
        let screen = pty.shows("its part", |screen| drawn(screen, last) == ["attic"]);
        assert!(has_bound(&screen, lowest), "{screen}");
        quit(pty);
    }
    assert_eq!(
        records::committed(scenario.brokers(), &group, &scenario.name("temps")),
        20
    );
}

#[test]
fn topics_of_any_format_are_drawn_together() {
    let scenario = scenario();
    let numbers = scenario.name("numbers");
    records::create_topic(scenario.brokers(), &numbers, 1);
    let values = ["1.5", "2.5", "3.5"].map(Record::of);
    records::produce(scenario.brokers(), &numbers, &values);
    produce(&scenario, &["attic"], 20..21);
    let temps = scenario.name("temps");
    let options = ["plot", &numbers, &temps, "--format", "number"];
    let pty = scenario.at_terminal(&options, SIZE);
    pty.shows("both topics", |screen| {
        screen.contains(&format!("{numbers} 3.50"))
            && screen.contains("attic in")
            && screen.contains(" 20.00 °C")
    });
    quit(pty);

    let error = scenario.rivulet(&["plot", &temps]).fails_with(2);
    assert!(
        error.contains("--page") && error.contains("rivulet consume"),
        "{error}"
    );
    let missing = plot(&scenario, &["nowhere"]);
    missing.shows("the error", |screen| {
        screen.contains("there is no such topic")
    });
}

#[test]
fn avro_is_drawn_once_the_registry_answers() {
    let schema = r#"{"type":"record","name":"reading","fields":[
        {"name":"id","type":"string"},{"name":"value","type":"double"}]}"#;
    let registry = SchemaRegistry::start();
    let format = format!(
        "{{ avro = {{ registry = \"{}\", sensor = \"id\", value = \"value\" }} }}",
        registry.url()
    );
    let topic = format!("external = true\nunit = \"celsius\"\nformat = {format}");
    let pipeline = PipelineBuilder::new().topic("temps", &topic);
    let pipeline = pipeline.sink("show", "temps", "\"console\"");
    let scenario = Scenario::on(Kafka::shared(), pipeline);
    scenario.create_topics();
    let id = registry.register("temps-value", schema);
    let mut value = vec![0, 0, 0, 0, id, 10];
    value.extend_from_slice(b"attic");
    value.extend_from_slice(&21.25_f64.to_le_bytes());
    let records = [Record::of(value).key("attic")];
    records::produce(scenario.brokers(), &scenario.name("temps"), &records);
    registry.answers(Answer::Status(500));
    let pty = plot(&scenario, &[]);
    pty.shows("what is wrong", |screen| {
        screen.contains("waiting: ") && screen.contains("500")
    });
    registry.answers(Answer::Registry);
    pty.shows("the reading", |screen| {
        screen.contains("attic 21.25 °C") && !screen.contains("waiting: ")
    });
    quit(pty);
}

#[test]
fn topics_are_drawn_on_a_page_too() {
    let scenario = scenario();
    produce(&scenario, &["attic", "hall"], 20..31);
    let topic = scenario.name("temps");
    let mut page = scenario.rivulet(&["plot", &topic, "--page", "0", "--sensors", "hall"]);
    let url = wait::until(wait::LONG, || {
        let said = page.err();
        let (before, _) = said.split_once(" shows them")?;
        before.split_whitespace().last().map(str::to_owned)
    });
    let url = url.unwrap_or_else(|| panic!("it says no address: {}", page.report()));
    let browser = Browser::start();
    browser.emulate(1280, 900, false);
    browser.open(&url);
    wait::until_true("the sensor is there with its last value", || {
        let values = browser.text("#values tbody");
        values.contains("hall") && values.contains("30.00")
    });
    assert!(!browser.text("#chips").contains("attic"));
    assert_eq!(browser.text("#file"), topic);
    for absent in ["#stages-card", "#comparison", "#dead-card"] {
        let hidden = browser.run(&format!("return document.querySelector('{absent}').hidden"));
        assert_eq!(hidden, true, "{absent}");
    }
    browser.check_clean(&url[..url.find('?').expect("it has sensors")]);
    browser.screenshot("plot-page");
    page.signal(Signal::Terminate);
    page.succeeds();

    let together = ["plot", &topic, "--page", "0", "--group", "plots"];
    let error = scenario.rivulet(&together).fails_with(2);
    assert!(error.contains("leave --group out"), "{error}");
}
