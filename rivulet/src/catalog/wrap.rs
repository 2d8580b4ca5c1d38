//! Text in lines of at most 100 columns.

use std::fmt;

/// The width of a line.
const WIDTH: usize = 100;

/// A paragraph or an item of a list, in lines.
#[derive(Debug)]
pub(super) struct Wrapped<'t> {
    text: &'t str,
    /// What the first line begins with, and spaces that the others begin with.
    beginning: &'static str,
}

impl<'t> Wrapped<'t> {
    /// A paragraph.
    pub(super) fn new(text: &'t str) -> Self {
        Wrapped {
            text,
            beginning: "",
        }
    }

    /// An item of a list.
    pub(super) fn item(text: &'t str) -> Self {
        Wrapped {
            text,
            beginning: "- ",
        }
    }
}

impl fmt::Display for Wrapped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.beginning)?;
        let mut column = self.beginning.len();
        let start = column;
        for word in self.text.split_whitespace() {
            let length = word.chars().count();
            if column > start && column + 1 + length > WIDTH {
                write!(f, "\n{:start$}", "")?;
                column = start;
            } else if column > start {
                f.write_str(" ")?;
                column += 1;
            }
            f.write_str(word)?;
            column += length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_at_most_a_hundred_columns() {
        let text = "word ".repeat(50);
        let shown = Wrapped::item(&text).to_string();
        assert!(shown.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(shown.split_whitespace().count(), 51);
        assert!(shown.lines().skip(1).all(|line| line.starts_with("  word")));
    }
}
