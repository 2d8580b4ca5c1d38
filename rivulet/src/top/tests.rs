//! What the screen shows, and what its keys do.

use std::sync::Arc;

use crossterm::event::KeyCode;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Cell;
use ratatui::style::Color;
use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;

use super::layout;
use super::snapshot::TopSnapshot;
use super::state::{TopAbout, TopState};
use crate::checked::tests::parse;
use crate::groups::{GroupLag, LagDirection, LagReport, PartitionReport};
use crate::live::{
    Live, LiveTopics, PipelineFigures, ShownDeadLetter, StageCondition, StageFigures,
};

const PIPELINE: &str = r#"
[producer.in]
source = { list = { values = [1] } }
to = ["warm", "ewma", "average"]
[sink.compare]
from = ["ewma", "average", "warm"]
sink = { compare = { ewma = "ewma", average = "average", input = "warm" } }
"#;

/// Readings of these sensors, one a minute; there is a gap between two of them.
fn live(sensors: &[&str]) -> Live {
    let pipeline = parse(PIPELINE).unwrap();
    let live = Live::new(LiveTopics::of_pipeline(&pipeline, None).unwrap());
    for (sensor, topic) in sensors
        .iter()
        .flat_map(|sensor| [(sensor, 0), (sensor, 1), (sensor, 2)])
    {
        for minute in (0..40_i64).chain(60..90) {
            let lag = topic.min(1);
            let reading = Reading {
                sensor: (*sensor).into(),
                seq: minute.unsigned_abs(),
                time: 1_772_366_400_000 + 60_000 * minute,
                value: (((minute - lag) % 12) as f64) + topic as f64,
                unit: Some(Unit::Celsius),
            };
            live.readings()
                .add(usize::try_from(topic).unwrap(), 0, &reading);
        }
    }
    live
}

fn stage(name: &str, from: &[&str], to: &[&str]) -> StageFigures {
    let names = |topics: &[&str]| topics.iter().map(|topic| (*topic).to_owned()).collect();
    let lag = LagReport {
        lag: GroupLag::Records(1234),
        direction: Some(LagDirection::Grows(30.0)),
    };
    StageFigures {
        stage: name.to_owned(),
        kind: if from.is_empty() {
            "producer"
        } else {
            "operator"
        },
        does: "list".to_owned(),
        from: names(from),
        to: names(to),
        nodes: vec!["rpi0".to_owned(), "rpi1".to_owned()],
        state: StageCondition::Running,
        sentence: format!("{name} reads and writes"),
        rate_in: Some(1000.0),
        rate_out: Some(999.5),
        is_estimate: true,
        lag: (!from.is_empty()).then_some(lag),
        partitions: vec![PartitionReport {
            topic: "warm".to_owned(),
            partition: 7,
            committed: Some(5000),
            end: 6234,
            lag,
        }],
        p50: Some(0.0615),
        p99: Some(0.354),
        commits: Some(10.0),
        memory: Some(10_640_000.0),
        shares_process: true,
        history: (0..60).map(f64::from).collect(),
    }
}

fn figures() -> PipelineFigures {
    let mut stages = vec![
        stage("thermometer", &[], &["celsius"]),
        stage("convert", &["celsius"], &["warm"]),
        stage("ewma", &["warm"], &["ewma"]),
        stage("average", &["warm"], &["average"]),
        stage("compare", &["ewma", "average", "warm"], &[]),
    ];
    stages[3].state = StageCondition::Down;
    PipelineFigures {
        time: 1_772_366_400_000,
        stages,
        error: None,
        notes: vec!["No process is asked.".to_owned()],
    }
}

fn state(has_colours: bool) -> TopState {
    let about = TopAbout {
        title: "rivulet top".to_owned(),
        pipeline: "config/classwork.toml".to_owned(),
        brokers: "localhost:9092".to_owned(),
        page: Some("http://127.0.0.1:8460/".to_owned()),
        has_colours,
    };
    TopState::new(about, None)
}

