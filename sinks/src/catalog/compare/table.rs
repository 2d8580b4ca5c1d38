//! A table of figures in fixed-width text.

use std::fmt;

/// The column headings.
pub const HEADS: [&str; 5] = ["mean", "last", "mean |x|", "rms", "lag"];

/// A title, a block of rows for each sensor, and a last line.
#[derive(Debug)]
pub struct Table {
    /// The first line.
    pub title: String,
    /// One for each sensor.
    pub blocks: Vec<Block>,
    /// The last line.
    pub closing: String,
}

/// The rows of one sensor.
#[derive(Debug)]
pub struct Block {
    /// The line above the rows.
    pub heading: String,
    /// The rows.
    pub rows: Vec<TableRow>,
}

/// A label, and a cell for each of the [`HEADS`].
pub type TableRow = (&'static str, Cells);

/// The cells for the [`HEADS`].
pub type Cells = [String; HEADS.len()];

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = || self.blocks.iter().flat_map(|block| &block.rows);
        let label_width = rows()
            .map(|(label, _)| label.len())
            .max()
            .unwrap_or_default();
        let mut widths = HEADS.map(str::len);
        for (_, cells) in rows() {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = cell.len().max(*width);
            }
        }
        let line = |label, cells| line(label, label_width, cells, widths);
        writeln!(f, "{}", self.title)?;
        for block in &self.blocks {
            writeln!(f, "\n{}", block.heading)?;
            if !block.rows.is_empty() {
                writeln!(f, "{}", line("", HEADS))?;
            }
            for (label, cells) in &block.rows {
                writeln!(f, "{}", line(label, cells.each_ref().map(String::as_str)))?;
            }
        }
        writeln!(f, "\n{}", self.closing)
    }
}

fn line(
    label: &str,
    label_width: usize,
    cells: [&str; HEADS.len()],
    widths: [usize; HEADS.len()],
) -> String {
    let mut columns = vec![format!("  {label:label_width$}")];
    for (cell, width) in cells.iter().zip(widths) {
        columns.push(format!("{cell:>width$}"));
    }
    columns.join("  ").trim_end().to_owned()
}

/// A figure with four decimals, or in scientific notation if it is large.
#[must_use]
pub fn figure(number: f64) -> String {
    let text = if number.abs() < 1e9 {
        format!("{number:.4}")
    } else {
        format!("{number:.4e}")
    };
    // A number that rounds to zero has no sign.
    if text == "-0.0000" {
        text[1..].to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let row = |label, cells: [&str; 5]| (label, cells.map(str::to_owned));
        let table = Table {
            title: "title".into(),
            blocks: vec![
                Block {
                    heading: "a".into(),
                    rows: vec![row("ewma", ["1.0", "123456.0", "", "", "1"])],
                },
                Block {
                    heading: "b: nothing".into(),
                    rows: vec![],
                },
                Block {
                    heading: "c".into(),
                    rows: vec![row("difference", ["-1.0", "2.0", "3.0", "4.0", ""])],
                },
            ],
            closing: "closing".into(),
        };
        let expected = "title

a
              mean      last  mean |x|  rms  lag
  ewma         1.0  123456.0                   1

b: nothing

c
              mean      last  mean |x|  rms  lag
  difference  -1.0       2.0       3.0  4.0

closing
";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(figure(57.8), "57.8000");
        assert_eq!(figure(-1e-15), "0.0000");
        assert_eq!(figure(-1e300), "-1.0000e300");
        assert_eq!(figure(f64::INFINITY), "inf");
    }
}
