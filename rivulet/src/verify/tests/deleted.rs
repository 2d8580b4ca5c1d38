//! Topics of which retention has deleted the beginning.

use operators::{Chain, Flow, KeyState, Operator};
use proptest::prelude::*;
use stream::pipeline::ComponentConfig;
use stream::reading::{Reading, Unit};

use super::*;

const EWMA_OF_GIVEN: &str = "
    [topic.in]
    external = true
    [operator.smooth]
    from  = \"in\"
    steps = [{ ewma = { alpha = 0.5 } }]
    to    = \"out\"
";

/// A stage that smoothed the first 100 of 200 readings, found those below 150 deleted and went on.
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

/// Adds the letter that tells of records which a stage never read.
fn gap(table: &mut Table, stage: &str, place: &str) {
    let error = "they were deleted before they were read";
    let letter = DeadLetter {
        original: &[],
        topic: place,
        place: None,
        stage,
        reason: "gap",
        error,
        truncated: None,
    };
    table.add(&format!("{stage}-dead-letters"), "", letter.headers());
}

#[test]
fn what_came_of_deleted_readings_is_neither_extra_nor_wrong() {
    let mut table = interrupted();
    let report = verified(EWMA_OF_GIVEN, &mut table);
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        (report.total().expected, report.total().unverifiable),
        (49, 100),
        "{report}"
    );
    let shown = report.to_string();
    assert!(
        shown.contains("note: the first records of in are gone: [0] begins at offset 150\n"),
        "{shown}"
    );
    assert!(
        shown.ends_with("0 out of order; not verifiable: 100 records whose input is deleted\n"),
        "{shown}"
    );

    gap(&mut table, "smooth", "in [0] offsets 100..150");
    let report = verified(EWMA_OF_GIVEN, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 49,
        "{report}"
    );
    let shown = report.to_string();
    assert!(
        shown.contains(
            "note: `smooth` never read in [0] offsets 100..150: they were deleted before"
        ),
        "{shown}"
    );
}

#[test]
fn behind_the_first_result_that_is_found_each_step_is_verified() {
    let mut table = interrupted();
    let out = &mut table.topics.get_mut("out").unwrap()[0];
    // The mean of seq 160.
    *out = [
        &out[..109],
        &json("a", "celsius", &[(160, 77.0)])[..]
            .iter()
            .map(|it| it.clone().into_bytes())
            .collect::<Vec<_>>(),
        &out[110..],
    ]
    .concat();
    let report = verified(EWMA_OF_GIVEN, &mut table);
    assert_eq!(
        (report.total().wrong, report.total().missing),
        (1, 0),
        "{report}"
    );
    let mut table = interrupted();
    table.topics.get_mut("out").unwrap()[0].remove(120);
    let report = verified(EWMA_OF_GIVEN, &mut table);
    assert_eq!(
        (report.total().missing, report.total().extra),
        (1, 0),
        "{report}"
    );
}

#[test]
fn what_comes_too_late_to_have_been_made_of_deleted_readings_is_extra() {
    let mut table = interrupted();
    table.add("out", &json("a", "celsius", &[(99, 3.0)])[0], Vec::new());
    let report = verified(EWMA_OF_GIVEN, &mut table);
    assert_eq!(report.total().extra, 1, "{report}");
}

#[test]
fn an_average_is_verified_once_its_window_is_filled() {
    let pipeline = EWMA_OF_GIVEN.replace("ewma = { alpha = 0.5 }", "average = { window = 4 }");
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
fn letters_of_deleted_records_are_no_surplus() {
    let pipeline = EWMA_OF_GIVEN.replace("ewma = { alpha = 0.5 }", "round = { digits = 0 }");
    let mut readings = json("a", "celsius", &[(0, 1.0), (1, 2.0)]);
    readings.insert(0, "rubbish".into());
    let mut table = Table::default()
        .with("in", vec![readings.clone()])
        .with("out", vec![readings[1..].to_vec()]);
    table.refuse("smooth", "in", 0);
    table.starts.insert("in".into(), 1);
    let report = verified(&pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().unverifiable == 1,
        "{report}"
    );
}

#[test]
fn bare_numbers_do_not_tell_which_results_are_of_deleted_ones() {
    let pipeline = format!("[defaults]\nformat = \"number\"\n{EWMA_OF_GIVEN}");
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
            .contains("bare numbers do not tell which results are theirs"),
        "{report}"
    );
    table.starts = [("out".to_owned(), 1)].into();
    let report = verified(&pipeline, &mut table);
    assert!(
        report.is_clean() && report.unverified().as_deref() == Some("1 topic"),
        "{report}"
    );
}