/// What is seen of these sensors.
fn look(live: &Live, state: &TopState, snapshot: &mut TopSnapshot) {
    let sensor = state.sensor.as_ref();
    snapshot.look(live, state.is_paused, sensor, &|figures| {
        state.stage_name(figures)
    });
    snapshot.figures = Arc::new(figures());
    snapshot.stage = state.stage_name(&snapshot.figures);
    snapshot
        .dead_letters
        .by_reason
        .insert("decode".to_owned(), 17);
    snapshot.dead_letters.last = [ShownDeadLetter {
        time: 0,
        reason: "decode".to_owned(),
        error: "this is no number".to_owned(),
        origin: "warm/7/12".to_owned(),
        key: None,
        value: Some("abc".to_owned()),
    }]
    .into();
}

fn drawn(state: &TopState, snapshot: &TopSnapshot, (width, height): (u16, u16)) -> Vec<Cell> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| layout::draw(frame, state, snapshot))
        .unwrap();
    terminal.backend().buffer().content().to_vec()
}

fn text(state: &TopState, snapshot: &TopSnapshot, size: (u16, u16)) -> String {
    let cells = drawn(state, snapshot, size);
    let rows = cells.chunks(usize::from(size.0));
    let rows = rows.map(|row| row.iter().map(Cell::symbol).collect::<String>());
    rows.collect::<Vec<_>>().join("\n")
}

fn pressed(keys: &str, live: &Live) -> (TopState, TopSnapshot) {
    let (mut state, mut snapshot) = (state(true), TopSnapshot::default());
    look(live, &state, &mut snapshot);
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            key => KeyCode::Char(key),
        };
        assert!(!state.press(code, &snapshot), "{keys}");
        look(live, &state, &mut snapshot);
    }
    (state, snapshot)
}

fn shown(keys: &str, live: &Live) -> String {
    let (state, snapshot) = pressed(keys, live);
    text(&state, &snapshot, (100, 30))
}

fn has(screen: &str, words: &[&str]) {
    for word in words {
        assert!(screen.contains(word), "`{word}` is missing:\n{screen}");
    }
}

#[test]
fn a_small_screen_shows_what_matters_and_a_large_one_all() {
    let live = live(&["seattle", "tacoma"]);
    let (state, snapshot) = pressed("", &live);
    let small = text(&state, &snapshot, (80, 24));
    let all = [
        "└─convert",
        "compare +2",
        "running",
        "down",
        "~1",
        "grows 30/s",
        "seattle (1 of 2)",
        "EWMA",
        "moving average",
        "°C",
        "thermometer reads and writes",
        "mean − input",
        "12:00",
        "89 min",
        "No process is asked.",
        "help",
    ];
    has(&small, &all);
    assert!(!small.contains("last minute"), "{small}");
    let large = text(&state, &snapshot, (200, 60));
    has(&large, &all);
    has(&large, &["http://127.0.0.1:8460/"]);
    has(
        &large,
        &[
            "node",
            "rpi0, rpi1",
            "p50",
            "62 ms",
            "354 ms",
            "commits/s",
            "10.6 MB*",
            "▁",
            "▆",
            "this is the memory of all",
            "smoothness",
        ],
    );
}

#[test]
fn keys_choose_stages_and_sensors() {
    let live = live(&["a", "b", "seattle"]);
    has(&shown("n", &live), &["sensor b (2 of 3)"]);
    has(&shown("p", &live), &["sensor seattle (3 of 3)"]);
    has(&shown("nnn", &live), &["sensor a (1 of 3)"]);
    has(
        &shown("/TTL", &live),
        &["sensor seattle", "search: TTL", "1 found"],
    );
    has(&shown("/ttl\u{1b}", &live), &["sensor a (1 of 3)", "Enter"]);
    has(&shown("/zz", &live), &["no such sensor"]);
    has(
        &shown("/ttl\nj", &live),
        &["sensor seattle", "convert reads and writes"],
    );
    has(&shown("jjk", &live), &["convert reads and writes"]);
    has(&shown("kk", &live), &["thermometer reads and writes"]);
    has(&shown("+", &live), &["last 44 min of 89 min"]);
    has(&shown("++-0", &live), &["   89 min"]);
    has(&shown("sss", &live), &["stage, by state"]);
}

