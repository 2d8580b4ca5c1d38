//! Topics whose first records were deleted by retention.

use proptest::prelude::*;
use rivulet_core::operator::{Operator, emitted};
use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;
use rivulet_operators::Chain;
use rivulet_pipeline::ComponentConfig;

use super::*;

const PIPELINE: &str = "
    [topic.in]
    external = true
    [operator.smooth]
    from  = \"in\"
    steps = [{ ewma = { alpha = 0.5 } }]
    to    = \"out\"
";

/// A stage that smoothed the first 100 of 200 readings, found that those below 150 were deleted,
/// and continued.
fn interrupted() -> Table {
    let values: Vec<(u64, f64)> = (0..200)
        .map(|seq| (seq, f64::from(u32::try_from(seq % 7).unwrap())))
        .collect();
    let (mut mean, mut out) = (None, Vec::new());
    for (seq, value) in values.iter().filter(|(seq, _)| *seq < 100 || *seq >= 150) {
        if let Some(mean) = &mut mean {
            *mean = 0.5 * value + 0.5 * *mean;
            out.push((*seq, *mean));
        } else {
            mean = Some(*value);
        }
    }
    let mut table = Table::default()
        .with("in", vec![json("a", "celsius", &values)])
        .with("out", vec![json("a", "celsius", &out)]);
    table.starts.insert("in".into(), 150);
    table
}

/// Adds the dead letter for records that a stage never read.
fn gap(table: &mut Table, stage: &str, place: &str) {
    let error = "they were deleted before they were read";
    let dead_letter = DeadLetter {
        original: &[],
        topic: place,
        place: None,
        stage,
        reason: "gap",
        error,
        truncated: None,
    };
    table.add(&format!("{stage}-dead-letters"), "", dead_letter.headers());
}

#[test]
fn results_of_deleted_readings_are_neither_extra_nor_wrong() {
    let mut table = interrupted();
    let report = verified(PIPELINE, &mut table);
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        (report.total().expected, report.total().unverifiable),
        (49, 100),
        "{report}"
    );
    let shown = report.to_string();
    assert!(
        shown.contains("note: the first records of in were deleted: [0] begins at offset 150\n"),
        "{shown}"
    );
    assert!(
        shown.ends_with("0 out of order; not verifiable: 100 records whose input was deleted\n"),
        "{shown}"
    );

    gap(&mut table, "smooth", "in [0] offsets 100..150");
    let report = verified(PIPELINE, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 49,
        "{report}"
    );
    let shown = report.to_string();
    assert!(
        shown.contains(
            "note: `smooth` never read in [0] offsets 100..150: they were deleted before it could"
        ),
        "{shown}"
    );
}

#[test]
fn results_after_the_first_one_found_are_verified() {
    let mut table = interrupted();
    let out = &mut table.topics.get_mut("out").unwrap()[0];
    // The mean of seq 160.
    out[109] = json("a", "celsius", &[(160, 77.0)]).remove(0).into_bytes();
    let report = verified(PIPELINE, &mut table);
    assert_eq!(
        (report.total().wrong, report.total().missing),
        (1, 0),
        "{report}"
    );
    let mut table = interrupted();
    table.topics.get_mut("out").unwrap()[0].remove(120);
    let report = verified(PIPELINE, &mut table);
    assert_eq!(
        (report.total().missing, report.total().extra),
        (1, 0),
        "{report}"
    );
}

#[test]
fn a_result_too_late_for_deleted_readings_is_extra() {
    let mut table = interrupted();
    table.add("out", &json("a", "celsius", &[(99, 3.0)])[0], Vec::new());
    let report = verified(PIPELINE, &mut table);
    assert_eq!(report.total().extra, 1, "{report}");
}

