//! Whole pipelines, verified on topics in memory.

mod deleted;

use std::fmt::Write;
use std::sync::Arc;

use rivulet_core::dead_letter::{
    DeadLetter, Header, Migration, MigrationKind, Resolution, Resolved,
};
use rivulet_pipeline::Text;

use super::*;
use rivulet_core::topic_source::FetchedRecord;

/// Topics in memory: the records of each partition, and the headers of records that have any.
#[derive(Default)]
struct Table {
    topics: BTreeMap<String, Vec<Vec<Vec<u8>>>>,
    headers: BTreeMap<(String, usize), Vec<Header>>,
    /// The log start offsets of topics of one partition whose first records were deleted.
    starts: BTreeMap<String, i64>,
}

impl Table {
    fn with(mut self, topic: &str, partitions: Vec<Vec<String>>) -> Self {
        let bytes = partitions
            .into_iter()
            .map(|values| values.into_iter().map(String::into_bytes).collect());
        self.topics.insert(topic.to_owned(), bytes.collect());
        self
    }

    /// Adds a record to a topic of one partition.
    fn add(&mut self, topic: &str, value: &str, headers: Vec<Header>) {
        let records = &mut self
            .topics
            .entry(topic.to_owned())
            .or_insert_with(|| vec![Vec::new()])[0];
        self.headers
            .insert((topic.to_owned(), records.len()), headers);
        records.push(value.into());
    }

    /// Adds a dead letter of the stage with the record at this offset of the topic.
    fn add_dead_letter(&mut self, stage: &str, topic: &str, offset: usize) {
        self.add_dead_letter_for(stage, topic, offset, "?");
    }

    fn add_dead_letter_for(&mut self, stage: &str, topic: &str, offset: usize, reason: &str) {
        let value = String::from_utf8(self.topics[topic][0][offset].clone()).unwrap();
        let place = Some((0, i64::try_from(offset).unwrap()));
        let dead_letter = DeadLetter {
            original: &[],
            topic,
            place,
            stage,
            reason,
            error: "?",
            truncated: None,
        };
        self.add(
            &format!("{stage}-dead-letters"),
            &value,
            dead_letter.headers(),
        );
    }

    /// Adds a migration: the stage had this chain below this offset of its input.
    fn migrate(
        &mut self,
        stage: &str,
        remedy: MigrationKind,
        chain: &str,
        topic: &str,
        offset: i64,
    ) {
        let offsets = [((topic.into(), 0), offset)].into();
        let migration = Migration {
            remedy,
            chain: Some(chain.into()),
            offsets,
            sensors: [].into(),
        };
        self.add(&format!("{stage}-dead-letters"), "", migration.headers());
    }

    fn resolve(&mut self, stage: &str, resolved: Resolved, offsets: &str) {
        let resolution = Resolution {
            resolved,
            letters: offsets.parse().unwrap(),
        };
        self.add(&format!("{stage}-dead-letters"), "", resolution.headers());
    }
}

impl TopicSource for Table {
    fn partitions(&self, topic: &str) -> Option<usize> {
        self.topics.get(topic).map(Vec::len)
    }

    fn is_trimmed(&self, topic: &str) -> bool {
        self.start(topic, 0) > 0
    }

    fn start(&self, topic: &str, _: i32) -> i64 {
        self.starts.get(topic).copied().unwrap_or_default()
    }

