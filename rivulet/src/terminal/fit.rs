//! Text that fits into a number of columns of a terminal.
//!
//! A character can be two columns wide, or none. A name that is cut must not break a table.

use ratatui::style::Style;
use ratatui::text::Span;

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text, or its beginning and `…` if it takes more than `most` columns.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut left = most.saturating_sub(1);
    for grapheme in Span::raw(text).styled_graphemes(Style::new()) {
        let needed = width(grapheme.symbol);
        if needed > left {
            break;
        }
        left -= needed;
        kept.push_str(grapheme.symbol);
    }
    if most > 0 {
        kept.push('…');
    }
    kept
}

/// The text at the left of so many columns.
pub(crate) fn left(text: &str, columns: usize) -> String {
    let text = shortened(text, columns);
    let space = " ".repeat(columns - width(&text).min(columns));
    text + &space
}

/// The text at the right of so many columns.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let text = shortened(text, columns);
    let space = " ".repeat(columns - width(&text).min(columns));
    space + &text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_that_is_cut_says_so() {
        assert_eq!(shortened("seattle", 7), "seattle");
        assert_eq!(shortened("seattle", 6), "seatt…");
        assert_eq!(shortened("seattle", 1), "…");
        assert_eq!(shortened("seattle", 0), "");
        assert_eq!(shortened("温度計一", 6), "温度…");
        assert_eq!(right("°C", 4), "  °C");
    }

    proptest! {
        #[test]
        fn a_text_takes_exactly_its_columns(text in "\\PC{0,20}", columns in 0..24_usize) {
            prop_assert!(width(&shortened(&text, columns)) <= columns);
            prop_assert_eq!(width(&left(&text, columns)), columns);
            prop_assert_eq!(width(&right(&text, columns)), columns);
        }
    }
}