#[test]
fn an_average_is_verified_once_its_window_is_filled() {
    let pipeline = PIPELINE.replace("ewma = { alpha = 0.5 }", "average = { window = 4 }");
    let values: Vec<(u64, f64)> = (0..30)
        .map(|seq| (seq, f64::from(u32::try_from(seq).unwrap())))
        .collect();
    let means: Vec<(u64, f64)> = values[3..]
        .iter()
        .map(|(seq, value)| (*seq, value - 1.5))
        .collect();
    let mut table = Table::default()
        .with("in", vec![json("a", "celsius", &values)])
        .with("out", vec![json("a", "celsius", &means)]);
    table.starts.insert("in".into(), 20);
    let report = verified(&pipeline, &mut table);
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        (report.total().expected, report.total().unverifiable),
        (7, 20),
        "{report}"
    );
}

#[test]
fn dead_letters_of_deleted_records_are_not_extra() {
    let pipeline = PIPELINE.replace("ewma = { alpha = 0.5 }", "round = { digits = 0 }");
    let mut readings = json("a", "celsius", &[(0, 1.0), (1, 2.0)]);
    readings.insert(0, "rubbish".into());
    let mut table = Table::default()
        .with("in", vec![readings.clone()])
        .with("out", vec![readings[1..].to_vec()]);
    table.add_dead_letter("smooth", "in", 0);
    table.starts.insert("in".into(), 1);
    let report = verified(&pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().unverifiable == 1,
        "{report}"
    );
}

#[test]
fn bare_numbers_with_deleted_records_are_not_verifiable() {
    let pipeline = format!("[defaults]\nformat = \"number\"\n{PIPELINE}");
    let mut table = Table::default()
        .with("in", vec![numbers(&[1.0, 2.0, 3.0])])
        .with("out", vec![numbers(&[1.5, 2.25])]);
    table.starts.insert("in".into(), 1);
    let report = verified(&pipeline, &mut table);
    assert!(
        report.is_clean() && report.unverified().as_deref() == Some("1 topic"),
        "{report}"
    );
    assert!(
        report
            .to_string()
            .contains("bare numbers do not show which results are theirs"),
        "{report}"
    );
    table.starts = [("out".to_owned(), 1)].into();
    let report = verified(&pipeline, &mut table);
    assert!(
        report.is_clean() && report.unverified().as_deref() == Some("1 topic"),
        "{report}"
    );
}

/// The steps of the two stages of the property. Not `round`: after an average the result depends on
/// the last bit, which is not guaranteed.
const STEPS: [&str; 8] = [
    "threshold = { above = -20 }",
    "ewma = { alpha = 0.5 }",
    "ewma = { alpha = 0.25, emit-seed = true }",
    "average = { window = 2 }",
    "average = { window = 4 }",
    "mean-of = {}",
    "mean-of = { sensors = 2 }",
    "mean-of = { sensors = 3 }",
];

/// The time of a reading: three of a sensor have the same.
fn time(seq: u64) -> i64 {
    i64::try_from(seq / 3).unwrap()
}

/// The output of the operators for readings (sensor, sequence number, value), without those at the
/// offsets in `unread`.
fn made(
    steps: &[usize],
    readings: &[(usize, u64, f64)],
    unread: std::ops::Range<usize>,
) -> Vec<(usize, u64, f64)> {
    let configs: Vec<ComponentConfig> = steps
        .iter()
        .map(|index| ComponentConfig::parse(STEPS[*index]).unwrap())
        .collect();
    let chain = Chain::build(&configs).unwrap();
    let mut states = [0, 1].map(|_| chain.new_states());
    let mut out = Vec::new();
    for (offset, (sensor, seq, value)) in readings.iter().enumerate() {
        let unit = Some(Unit::Celsius);
        let reading = Reading {
            sensor: "".into(),
            seq: *seq,
            time: time(*seq),
            value: *value,
            unit,
        };
        if !unread.contains(&offset) {
            let emitted = emitted(&chain, reading, &mut states[*sensor]).unwrap_or_default();
            let emitted = emitted.iter();
            out.extend(emitted.map(|reading| (*sensor, reading.seq, reading.value)));
        }
    }
    out
}