    fn read(&mut self, topic: &str, each: &mut dyn FnMut(&FetchedRecord<'_>)) -> Result<()> {
        for (partition, values) in (0..).zip(&self.topics[topic]) {
            for (offset, value) in (0..)
                .zip(values)
                .filter(|(offset, _)| *offset >= self.start(topic, 0))
            {
                let headers = usize::try_from(offset)
                    .ok()
                    .and_then(|at| self.headers.get(&(topic.to_owned(), at)));
                let headers = headers.map_or(&[][..], Vec::as_slice);
                each(&FetchedRecord {
                    partition,
                    offset,
                    timestamp: 1000,
                    key: None,
                    value: Some(value),
                    headers,
                });
            }
        }
        Ok(())
    }
}

fn verified(pipeline: &str, table: &mut Table) -> Report {
    let text = Arc::new(Text {
        path: "p.toml".into(),
        text: pipeline.into(),
    });
    let pipeline = Pipeline::parse(text).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let verification = Verification::new(&pipeline, Options::default());
    for name in verification.topics() {
        table.topics.entry(name).or_insert_with(|| vec![Vec::new()]);
    }
    verification.run(table).unwrap()
}

fn verdict(report: &Report) -> String {
    report.to_string().lines().last().unwrap().to_owned()
}

fn json(sensor: &str, unit: &str, readings: &[(u64, f64)]) -> Vec<String> {
    let mut lines = Vec::new();
    for (seq, value) in readings {
        let time = seq * 1000;
        lines.push(format!(
            r#"{{"sensor":"{sensor}","seq":{seq},"time":{time},"value":{value},"unit":"{unit}"}}"#
        ));
    }
    lines
}

fn numbers(values: &[f64]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

const CELSIUS: [f64; 14] = truth::tests::CELSIUS;
const FAHRENHEIT: [f64; 14] = [
    44.6, 42.8, 48.2, 57.2, 53.6, 62.6, 48.2, 55.4, 51.8, 53.6, 55.4, 60.8, 60.8, 66.2,
];
const EWMA: [f64; 9] = [
    55.4, 59.0, 57.2, 54.5, 54.05, 54.725, 57.7625, 59.28125, 62.740_625,
];
const AVERAGE: [f64; 8] = [57.8, 57.2, 56.6, 53.6, 53.6, 56.6, 59.0, 62.6];

/// The values with the sequence numbers of the readings above the threshold, without the first
/// `skip`.
fn placed(values: &[f64], skip: usize) -> Vec<(u64, f64)> {
    let kept = (0..)
        .zip(FAHRENHEIT)
        .filter(|(_, value)| *value > 50.0)
        .map(|(seq, _)| seq);
    kept.skip(skip).zip(values.iter().copied()).collect()
}

fn chain(first: &str, defaults: &str) -> String {
    format!(
        r#"
        {defaults}
        {first}
        [operator.convert]
        from  = "celsius"
        steps = [{{ convert = {{ from = "celsius", to = "fahrenheit" }} }}]
        to    = "fahrenheit"
        [operator.threshold]
        from  = "fahrenheit"
        steps = [{{ threshold = {{ above = 50 }} }}]
        to    = "above"
        [operator.ewma]
        from  = "above"
        steps = [{{ ewma = {{ alpha = 0.5 }} }}]
        to    = "ewma"
        [operator.average]
        from  = "above"
        steps = [{{ average = {{ window = 3 }} }}]
        to    = "average"
        [sink.compare]
        from = ["ewma", "average"]
        sink = "compare"
    "#
    )
}

const PRODUCER: &str = "[producer.list]\nsource = \"list\"\nto = \"celsius\"";

fn worked_example() -> Table {
    let all: Vec<(u64, f64)> = (0..).zip(CELSIUS).collect();
    let converted: Vec<(u64, f64)> = (0..).zip(FAHRENHEIT).collect();
    let kept: Vec<f64> = FAHRENHEIT
        .into_iter()
        .filter(|value| *value > 50.0)
        .collect();
    Table::default()
        .with("celsius", vec![json("a", "celsius", &all)])
        .with("fahrenheit", vec![json("a", "fahrenheit", &converted)])
        .with("above", vec![json("a", "fahrenheit", &placed(&kept, 0))])
        .with("ewma", vec![json("a", "fahrenheit", &placed(&EWMA, 1))])
        .with(
            "average",
            vec![json("a", "fahrenheit", &placed(&AVERAGE, 2))],
        )
}

#[test]
fn the_worked_example_in_json_is_clean() {
    let report = verified(&chain(PRODUCER, ""), &mut worked_example());
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        verdict(&report),
        "verified 41 readings in 4 topics: 0 missing, 0 extra, 0 wrong, 0 out of order"
    );
    assert!(report.notes.is_empty(), "{report}");
}

#[test]
fn the_worked_example_in_numbers_is_clean() {
    let kept: Vec<f64> = FAHRENHEIT
        .into_iter()
        .filter(|value| *value > 50.0)
        .collect();
    let mut table = Table::default()
        .with("celsius", vec![numbers(&CELSIUS)])
        .with("fahrenheit", vec![numbers(&FAHRENHEIT)])
        .with("above", vec![numbers(&kept)])
        .with("ewma", vec![numbers(&EWMA)])
        .with("average", vec![numbers(&AVERAGE)]);
    let pipeline = chain(
        "[topic.celsius]\nexternal = true",
        "[defaults]\nformat = \"number\"",
    );
    let report = verified(&pipeline, &mut table);
    assert_eq!(
        verdict(&report),
        "verified 41 readings in 4 topics: 0 missing, 0 extra, 0 wrong, 0 out of order"
    );
    table.topics.get_mut("ewma").unwrap()[0].remove(4);
    let report = verified(&pipeline, &mut table);
    assert_eq!(
        verdict(&report),
        "verified 41 readings in 4 topics: 1 missing, 0 extra, 0 wrong, 0 out of order"
    );
}

#[test]
fn a_wrong_stage_shows_only_in_its_own_topic() {
    let mut table = worked_example();
    let above = &mut table.topics.get_mut("above").unwrap()[0];
    above.remove(0);
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert_eq!(
        verdict(&report),
        "verified 41 readings in 4 topics: 1 missing, 0 extra, 0 wrong, 0 out of order"
    );
    assert_eq!(report.differences[0].topic, "above");
}

#[test]
fn an_empty_pipeline_is_clean_but_says_so() {
    let report = verified(&chain(PRODUCER, ""), &mut Table::default());
    assert!(report.is_clean());
    assert!(
        report.to_string().contains("nothing to compare"),
        "{report}"
    );
}

#[test]
fn bad_records_and_wrong_units_must_be_dead_letters() {
    let mut table = worked_example();
    let first = &mut table.topics.get_mut("celsius").unwrap()[0];
    first.insert(3, b"abc".to_vec());
    first.insert(
        5,
        json("a", "kelvin", &[(99, 280.0)])[0].clone().into_bytes(),
    );
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert_eq!(
        verdict(&report),
        "verified 41 readings in 4 topics: 2 missing, 0 extra, 0 wrong, 0 out of order"
    );
    table = table.with("convert-dead-letters", vec![vec!["abc".into(), "k".into()]]);
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert!(report.is_clean(), "{report}");
    table = table.with("ewma-dead-letters", vec![vec!["?".into()]]);
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert_eq!(
        verdict(&report),
        "verified 41 readings in 4 topics: 0 missing, 1 extra, 0 wrong, 0 out of order"
    );
}

#[test]
fn a_replayed_record_that_is_invalid_again_is_one_open_letter() {
    let mut table = worked_example();
    let input = &mut table.topics.get_mut("celsius").unwrap()[0];
    input.push(b"abc".to_vec());
    input.push(json("a", "kelvin", &[(14, 280.0)])[0].clone().into_bytes());
    table.add_dead_letter("convert", "celsius", 14);
    table.add_dead_letter("convert", "celsius", 15);
    assert!(verified(&chain(PRODUCER, ""), &mut table).is_clean());
    table.resolve("convert", Resolved::Replayed, "0..1");
    let input = &mut table.topics.get_mut("celsius").unwrap()[0];
    input.extend(input.clone().drain(14..));
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert!(
        report.to_string().contains("2 missing"),
        "they were replayed and are not dead letters again: {report}"
    );
    table.add_dead_letter("convert", "celsius", 16);
    table.add_dead_letter("convert", "celsius", 17);
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert!(
        report.is_clean() && !report.to_string().contains("repeated"),
        "{report}"
    );
    table.resolve("convert", Resolved::Dropped, "3..4");
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_replayed_reading_must_have_a_result() {
    let mut table = worked_example();
    // An older pipeline rejected the fourth reading, so its results are missing in all topics.
    for (topic, at) in [("fahrenheit", 3), ("above", 0)] {
        table.topics.get_mut(topic).unwrap()[0].remove(at);
    }
    let pipeline = chain(PRODUCER, "");
    let pipeline = &pipeline[..pipeline.find("[operator.ewma]").unwrap()];
    table.add_dead_letter("convert", "celsius", 3);
    let report = verified(pipeline, &mut table);
    assert!(
        report.to_string().contains("2 missing, 1 extra"),
        "{report}"
    );
    table.resolve("convert", Resolved::Replayed, "0");
    for (topic, reading) in [
        ("celsius", json("a", "celsius", &[(3, 14.0)])),
        ("fahrenheit", json("a", "fahrenheit", &[(3, 57.2)])),
        ("above", json("a", "fahrenheit", &[(3, 57.2)])),
    ] {
        table.add(topic, &reading[0], Vec::new());
    }
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 24,
        "{report}"
    );
    table.topics.get_mut("fahrenheit").unwrap()[0].pop();
    assert!(
        verified(pipeline, &mut table)
            .to_string()
            .contains("1 missing, 0 extra"),
        "it has no result"
    );
}

#[test]
fn a_replay_into_a_topic_of_the_pipeline_is_expected_there() {
    let pipeline = chain(PRODUCER, "");
    let pipeline = &pipeline[..pipeline.find("[operator.ewma]").unwrap()];
    let mut table = worked_example();
    // `threshold` rejected the reading at offset 3 of its input, and processes it after the replay.
    table.topics.get_mut("above").unwrap()[0].remove(0);
    table.add_dead_letter("threshold", "fahrenheit", 3);
    table.resolve("threshold", Resolved::Replayed, "0");
    table.add(
        "fahrenheit",
        &json("a", "fahrenheit", &[(3, 57.2)])[0],
        Vec::new(),
    );
    table.add(
        "above",
        &json("a", "fahrenheit", &[(3, 57.2)])[0],
        Vec::new(),
    );
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 25,
        "{report}"
    );
    table.add(
        "fahrenheit",
        &json("a", "fahrenheit", &[(3, 57.2)])[0],
        Vec::new(),
    );
    assert!(
        verified(pipeline, &mut table)
            .to_string()
            .contains("0 missing, 1 extra"),
        "it was replayed once"
    );
}

