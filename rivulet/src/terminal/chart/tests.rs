//! What a chart shows.

use proptest::prelude::*;

use super::*;

fn line(name: &str, marker: Marker, values: &[Option<(i64, f64)>]) -> ChartLine {
    let value = |(time, value)| TimedValue { time, value };
    ChartLine {
        name: name.to_owned(),
        colour: Color::Reset,
        marker,
        layer: 0,
        values: values.iter().map(|point| point.map(value)).collect(),
    }
}

fn drawn(lines: &[ChartLine], times: RangeInclusive<i64>, (width, height): (u16, u16)) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    let unit = "°C";
    let chart = LineChart {
        lines,
        times,
        bounds: None,
        unit,
    };
    chart.render(area, &mut buffer);
    let cells: Vec<&str> = buffer
        .content()
        .iter()
        .map(ratatui::buffer::Cell::symbol)
        .collect();
    let rows = cells.chunks(usize::from(width.max(1)));
    let rows: Vec<String> = rows.map(|row| row.concat().trim_end().to_owned()).collect();
    rows.join("\n")
}

#[test]
fn a_chart_has_axes_a_legend_and_gaps() {
    let rising = [
        Some((0, 10.0)),
        Some((100_000, 20.0)),
        None,
        Some((200_000, 20.0)),
    ];
    let lines = [
        line("input", Marker::Dot, &rising),
        line(
            "EWMA",
            Marker::Custom('x'),
            &[Some((0, 10.0)), Some((200_000, 10.0))],
        ),
    ];
    let shown = drawn(&lines, 0..=200_000, (50, 9));
    let expected = "\
°C  •• input  xx EWMA
20┤                     •••                      •
  │                 ••••
15┤            •••••
  │       •••••
  │   ••••
10┤xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
  └┬─────────────┬─────────────┬────────────┬─────
   1 Jan 1970 00:00          00:02        00:03";
    assert_eq!(shown, expected);
}

#[test]
fn a_constant_and_nothing_are_drawn_too() {
    let constant = [line("a", Marker::Braille, &[Some((5, 21.5))])];
    let shown = drawn(&constant, 5..=5, (40, 8));
    assert!(shown.contains("21.5┤"), "{shown}");
    assert!(drawn(&[], 0..=0, (40, 8)).contains("°C"));
}

proptest! {
    #[test]
    fn no_size_and_no_value_is_too_much_for_a_chart(
        size in (0..90_u16, 0..30_u16),
        values in prop::collection::vec(
            prop::option::of((any::<i64>(), prop_oneof![
                -1e3..1e3_f64, any::<f64>().prop_filter("finite", |value| value.is_finite())
            ])),
            0..40,
        ),
        times in (any::<i64>(), any::<i64>()),
    ) {
        let times = times.0.min(times.1)..=times.0.max(times.1);
        let lines = [line("a", Marker::Braille, &values), line("b", Marker::Dot, &values)];
        drawn(&lines, times, size);
    }
}
