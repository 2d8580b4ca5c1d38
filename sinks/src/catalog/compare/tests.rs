//! The comparison alone, and its table.

use std::slice;

use rivulet_core::limits::Limits;
use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;
use rivulet_pipeline::ComponentConfig;

use super::sensor::SensorComparison;
use super::*;
use crate::catalog::read;
use crate::output::tests::Screen;

mod interleaving;
mod memory;

const EWMA: &str = "temperatures_ewma";
const AVERAGE: &str = "temperatures_moving_average";
const ALL: [&str; 3] = [EWMA, AVERAGE, DEFAULT_INPUT];

fn topics(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn sink(settings: &str, names: &[&str]) -> (CompareSink, Screen) {
    sink_within(Limits::default(), settings, names)
}

fn sink_within(limits: Limits, settings: &str, names: &[&str]) -> (CompareSink, Screen) {
    let screen = Screen::default();
    let compare: Compare = ComponentConfig::parse(settings)
        .unwrap()
        .settings()
        .unwrap();
    compare.check(&topics(names)).unwrap();
    let output = Box::new(screen.clone());
    (
        compare.sink(SinkContext {
            limits,
            output,
            ..SinkContext::new("", "compare", topics(names))
        }),
        screen,
    )
}

#[test]
fn settings_name_topics_as_the_file_does() {
    let config = ComponentConfig::parse("compare = {}").unwrap();
    let in_kafka = ALL.map(|name| format!("team7-{name}"));
    let sink = config.settings::<Compare>().unwrap().sink(SinkContext {
        names: topics(&ALL),
        ..SinkContext::new("", "compare", in_kafka.to_vec())
    });
    assert!(
        sink.comparison
            .topics()
            .iter()
            .map(|(topic, _)| topic)
            .eq(&in_kafka)
    );
}

fn diagnostic(settings: &str, names: &[&str]) -> String {
    format!(
        "{:?}",
        read(&ComponentConfig::parse(settings).unwrap(), &topics(names)).unwrap_err()
    )
}

fn write(sink: &mut CompareSink, topic: &str, reading: &Reading<'_>) {
    let offset = i64::try_from(reading.seq).unwrap();
    sink.write(&Delivery {
        topic,
        partition: 0,
        offset,
        timestamp: 0,
        key: None,
        readings: slice::from_ref(reading),
    })
    .unwrap();
}

fn reading(sensor: &str, seq: u64, time: i64, value: f64) -> Reading<'_> {
    Reading {
        sensor: sensor.into(),
        seq,
        time,
        value,
        unit: Some(Unit::Fahrenheit),
    }
}

/// The readings of a classroom above 50 °F and the outputs of both operators, in the format
/// `number`: without sensors, and with the offsets of each topic as sequence numbers.
fn classroom(sink: &mut CompareSink) {
    let input = [57.2, 53.6, 62.6, 55.4, 51.8, 53.6, 55.4, 60.8, 60.8, 66.2];
    let ewma = [
        55.4, 59.0, 57.2, 54.5, 54.05, 54.725, 57.7625, 59.28125, 62.740_625,
    ];
    let average = [57.8, 57.2, 56.6, 53.6, 53.6, 56.6, 59.0, 62.6];
    for (topic, values) in [
        (DEFAULT_INPUT, &input[..]),
        (AVERAGE, &average[..]),
        (EWMA, &ewma[..]),
    ] {
        if sink
            .comparison
            .topics()
            .iter()
            .all(|(compared, _)| compared != topic)
        {
            continue;
        }
        let behind = input.len() - values.len();
        for (index, value) in values.iter().enumerate() {
            let time = i64::try_from(1000 * (index + behind)).unwrap();
            write(sink, topic, &reading("", index as u64, time, *value));
        }
    }
}

#[test]
fn the_classroom_is_compared_with_its_input() {
    let (mut sink, screen) = sink("compare = {}", &ALL);
    classroom(&mut sink);
    sink.flush().unwrap();
    assert_eq!(screen.text(), "", "the table comes at the end");
    sink.finish().unwrap();
    let expected = "\
compare: ewma = temperatures_ewma, average = temperatures_moving_average, \
input = temperatures_above_threshold

(all): 8 joined, in °F, lag in steps
                      mean     last  mean |x|     rms  lag
  ewma             57.4074  62.7406                      0
  average          57.1250  62.6000                      0
  input            58.3250  66.2000
  ewma - average    0.2824   0.1406    0.8074  1.0469
  ewma - input     -0.9176  -3.4594    2.1551  2.4405
  average - input  -1.2000  -3.6000    2.8500  3.2863

left out: without a partner 1 in temperatures_ewma, 0 in temperatures_moving_average, \
2 in temperatures_above_threshold; duplicates 0; dropped because more than 4096 were waiting 0; \
in another unit 0
";
    assert_eq!(screen.text(), expected);
}

#[test]
fn without_an_input_ewma_and_average_are_compared() {
    let (mut sink, screen) = sink("compare = {}", &[AVERAGE, EWMA]);
    classroom(&mut sink);
    sink.finish().unwrap();
    let expected = "\
compare: ewma = temperatures_ewma, average = temperatures_moving_average

(all): 8 joined, in °F
                     mean     last  mean |x|     rms  lag
  ewma            57.4074  62.7406
  average         57.1250  62.6000
  ewma - average   0.2824   0.1406    0.8074  1.0469

left out: without a partner 1 in temperatures_ewma, 0 in temperatures_moving_average; \
duplicates 0; dropped because more than 4096 were waiting 0; in another unit 0
";
    assert_eq!(screen.text(), expected);
}