#[test]
fn a_dropped_dead_letter_is_resolved() {
    let mut table = worked_example();
    let pipeline = chain(PRODUCER, "");
    let pipeline = &pipeline[..pipeline.find("[operator.threshold]").unwrap()];
    table.topics.get_mut("fahrenheit").unwrap()[0].remove(3);
    table.add_dead_letter("convert", "celsius", 3);
    table.add(
        "convert-dead-letters",
        "?",
        vec![("rivulet.stage".into(), None)],
    );
    let report = verified(pipeline, &mut table);
    assert!(
        report.to_string().contains("1 missing, 2 extra"),
        "{report}"
    );
    table.resolve("convert", Resolved::Dropped, "0..1");
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 13,
        "{report}"
    );
}

#[test]
fn dead_letters_for_limits_of_the_brokers_are_accepted() {
    for reason in ["too-large", "timestamp-refused", "rejected", "state-full"] {
        let mut table = worked_example();
        let pipeline = chain(PRODUCER, "");
        let pipeline = &pipeline[..pipeline.find("[operator.ewma]").unwrap()];
        table.topics.get_mut("above").unwrap()[0].remove(0);
        table.add_dead_letter_for("threshold", "fahrenheit", 3, reason);
        table.topics.get_mut("celsius").unwrap()[0].push(b"abc".to_vec());
        table.add_dead_letter_for("convert", "celsius", 14, reason);
        let report = verified(pipeline, &mut table);
        assert!(
            report.is_clean() && report.total().expected == 23,
            "{report}"
        );
        assert!(
            report
                .to_string()
                .contains("note: `threshold` routed 1 records to its dead-letter topic because"),
            "{report}"
        );
        table.topics.get_mut("above").unwrap()[0].remove(0);
        assert_eq!(verified(pipeline, &mut table).total().missing, 1);
    }
}

