//! A terminal's screen as a picture: [`svg`].

use std::fmt::Write;

use vt100::{Cell, Color, Screen};

/// The size of a cell, in pixels.
const WIDTH: u32 = 9;
const HEIGHT: u32 = 18;
/// The room around the screen.
const ROOM: u32 = 14;

/// The colours of a dark terminal.
const PAPER: &str = "#14171b";
const INK: &str = "#e8eaed";

/// The sixteen named colours, as many terminals show them on dark paper.
const NAMED: [&str; 16] = [
    "#343b44", "#ff8a7a", "#2ec99b", "#e6c34a", "#56b4e9", "#e59bc6", "#5fd7d7", "#c9ced6",
    "#6b7683", "#ff8a7a", "#2ec99b", "#e6c34a", "#56b4e9", "#e59bc6", "#5fd7d7", "#ffffff",
];

/// The first of the characters that are dots of braille.
const BRAILLE: u32 = 0x2800;

/// The screen as SVG, on dark paper. Each character has its cell, and dots of braille are drawn, so
/// that it looks the same with any font.
#[must_use]
pub(super) fn svg(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let width = u32::from(columns) * WIDTH + 2 * ROOM;
    let height = u32::from(rows) * HEIGHT + 2 * ROOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"DejaVu Sans Mono, monospace\" font-size=\"15\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{PAPER}\"/>\n"
    );
    for row in 0..rows {
        for column in 0..columns {
            if let Some(cell) = screen.cell(row, column) {
                let at = (
                    ROOM + u32::from(column) * WIDTH,
                    ROOM + u32::from(row) * HEIGHT,
                );
                draw(&mut svg, cell, at).expect("writing to a string succeeds");
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, cell: &Cell, (x, y): (u32, u32)) -> std::fmt::Result {
    let (mut ink, mut paper) = (colour(cell.fgcolor(), INK), colour(cell.bgcolor(), PAPER));
    if cell.inverse() {
        (ink, paper) = (paper, ink);
    }
    if paper != PAPER {
        writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"{paper}\"/>"
        )?;
    }
    let text = cell.contents();
    let Some(letter) = text.chars().next().filter(|letter| *letter != ' ') else {
        return Ok(());
    };
    let code = u32::from(letter);
    if (BRAILLE..BRAILLE + 256).contains(&code) {
        return dots(svg, code - BRAILLE, (x, y), &ink);
    }
    let weight = if cell.bold() {
        " font-weight=\"bold\""
    } else {
        ""
    };
    let fade = if cell.dim() { " opacity=\"0.6\"" } else { "" };
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let below = y + HEIGHT - 5;
    writeln!(
        svg,
        "<text x=\"{x}\" y=\"{below}\" fill=\"{ink}\"{weight}{fade}>{escaped}</text>"
    )
}

/// The dots of a character of braille: bits 0 to 2 and 6 are the left column from above, the others
/// the right one.
fn dots(svg: &mut String, bits: u32, (x, y): (u32, u32), ink: &str) -> std::fmt::Result {
    const PLACES: [(f32, f32); 8] = [
        (0.0, 0.0),
        (0.0, 1.0),
        (0.0, 2.0),
        (1.0, 0.0),
        (1.0, 1.0),
        (1.0, 2.0),
        (0.0, 3.0),
        (1.0, 3.0),
    ];
    for (bit, (right, down)) in PLACES.into_iter().enumerate() {
        if bits & (1 << bit) != 0 {
            let (x, y) = (x as f32 + 2.25 + 4.5 * right, y as f32 + 2.25 + 4.5 * down);
            writeln!(
                svg,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"1.6\" fill=\"{ink}\"/>"
            )?;
        }
    }
    Ok(())
}

fn colour(colour: Color, usual: &str) -> String {
    match colour {
        Color::Default => usual.to_owned(),
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
        Color::Idx(index @ 0..16) => NAMED[usize::from(index)].to_owned(),
        Color::Idx(index @ 16..232) => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            let cube = index - 16;
            let [red, green, blue] = [cube / 36, cube / 6 % 6, cube % 6].map(level);
            format!("#{red:02x}{green:02x}{blue:02x}")
        }
        Color::Idx(grey) => {
            let grey = 8 + 10 * (grey - 232);
            format!("#{grey:02x}{grey:02x}{grey:02x}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_keeps_its_text_its_colours_and_its_dots() {
        let mut parser = vt100::Parser::new(2, 10, 0);
        parser.process("\x1b[38;5;208m<a\x1b[0m \u{2803}".as_bytes());
        let svg = svg(parser.screen());
        assert!(svg.contains("fill=\"#ff8700\">&lt;</text>"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2, "{svg}");
        assert_eq!(svg.matches("<text").count(), 2, "{svg}");
    }
}