fn lines(readings: &[(usize, u64, f64)]) -> Vec<String> {
    readings
        .iter()
        .map(|(sensor, seq, value)| {
            let (sensor, time) = (["a", "b"][*sensor], time(*seq));
            json(sensor, "celsius", &[(*seq, *value)])
                .remove(0)
                .replace(
                    &format!("\"time\":{}", seq * 1000),
                    &format!("\"time\":{time}"),
                )
        })
        .collect()
}

/// A part of the range from 0 to `count`, given in thousandths.
fn part(count: usize, (from, to): (usize, usize)) -> std::ops::Range<usize> {
    let at = |share: usize| count * share / 1000;
    at(from.min(to))..at(from.max(to))
}

fn any_chain() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..STEPS.len(), 1..4)
}

fn any_gap() -> impl Strategy<Value = Option<(usize, usize)>> {
    proptest::option::of((0..1000_usize, 0..1000_usize))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Deletes records of correct topics, before or after they were read. No difference is found,
    /// except a spoilt last result if it can be verified.
    #[test]
    fn correct_results_are_never_wrong_whatever_was_deleted(
        values in proptest::collection::vec((0..2_usize, -40.0..40.0_f64), 0..60),
        one_sensor: bool,
        chains in [any_chain(), any_chain()],
        gaps in [any_gap(), any_gap()],
        starts in [0..1000_usize, 0..1000_usize, 0..1000_usize],
        deleted: [bool; 3],
    ) {
        let (mut next, mut first) = ([0, 0], Vec::new());
        for (sensor, value) in &values {
            let sensor = if one_sensor { 0 } else { *sensor };
            first.push((sensor, next[sensor], *value));
            next[sensor] += 1;
        }
        let mut topics = vec![first];
        let mut table = Table::default();
        for index in 0..2 {
            let readings = &topics[index];
            let unread = gaps[index].map_or(0..0, |gap| part(readings.len(), gap));
            let (topic, stage) = (["in", "mid", "out"][index], ["one", "two"][index]);
            if !unread.is_empty() {
                table.topics.insert(format!("{stage}-dead-letters"), vec![Vec::new()]);
                let place = format!("{topic} [0] offsets {}..{}", unread.start, unread.end);
                gap(&mut table, stage, &place);
                table.starts.insert(topic.into(), i64::try_from(unread.end).unwrap());
            }
            let made = made(&chains[index], readings, unread);
            topics.push(made);
        }
        for (index, readings) in topics.iter().enumerate() {
            let topic = ["in", "mid", "out"][index];
            table = table.with(topic, vec![lines(readings)]);
            let start = i64::try_from(readings.len() * starts[index] / 1000).unwrap();
            if deleted[index] && start > table.start(topic, 0) {
                table.starts.insert(topic.into(), start);
            }
        }
        let steps = chains.map(|chain| {
            let steps = chain.iter().map(|index| format!("{{ {} }}", STEPS[*index]));
            steps.collect::<Vec<_>>().join(", ")
        });
        let pipeline = format!(
            "[topic.in]\nexternal = true\n[operator.one]\nfrom = \"in\"\nsteps = [{}]\nto \
             = \"mid\"\n\
             [operator.two]\nfrom = \"mid\"\nsteps = [{}]\nto = \"out\"\n",
            steps[0], steps[1]
        );
        let report = verified(&pipeline, &mut table);
        prop_assert!(report.is_clean(), "{report}");
        if table.starts.is_empty() {
            prop_assert_eq!(report.unverified(), None, "{}", report);
        }
        let out = report.topics.iter().find(|topic| topic.topic == "out");
        let expected = match out.map(|topic| &topic.outcome) {
            Some(TopicOutcome::Compared(counts)) => counts.expected,
            _ => 0,
        };
        let out = &mut table.topics.get_mut("out").unwrap()[0];
        if one_sensor && expected > 0 && let Some(last) = out.pop() {
            let last = String::from_utf8(last).unwrap().replace("\"value\":", "\"value\":7");
            out.push(last.replace("7-", "-7").into_bytes());
            let report = verified(&pipeline, &mut table);
            prop_assert!(report.total().wrong == 1, "{report}");
        }
    }
}