/// The chain whose EWMA has alpha 0.25 from the fifth reading above the threshold on. It continues
/// from 54.5, or from an empty state.
fn changed(remedy: MigrationKind) -> (String, Table) {
    let after = match remedy {
        MigrationKind::Kept => vec![
            54.275,
            54.556_25,
            56.117_187_5,
            57.287_890_625,
            59.515_917_968_75,
        ],
        MigrationKind::Reset | MigrationKind::Anew | MigrationKind::Forgotten => {
            vec![54.05, 55.7375, 57.003_125, 59.302_343_75]
        }
    };
    let before = placed(&EWMA[..4], 1);
    let skip = if remedy == MigrationKind::Kept { 5 } else { 6 };
    let readings = [before, placed(&after, skip)].concat();
    let mut table = worked_example();
    table = table.with("ewma", vec![json("a", "fahrenheit", &readings)]);
    table.migrate("ewma", remedy, "ewma(alpha=0.5)", "above", 5);
    (
        chain(PRODUCER, "").replace("alpha = 0.5", "alpha = 0.25"),
        table,
    )
}

#[test]
fn a_stage_is_verified_before_and_after_a_change_of_settings() {
    for (remedy, word) in [
        (MigrationKind::Kept, "kept"),
        (MigrationKind::Reset, "reset"),
    ] {
        let (pipeline, mut table) = changed(remedy);
        let report = verified(&pipeline, &mut table);
        assert!(report.is_clean(), "{report}");
        let note = format!("note: `ewma` was `ewma(alpha=0.5)` until its state was {word}");
        assert!(report.to_string().contains(&note), "{report}");
        let report = verified(&pipeline.replace("alpha = 0.25", "alpha = 0.3"), &mut table);
        assert!(report.total().wrong > 0, "{report}");
        let report = verified(&chain(PRODUCER, ""), &mut table);
        assert!(!report.is_clean(), "{report}");
    }
}