#[test]
fn details_and_help_cover_the_screen_until_somebody_goes_back() {
    let live = live(&["a"]);
    let details = shown("j\n", &live);
    has(
        &details,
        &[
            "convert: operator",
            "celsius",
            "partition",
            "5\u{2009}000",
            "6\u{2009}234",
            "17 decode",
            "this is no number",
            "warm/7/12",
            "abc",
            "shared with other stages",
        ],
    );
    has(
        &shown("?", &live),
        &["search a sensor", "Ctrl-C", "No process is asked."],
    );
    for keys in ["?q", "?\u{1b}", "??", "\nq", "\n\u{1b}", "\n\n"] {
        has(&shown(keys, &live), &["sensor a (1 of 1)"]);
    }
    let (mut state, snapshot) = pressed("", &live);
    assert!(state.press(KeyCode::Char('q'), &snapshot));
}

#[test]
fn while_it_is_paused_nothing_moves_and_the_zoom_works() {
    let live = live(&["a"]);
    let (mut state, mut snapshot) = pressed(" ", &live);
    let before = text(&state, &snapshot, (100, 30));
    has(&before, &["PAUSED"]);
    live.readings().clear();
    look(&live, &state, &mut snapshot);
    assert_eq!(text(&state, &snapshot, (100, 30)), before);
    state.press(KeyCode::Char('+'), &snapshot);
    look(&live, &state, &mut snapshot);
    has(
        &text(&state, &snapshot, (100, 30)),
        &["last 44 min of 89 min"],
    );
    state.press(KeyCode::Char(' '), &snapshot);
    look(&live, &state, &mut snapshot);
    has(
        &text(&state, &snapshot, (100, 30)),
        &["waiting for readings on warm, ewma, average"],
    );
}

#[test]
fn without_colours_lines_and_states_are_told_apart() {
    let live = live(&["a"]);
    let (state, mut snapshot) = (state(false), TopSnapshot::default());
    look(&live, &state, &mut snapshot);
    let cells = drawn(&state, &snapshot, (100, 30));
    assert!(
        cells
            .iter()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
    let screen = text(&state, &snapshot, (100, 30));
    has(
        &screen,
        &["•• input", "⠒⠒ EWMA", "xx moving average", "down"],
    );
}

#[test]
fn before_the_first_look_it_says_whom_it_asks() {
    let screen = text(&state(true), &TopSnapshot::default(), (80, 24));
    has(&screen, &["asking localhost:9092 …", "rivulet top"]);
    let screen = text(&state(true), &TopSnapshot::default(), (40, 10));
    has(&screen, &["This terminal has 40 × 10", "60 × 16"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn no_size_is_too_small_or_too_large(
        size in (1..220_u16, 1..70_u16),
        keys in "[jknps+?0 \n\u{1b}]{0,8}",
        name in "(?s).{0,60}",
    ) {
        let live = live(&[&name, "二"]);
        let (state, mut snapshot) = pressed(&keys, &live);
        let mut figures = figures();
        figures.stages[2].stage.clone_from(&name);
        figures.error = Some(name.clone());
        snapshot.stage = Some(name.clone());
        snapshot.figures = Arc::new(figures);
        let cells = drawn(&state, &snapshot, size);
        let is_plain = |cell: &Cell| cell.symbol().chars().all(rivulet_core::text::is_plain);
        prop_assert!(cells.iter().all(is_plain));
    }
}
