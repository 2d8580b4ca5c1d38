use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::lines::tests::{place, reading};
use super::*;

/// Eight series, each with a gap.
fn eight() -> PlotLines {
    let mut lines = PlotLines::new(vec!["temps".into()], Vec::new(), Vec::new());
    for number in 0..10_u32 {
        for time in (0..100).chain(500..600) {
            let value = f64::from(number) + time as f64 / 100.0;
            let sensor = format!("sensor {number}");
            lines.add(place(0, 0), &reading(&sensor, 1000 * time, value));
        }
    }
    lines
}

fn screen(lines: &PlotLines, view: &PlotView, (width, height): (u16, u16)) -> String {
    let status = PlotStatus {
        title: "temps · group plots · 2 of 4 partitions".into(),
        problem: Some("waiting: no broker".into()),
    };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let drawn = terminal.draw(|frame| draw(frame, lines, view, &status, false));
    drawn.unwrap();
    let buffer = terminal.backend().buffer();
    let rows = (0..height).map(|row| {
        let cells = (0..width).map(|column| buffer[(column, row)].symbol());
        cells.collect::<String>() + "\n"
    });
    rows.collect()
}

fn press(view: &mut PlotView, lines: &mut PlotLines, keys: &str) -> PlotChange {
    let mut change = PlotChange::Nothing;
    for key in keys.chars() {
        change = view.take(ScreenEvent::Key(KeyCode::Char(key)), lines);
    }
    change
}

#[test]
fn eight_series_are_drawn_each_with_its_own_marker() {
    let lines = eight();
    let shown = screen(&lines, &PlotView::default(), (120, 40));
    for (index, marker) in MARKERS.iter().enumerate() {
        let entry = format!("{} {marker} sensor {index} ", index + 1);
        assert!(shown.contains(&entry), "{entry}: {shown}");
        let chart = shown.split("1 • sensor 0").next().unwrap_or_default();
        assert!(chart.contains(*marker), "{marker}: {chart}");
    }
    // From 0 − 10 to 7 + 5.99 + 10.
    assert!(
        shown.contains("23.0┤") && shown.contains("−10.0┤"),
        "{shown}"
    );
    assert!(shown.contains("sensor 7 12.99 °C"), "{shown}");
    assert!(shown.contains("and 2 more sensors: choose with --sensors"));
    assert!(shown.contains("2 of 4 partitions") && shown.contains("waiting: no broker"));
    assert!(
        shown.contains("1 Jan 1970 00:00") && shown.contains(" 00:08"),
        "{shown}"
    );
}

#[test]
fn no_size_of_a_terminal_is_too_small() {
    let (lines, none) = (
        eight(),
        PlotLines::new(vec!["t".into()], Vec::new(), Vec::new()),
    );
    let mut view = PlotView::default();
    for is_helping in [false, true] {
        view.is_helping = is_helping;
        for width in [1, 2, 3, 5, 8, 13, 21, 34, 80, 300] {
            for height in [1, 2, 3, 4, 5, 8, 13, 24, 100] {
                screen(&lines, &view, (width, height));
                screen(&none, &view, (width, height));
            }
        }
    }
}

#[test]
fn values_at_the_ends_of_all_numbers_are_drawn() {
    const FAR: i64 = i64::MAX / 4;
    let mut lines = PlotLines::new(vec!["t".into()], Vec::new(), Vec::new());
    for (time, value) in [(-FAR, f64::MAX), (0, 0.0), (FAR, f64::MIN)] {
        lines.add(place(0, 0), &reading("", time, value));
    }
    screen(&lines, &PlotView::default(), (100, 30));
    let mut one = PlotLines::new(vec!["t".into()], Vec::new(), Vec::new());
    one.add(place(0, 0), &reading("", 7, 20.0));
    let shown = screen(&one, &PlotView::default(), (100, 30));
    assert!(shown.contains("1 • t 20.00 °C"), "{shown}");
    assert!(
        shown.contains("30.0┤") && shown.contains("10.0┤"),
        "{shown}"
    );
}

#[test]
fn a_hidden_series_leaves_the_chart_and_comes_back() {
    let (mut lines, mut view) = (eight(), PlotView::default());
    press(&mut view, &mut lines, "8");
    let shown = screen(&lines, &view, (120, 40));
    assert!(
        shown.contains("(hidden)") && shown.contains("22.0┤"),
        "{shown}"
    );
    press(&mut view, &mut lines, "1234567");
    let shown = screen(&lines, &view, (120, 40));
    assert!(shown.contains("all series are hidden"), "{shown}");
    press(&mut view, &mut lines, "12345678");
    assert!(screen(&lines, &view, (120, 40)).contains("23.0┤"));
}

#[test]
fn keys_pause_zoom_help_and_end() {
    let (mut lines, mut view) = (eight(), PlotView::default());
    press(&mut view, &mut lines, "+");
    let shown = screen(&lines, &view, (120, 40));
    assert!(
        shown.contains(" 00:08") && !shown.contains(" 00:02"),
        "{shown}"
    );
    press(&mut view, &mut lines, "- ");
    lines.add(place(0, 0), &reading("sensor 0", 600_000, 99.0));
    let shown = screen(&lines, &view, (120, 40));
    assert!(
        shown.contains("paused") && !shown.contains("99.00"),
        "{shown}"
    );
    press(&mut view, &mut lines, " ?");
    let shown = screen(&lines, &view, (120, 40));
    assert!(
        shown.contains("pause, go on") && shown.contains("99.00"),
        "{shown}"
    );
    let escape = ScreenEvent::Key(KeyCode::Esc);
    assert_eq!(view.take(escape, &mut lines), PlotChange::Draw);
    assert_eq!(view.take(escape, &mut lines), PlotChange::End);
    assert_eq!(press(&mut view, &mut lines, "q"), PlotChange::End);
    assert_eq!(press(&mut view, &mut lines, "z"), PlotChange::Nothing);
    let interrupt = view.take(ScreenEvent::Interrupt, &mut lines);
    assert_eq!(interrupt, PlotChange::End);
}