#[test]
fn a_change_at_an_unknown_reading_is_not_verifiable() {
    let (pipeline, mut table) = changed(MigrationKind::Kept);
    table.topics.get_mut("above").unwrap()[0].remove(0);
    let report = verified(&pipeline, &mut table).to_string();
    assert!(
        report.contains(
            "ewma        not verifiable: `ewma` writes it: its settings were changed, and `above`"
        ),
        "{report}"
    );
    let (pipeline, mut table) = changed(MigrationKind::Anew);
    let report = verified(&pipeline, &mut table).to_string();
    assert!(
        report.contains("its inputs were read again") && report.contains("0 missing, 0 extra"),
        "{report}"
    );

    let pipeline = "[producer.p]\nsource = \"list\"\nto = \"in\"\n[operator.mean]\nfrom \
                    = \"in\"\nsteps = [{ average = { window = 1 } }]\nto = \"out\"";
    let readings = json("a", "celsius", &[(0, 1.0), (1, 2.0)]);
    let mut table = Table::default()
        .with("in", vec![readings.clone()])
        .with("out", vec![readings]);
    table.migrate("mean", MigrationKind::Reset, "average(window=1)", "in", 1);
    assert!(verified(pipeline, &mut table).is_clean());
    table.starts.insert("out".into(), 1);
    assert!(verified(pipeline, &mut table).is_clean());
    let with_next = format!(
        "{pipeline}\n[operator.again]\nfrom = \"out\"\nsteps = [{{ average = {{ window = 1 }} \
         }}]\nto = \"last\""
    );
    table.migrate("again", MigrationKind::Reset, "average(window=1)", "out", 1);
    let report = verified(&with_next, &mut table).to_string();
    assert!(
        report.contains("its settings were changed, and the first records of `out` were deleted"),
        "{report}"
    );
}