#[test]
fn the_table_without_readings_says_so() {
    let (mut sink, screen) = sink("compare = {}", &ALL);
    sink.finish().unwrap();
    assert!(
        screen.text().contains("\n\nno readings\n\n"),
        "{}",
        screen.text()
    );
}

#[test]
fn the_table_is_shown_regularly_if_readings_came() {
    let (mut sink, screen) = sink("compare = { every-seconds = 5 }", &ALL);
    let start = Instant::now();
    let tables = |screen: &Screen| screen.text().matches("left out: ").count();
    let at =
        |sink: &mut CompareSink, seconds| sink.tick(start + Duration::from_secs(seconds)).unwrap();
    at(&mut sink, 0);
    write(&mut sink, EWMA, &reading("a", 0, 0, 1.0));
    at(&mut sink, 4);
    assert_eq!(tables(&screen), 0);
    at(&mut sink, 5);
    at(&mut sink, 6);
    assert_eq!(tables(&screen), 1);
    at(&mut sink, 10);
    assert_eq!(tables(&screen), 1, "no reading came");
    write(&mut sink, EWMA, &reading("a", 1, 1, 1.0));
    at(&mut sink, 15);
    assert_eq!(tables(&screen), 2);
}

#[test]
fn readings_that_are_not_joined_are_counted() {
    let (mut sink, screen) = sink("compare = { waiting-max = 2 }", &[EWMA, AVERAGE]);
    for seq in 0..5 {
        write(
            &mut sink,
            EWMA,
            &reading("a", seq, i64::try_from(seq).unwrap(), 1.0),
        );
    }
    write(&mut sink, EWMA, &reading("a", 4, 4, 1.0));
    write(
        &mut sink,
        AVERAGE,
        &Reading {
            unit: Some(Unit::Celsius),
            ..reading("a", 4, 4, 1.0)
        },
    );
    write(
        &mut sink,
        AVERAGE,
        &Reading {
            unit: None,
            ..reading("a", 5, 4, 3.0)
        },
    );
    sink.finish().unwrap();
    let shown = screen.text();
    assert!(shown.contains("a: 1 joined, in °F\n"), "{shown}");
    assert!(
        shown.ends_with(
            "without a partner 1 in temperatures_ewma, 0 in temperatures_moving_average; \
             duplicates 1; dropped because more than 2 were waiting 3; in another unit 1\n"
        ),
        "{shown}"
    );
}

#[test]
fn topics_that_do_not_fit_are_errors() {
    let shown = diagnostic("compare = {}", &["temperatures_emwa", AVERAGE]);
    assert!(
        shown.contains("compare needs the topic `temperatures_ewma` for `ewma`, and its stage"),
        "{shown}"
    );
    assert!(shown.contains("place: Some("), "{shown}");
    let shown = diagnostic(r#"compare = { input = "raw" }"#, &[EWMA, AVERAGE]);
    assert!(
        shown.contains("compare needs the topic `raw` for `input`"),
        "{shown}"
    );
    let shown = diagnostic(r#"compare = { average = "temperatures_ewma" }"#, &[EWMA]);
    assert!(
        shown.contains("`ewma` and `average` are the same topic"),
        "{shown}"
    );
    let shown = diagnostic("compare = {}", &[EWMA, AVERAGE, "raw"]);
    assert!(
        shown.contains("compare does not use the topic `raw`"),
        "{shown}"
    );
    assert!(shown.contains(r#"set input = \"raw\""#), "{shown}");
    read(
        &ComponentConfig::parse(r#"compare = { input = "raw" }"#).unwrap(),
        &topics(&[EWMA, AVERAGE, "raw"]),
    )
    .unwrap();
}

#[test]
fn settings_out_of_range_are_errors() {
    for settings in [
        "every-seconds = 0",
        "lag-max = -1",
        "lag-max = 1001",
        "waiting-max = 0",
        "lag-max = 2.5",
    ] {
        let shown = diagnostic(&format!("compare = {{ {settings} }}"), &ALL);
        assert!(shown.contains("place: Some("), "{settings}: {shown}");
    }
}

#[test]
fn a_topic_that_is_not_compared_is_an_error() {
    let (mut sink, _) = sink("compare = {}", &ALL);
    let reading = reading("a", 0, 0, 1.0);
    let delivery = Delivery {
        topic: "raw",
        partition: 0,
        offset: 0,
        timestamp: 0,
        key: None,
        readings: &[reading],
    };
    assert!(
        sink.write(&delivery)
            .unwrap_err()
            .to_string()
            .contains("the topic raw is not compared")
    );
}

#[test]
fn a_delay_as_long_as_the_longest_lag_is_found() {
    /// The high bits of a linear congruential generator: uncorrelated and reproducible.
    fn scatter(index: u64) -> f64 {
        let state = index
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f64
    }
    for steps in 0..5 {
        let (mut sink, screen) = sink(&format!("compare = {{ lag-max = {steps} }}"), &ALL);
        for seq in 0..100_u64 {
            let time = i64::try_from(seq).unwrap();
            write(
                &mut sink,
                DEFAULT_INPUT,
                &reading("a", seq, time, scatter(seq)),
            );
            for topic in [EWMA, AVERAGE] {
                write(
                    &mut sink,
                    topic,
                    &reading("a", seq, time, scatter(seq.saturating_sub(steps))),
                );
            }
        }
        sink.finish().unwrap();
        let shown = screen.text();
        let lags: Vec<&str> = shown
            .lines()
            .skip(4)
            .take(2)
            .filter_map(|line| line.split_whitespace().last())
            .collect();
        assert_eq!(lags, [steps.to_string(), steps.to_string()], "{shown}");
    }
}
