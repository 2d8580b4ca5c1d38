use std::iter::zip;

use proptest::prelude::*;
use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;
use rivulet_pipeline::ComponentConfig;

use super::*;
use crate::catalog::read;
use crate::output::tests::Screen;

const EWMA: &str = "temperatures_ewma";
const AVERAGE: &str = "temperatures_moving_average";
const ALL: [&str; 3] = [EWMA, AVERAGE, DEFAULT_INPUT];

fn topics(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn sink(settings: &str, names: &[&str]) -> (CompareSink, Screen) {
    let screen = Screen::default();
    let compare: Compare = ComponentConfig::parse(settings)
        .unwrap()
        .settings()
        .unwrap();
    compare.check(&topics(names)).unwrap();
    let output = Box::new(screen.clone());
    (
        compare.sink(SinkContext {
            output,
            ..SinkContext::new("", "compare", topics(names))
        }),
        screen,
    )
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
        reading,
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
        if sink.topics.iter().all(|(compared, _)| compared != topic) {
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
        reading: &reading,
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

/// A reading of a topic: sensor, sequence number, time and value.
type Item = (&'static str, u64, i64, f64);

/// EWMA, average and input of one sensor, computed naively.
fn series(sensor: &'static str, values: &[(i64, f64)]) -> [Vec<Item>; 3] {
    let mut time = 0;
    let mut input: Vec<Item> = Vec::new();
    for (index, (step, value)) in values.iter().enumerate() {
        time += step;
        input.push((sensor, index as u64 * 2, time, *value));
    }
    let mut ewma = input.clone();
    for index in 1..ewma.len() {
        ewma[index].3 = f64::midpoint(input[index].3, ewma[index - 1].3);
    }
    let mut average = input.clone();
    for index in 2..average.len() {
        average[index].3 = (input[index - 2].3 + input[index - 1].3 + input[index].3) / 3.0;
    }
    [
        ewma.into_iter().skip(1).collect(),
        average.into_iter().skip(2).collect(),
        input,
    ]
}

/// The items of a topic with some stretches sent again, as by a producer that was killed. Returns
/// the number of duplicates too.
fn sent_again(items: &[Item], stretches: &[(usize, usize)]) -> (Vec<Item>, u64) {
    let mut sent = Vec::new();
    let mut again = 0;
    for (index, item) in items.iter().enumerate() {
        sent.push(*item);
        for (_, length) in stretches.iter().filter(|(at, _)| *at == index) {
            let stretch = &items[(index + 1).saturating_sub(*length)..=index];
            again += stretch.len() as u64;
            sent.extend(stretch);
        }
    }
    (sent, again)
}

/// The joined points of one sensor: the values of the sides, and the input's index.
fn joined(sides: &[Vec<Item>; 3]) -> Vec<([f64; 3], usize)> {
    let numbered = sides.each_ref().map(|items| {
        let mut numbered: BTreeMap<(i64, usize), (usize, f64)> = BTreeMap::new();
        for (index, (_, _, time, value)) in items.iter().enumerate() {
            let order = items[..index]
                .iter()
                .filter(|earlier| earlier.2 == *time)
                .count();
            numbered.insert((*time, order), (index, *value));
        }
        numbered
    });
    let [ewma, average, input] = &numbered;
    ewma.iter()
        .filter_map(|(key, (_, ewma))| {
            let (index, input) = input.get(key)?;
            Some(([*ewma, average.get(key)?.1, *input], *index))
        })
        .collect()
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let means = (
        mean(pairs.iter().map(|pair| pair.0)),
        mean(pairs.iter().map(|pair| pair.1)),
    );
    let deviations = pairs.iter().map(|(x, y)| (x - means.0, y - means.1));
    let products: f64 = deviations.clone().map(|(x, y)| x * y).sum();
    let squares_x: f64 = deviations.clone().map(|(x, _)| x * x).sum();
    let squares_y: f64 = deviations.map(|(_, y)| y * y).sum();
    products / (squares_x * squares_y).sqrt()
}

fn close(found: f64, expected: f64) -> Result<(), TestCaseError> {
    prop_assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{found} should be {expected}"
    );
    Ok(())
}

fn same_lag(
    found: Option<usize>,
    points: &[([f64; 3], usize)],
    side: usize,
    input: &[Item],
) -> Result<(), TestCaseError> {
    let coefficients: Vec<Option<f64>> = (0..=24)
        .map(|steps| {
            let pairs: Vec<(f64, f64)> = points
                .iter()
                .filter_map(|(values, index)| {
                    Some((values[side], input[index.checked_sub(steps)?].3))
                })
                .collect();
            let enough = pairs.len() >= 3 && pairs.len() * 2 >= points.len();
            enough
                .then(|| correlation(&pairs))
                .filter(|coefficient| coefficient.is_finite())
        })
        .collect();
    let largest = coefficients.iter().flatten().copied().fold(0.0, f64::max);
    match found {
        // Coefficients may differ by rounding only. Then either may be the largest.
        Some(steps) => prop_assert!(coefficients[steps].unwrap() > largest - 1e-7),
        None => prop_assert!(largest < 1e-7),
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_interleaving_gives_the_result_of_a_batch(
        values in prop::array::uniform2(prop::collection::vec((0_i64..3, -50.0..50.0), 0..80)),
        stretches in prop::array::uniform3(
            prop::collection::vec((0_usize..160, 1_usize..20), 0..4)
        ),
        picks in prop::collection::vec(0_usize..3, 1..100),
    ) {
        let [a, b] = [series("a", &values[0]), series("b", &values[1])];
        let mut sent: Vec<Vec<Item>> = Vec::new();
        let mut duplicates = 0;
        for side in 0..3 {
            let mut both: Vec<Item> = a[side].iter().chain(&b[side]).copied().collect();
            both.sort_by_key(|item| item.1);
            let (items, again) = sent_again(&both, &stretches[side]);
            sent.push(items);
            duplicates += again;
        }

        let (mut in_turn, in_turn_screen) = sink("compare = {}", &ALL);
        for (topic, items) in zip(ALL, &sent) {
            for (sensor, seq, time, value) in items {
                write(&mut in_turn, topic, &reading(sensor, *seq, *time, *value));
            }
        }
        let (mut mixed, mixed_screen) = sink("compare = {}", &ALL);
        let mut left: Vec<_> = sent.iter().map(|items| items.iter()).collect();
        let mut picks = picks.iter().cycle();
        while left.iter().any(|items| items.len() > 0) {
            let mut pick = *picks.next().unwrap();
            while left[pick].len() == 0 {
                pick = (pick + 1) % 3;
            }
            let (sensor, seq, time, value) = left[pick].next().unwrap();
            write(&mut mixed, ALL[pick], &reading(sensor, *seq, *time, *value));
        }
        in_turn.finish().unwrap();
        mixed.finish().unwrap();
        prop_assert_eq!(in_turn_screen.text(), mixed_screen.text());

        let found: u64 = mixed.sensors.values().map(|sensor| sensor.duplicates).sum();
        prop_assert_eq!(found, duplicates);
        for (name, sides) in [("a", &a), ("b", &b)] {
            let Some(sensor) = mixed.sensors.get(name) else {
                prop_assert!(sides.iter().all(Vec::is_empty));
                continue;
            };
            let points = joined(sides);
            prop_assert_eq!(sensor.joined, points.len() as u64);
            for (side, items) in zip([Side::Ewma, Side::Average, Side::Input], sides) {
                prop_assert_eq!(sensor.join.waiting(side), (items.len() - points.len()) as u64);
            }
            let Some(last) = points.last() else { continue };
            let levels = [&sensor.ewma, &sensor.average, &sensor.input];
            for (side, level) in levels.into_iter().enumerate() {
                close(level.mean.get(), mean(points.iter().map(|point| point.0[side])))?;
                close(level.last, last.0[side])?;
            }
            let pairs = [
                (0, 1, &sensor.ewma_to_average),
                (0, 2, &sensor.ewma_to_input),
                (1, 2, &sensor.average_to_input),
            ];
            for (one, other, found) in pairs {
                let differences = points.iter().map(|(values, _)| values[one] - values[other]);
                close(found.level.mean.get(), mean(differences.clone()))?;
                close(found.absolute.get(), mean(differences.clone().map(f64::abs)))?;
                close(found.root_mean_square(), mean(differences.map(|x| x * x)).sqrt())?;
            }
            same_lag(sensor.ewma_lag.steps(), &points, 0, &sides[2])?;
            same_lag(sensor.average_lag.steps(), &points, 1, &sides[2])?;
        }
    }
}