#[test]
fn a_resolved_dead_letter_does_not_move_a_migration() {
    let pipeline = "[producer.p]\nsource = \"list\"\nto = \"in\"\n[operator.mean]\nfrom \
                    = \"in\"\nsteps = [{ average = { window = 2 } }]\nto = \"out\"";
    let readings = json(
        "a",
        "celsius",
        &[(0, 1.0), (1, 2.0), (2, 3.0), (3, 5.0), (4, 7.0)],
    );
    let mut table = Table::default().with("in", vec![readings]).with(
        "out",
        vec![json("a", "celsius", &[(0, 1.0), (2, 3.0), (4, 6.0)])],
    );
    table.add_dead_letter("mean", "in", 1);
    table.resolve("mean", Resolved::Dropped, "0");
    table.migrate("mean", MigrationKind::Reset, "average(window=1)", "in", 3);
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 3,
        "{report}"
    );
}

#[test]
fn numbers_without_a_unit_become_json_without_one() {
    let pipeline = "
        [topic.first]
        format = \"number\"
        external = true
        [operator.round]
        from  = \"first\"
        steps = [\"round\"]
        to    = \"rounded\"
    ";
    let mut table = Table::default()
        .with("first", vec![numbers(&[1.4, 2.6])])
        .with(
            "rounded",
            vec![vec![
                r#"{"sensor":"","seq":0,"time":1000,"value":1}"#.into(),
                r#"{"sensor":"","seq":1,"time":1000,"value":3}"#.into(),
            ]],
        );
    assert!(verified(pipeline, &mut table).is_clean());
    let pipeline = pipeline.replace("external", "unit = \"celsius\"\nexternal");
    let rounded = r#"{"sensor":"","seq":SEQ,"time":1000,"value":VALUE,"unit":"celsius"}"#;
    let line = |seq: &str, value: &str| rounded.replace("SEQ", seq).replace("VALUE", value);
    let mut table = Table::default()
        .with("first", vec![numbers(&[1.4, 2.6])])
        .with("rounded", vec![vec![line("0", "1"), line("1", "3")]]);
    let report = verified(&pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 2,
        "{report}"
    );
}

#[test]
fn results_of_an_undefined_order_are_not_verifiable() {
    let pipeline = r#"
        [producer.one]
        source = "list"
        to = "first"
        [producer.two]
        source = "list"
        to = "second"
        [operator.smooth]
        from  = ["first", "second"]
        steps = [{ ewma = { alpha = 0.5 } }]
        to    = "smooth"
        [operator.behind]
        from  = "smooth"
        steps = ["round"]
        to    = "rounded"
        [operator.stateless]
        from  = ["first", "second"]
        steps = ["round"]
        to    = "joined"
    "#;
    let (one, two) = (
        json("a", "celsius", &[(0, 1.0), (1, 2.0)]),
        json("a", "celsius", &[(0, 3.0), (1, 4.0)]),
    );
    let joined = [&two[..1], &one[..], &two[1..]].concat();
    let mut table = Table::default()
        .with("first", vec![one])
        .with("second", vec![two])
        .with("joined", vec![joined]);
    let report = verified(pipeline, &mut table);
    let figures = "verified 4 readings in 1 topics: 0 missing, 0 extra, 0 wrong, 0 out of order";
    assert_eq!(
        verdict(&report),
        format!("{figures}; not verifiable: 2 topics")
    );
    assert!(report.is_clean());
    let shown = report.to_string();
    assert!(
        shown.contains("smooth   not verifiable: `smooth` writes it: it keeps state"),
        "{shown}"
    );
    assert!(
        shown.contains("rounded  not verifiable: its input `smooth` is not verifiable"),
        "{shown}"
    );
}

#[test]
fn sensors_in_several_inputs_and_partitions_are_verified_each() {
    let pipeline = r#"
        [topic.smooth]
        partitions = 2
        [producer.one]
        source = "list"
        to = "first"
        [producer.two]
        source = "list"
        to = "second"
        [operator.smooth]
        from  = ["first", "second"]
        steps = [{ ewma = { alpha = 0.5, emit-seed = true } }]
        to    = "smooth"
    "#;
    let mut table = Table::default()
        .with(
            "first",
            vec![
                json("a", "celsius", &[(0, 1.0), (1, 3.0)]),
                json("c", "celsius", &[(0, 9.0)]),
            ],
        )
        .with("second", vec![json("b", "celsius", &[(0, 5.0), (1, 7.0)])])
        .with(
            "smooth",
            vec![
                json("b", "celsius", &[(0, 5.0), (1, 6.0)]),
                [
                    json("a", "celsius", &[(0, 1.0)]),
                    json("c", "celsius", &[(0, 9.0)]),
                    json("a", "celsius", &[(1, 2.0)]),
                ]
                .concat(),
            ],
        );
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 5,
        "{report}"
    );
    table.topics.get_mut("smooth").unwrap()[0].swap(0, 1);
    assert_eq!(verified(pipeline, &mut table).total().out_of_order, 1);
}