/// The steps of the two stages that the property is about. Not `round`: behind an average the last
/// bit decides, which nobody promises.
const STEPS: [&str; 5] = [
    "threshold = { above = -20 }",
    "ewma = { alpha = 0.5 }",
    "ewma = { alpha = 0.25, emit-seed = true }",
    "average = { window = 2 }",
    "average = { window = 4 }",
];

/// What the operators make of readings, given with their sensors, if they read all but those at
/// offsets in `unread`.
fn made(
    steps: &[usize],
    readings: &[(usize, u64, f64)],
    unread: std::ops::Range<usize>,
) -> Vec<(usize, u64, f64)> {
    let parts: Vec<ComponentConfig> = steps
        .iter()
        .map(|index| ComponentConfig::parse(STEPS[*index]).unwrap())
        .collect();
    let chain = Chain::build(&parts).unwrap();
    let mut states = [0, 1].map(|_| vec![KeyState::new(); chain.states()]);
    let mut out = Vec::new();
    for (offset, (sensor, seq, value)) in readings.iter().enumerate() {
        let unit = Some(Unit::Celsius);
        let mut reading = Reading {
            sensor: "".into(),
            seq: *seq,
            time: 0,
            value: *value,
            unit,
        };
        if !unread.contains(&offset)
            && chain.apply(&mut reading, &mut states[*sensor]) == Ok(Flow::Pass)
        {
            out.push((*sensor, *seq, reading.value));
        }
    }
    out
}

fn lines(readings: &[(usize, u64, f64)]) -> Vec<String> {
    readings
        .iter()
        .map(|(sensor, seq, value)| {
            json(["a", "b"][*sensor], "celsius", &[(*seq, *value)]).remove(0)
        })
        .collect()
}

/// A part of that many, given in thousandths.
fn part(count: usize, (from, to): (usize, usize)) -> std::ops::Range<usize> {
    let at = |share: usize| count * share / 1000;
    at(from.min(to))..at(from.max(to))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Whatever is deleted, before it was read or after, of topics that hold what they must:
    /// nothing is amiss, and a last result that is spoilt is found if it was verified.
    #[test]
    fn whatever_is_deleted_nothing_that_is_right_is_called_wrong(
        values in proptest::collection::vec((0..2_usize, -40.0..40.0_f64), 0..60),
        one_sensor: bool,
        chains in [proptest::collection::vec(0..STEPS.len(), 1..4), proptest::collection::vec(0..STEPS.len(), 1..4)],
        gaps in [proptest::option::of((0..1000_usize, 0..1000_usize)), proptest::option::of((0..1000_usize, 0..1000_usize))],
        starts in [0..1000_usize, 0..1000_usize, 0..1000_usize],
        deleted: [bool; 3],
    ) {
        let mut next = [0, 0];
        let first: Vec<(usize, u64, f64)> = values.iter().map(|(sensor, value)| {
            let sensor = if one_sensor { 0 } else { *sensor };
            next[sensor] += 1;
            (sensor, next[sensor] - 1, *value)
        }).collect();
        let mut topics = vec![first];
        let mut table = Table::default();
        for index in 0..2 {
            let readings = &topics[index];
            let unread = gaps[index].map_or(0..0, |gap| part(readings.len(), gap));
            let (topic, stage) = (["in", "mid", "out"][index], ["one", "two"][index]);
            if !unread.is_empty() {
                table.topics.insert(format!("{stage}-dead-letters"), vec![Vec::new()]);
                gap(&mut table, stage, &format!("{topic} [0] offsets {}..{}", unread.start, unread.end));
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
            chain.iter().map(|index| format!("{{ {} }}", STEPS[*index])).collect::<Vec<_>>().join(", ")
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
        let outcome = report.topics.iter().find(|topic| topic.topic == "out").map(|topic| topic.outcome.clone());
        if let (true, Some(TopicOutcome::Compared(ReadingCounts { expected: 1.., .. }))) = (one_sensor, outcome) {
            let out = &mut table.topics.get_mut("out").unwrap()[0];
            if let Some(last) = out.pop() {
                out.push(String::from_utf8(last).unwrap().replace("\"value\":", "\"value\":7").replace("7-", "-7").into_bytes());
                let report = verified(&pipeline, &mut table);
                prop_assert!(report.total().wrong == 1, "{report}");
            }
        }
    }
}