#[test]
fn missing_sequence_numbers_are_noted() {
    let mut table = worked_example();
    table.topics.get_mut("celsius").unwrap()[0].remove(0);
    let fahrenheit = &mut table.topics.get_mut("fahrenheit").unwrap()[0];
    fahrenheit.remove(0);
    assert!(
        verified(&chain(PRODUCER, ""), &mut table).notes.is_empty(),
        "the first number may be any"
    );
    table.topics.get_mut("celsius").unwrap()[0].remove(1);
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert!(
        report
            .to_string()
            .contains("1 sequence numbers are missing"),
        "{report}"
    );
}

#[test]
fn many_readings_are_compared_quickly_and_in_little_memory() {
    let pipeline = "[producer.p]\nsource = \"list\"\nto = \"a\"\n[operator.o]\nfrom = \"a\"\nsteps \
                    = [{ average = { window = 2 } }]\nto = \"b\"";
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for seq in 0..20_000u64 {
        let mut line = String::new();
        write!(
            line,
            r#"{{"sensor":"s{}","seq":{seq},"time":0,"value":{seq},"unit":"kelvin"}}"#,
            seq % 10
        )
        .unwrap();
        if seq >= 10 {
            second.push(line.replace(
                &format!(r#""value":{seq}"#),
                &format!(r#""value":{}"#, seq - 5),
            ));
        }
        first.push(line);
    }
    let mut table = Table::default()
        .with("a", vec![first])
        .with("b", vec![second]);
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().found == 19_990,
        "{report}"
    );
    assert_eq!(std::mem::size_of::<truth::Entry>(), 56);
}

/// `middle` has a step that is not known here. `after` reads its output, `beside` does not.
const UNKNOWN: &str = r#"
[topic.a]
external = true
[operator.middle]
from = "a"
steps = [{ median = { window = 3 } }]
to = "b"
[operator.after]
from = "b"
steps = [{ threshold = { above = 2 } }]
to = "c"
[operator.beside]
from = "a"
steps = [{ threshold = { above = 2 } }]
to = "d"
"#;

#[test]
fn an_unknown_step_leaves_the_other_stages_verifiable() {
    let readings = |values: &[(u64, f64)]| vec![json("s", "percent", values)];
    let mut table = Table::default()
        .with("a", readings(&[(0, 1.0), (1, 3.0)]))
        .with("b", readings(&[(0, 1.5), (1, 2.5)]))
        .with("c", readings(&[(1, 2.5)]))
        .with("d", readings(&[(1, 3.0)]));
    let report = verified(UNKNOWN, &mut table);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.unverified().as_deref(), Some("1 topic"), "{report}");
    assert!(report.to_string().contains("`median`"), "{report}");
    assert_eq!(report.total().expected, 2);

    // What the next stage made of it is verified.
    table.topics.insert("c".into(), vec![Vec::new()]);
    let report = verified(UNKNOWN, &mut table);
    assert!(!report.is_clean(), "{report}");
}

#[test]
fn an_unknown_format_is_not_verifiable() {
    let pipeline = "[topic.a]\nexternal = true\nformat = \"theirs\"\n\
                    [operator.keep]\nfrom = \"a\"\n\
                    steps = [{ threshold = { above = 2 } }]\nto = \"b\"\n";
    let mut table = Table::default().with("a", vec![vec!["1;2;3".into()]]);
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.unverified().is_some(),
        "{report}"
    );
    assert!(report.to_string().contains("`theirs`"), "{report}");
}
