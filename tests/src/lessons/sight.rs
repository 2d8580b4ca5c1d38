//! Whether a terminal shows what a page says.

/// Stands for any text in a line, and alone on a line for any lines.
const ANY: &str = "…";

/// Whether the lines of `text` are those of the page.
pub(super) fn matches(page: &[String], text: &str) -> bool {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let page = trimmed(page);
    shown(page, &lines).is_some_and(|left| left == 0)
}

/// How many lines of the text are those of the page, if it begins with them.
pub(super) fn matches_start(page: &[String], text: &str) -> Option<usize> {
    let page = trimmed(page);
    // The last line may go on.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines: Vec<&str> = text.lines().take(whole.lines().count()).collect();
    (0..=lines.len()).find(|count| shown(page, &lines[..*count]) == Some(0))
}

/// Empty lines at the end are for the eye.
fn trimmed(page: &[String]) -> &[String] {
    let end = page.iter().rposition(|line| !line.trim().is_empty());
    &page[..end.map_or(0, |last| last + 1)]
}

/// `Some(0)` if all lines are those of the page.
fn shown(page: &[String], lines: &[&str]) -> Option<usize> {
    match page.split_first() {
        None => Some(lines.len()),
        Some((first, rest)) if first.trim() == ANY => {
            (0..=lines.len()).find_map(|skipped| match shown(rest, &lines[skipped..]) {
                Some(0) => Some(0),
                _ => None,
            })
        }
        Some((first, rest)) => {
            let (line, lines) = lines.split_first()?;
            if is_like(first, line) {
                shown(rest, lines)
            } else {
                None
            }
        }
    }
}

/// Whether a line is as the page says.
fn is_like(pattern: &str, line: &str) -> bool {
    let (pattern, line) = (pattern.trim_end(), line.trim_end());
    let mut parts = pattern.split(ANY);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn dots_stand_for_any_text_and_any_lines() {
        for (said, shown) in [
            ("", ""),
            ("a", "a\n"),
            ("a…", "a"),
            ("a…c…", "abcd"),
            ("k  t [0] @…  …Z  1", "k  t [0] @7  2026-11-30T01:41:57Z  1"),
            ("…", ""),
            ("…", "a\nb"),
            ("…\nb", "a\na\nb"),
            ("a\n…\nc\n\n", "a\nc"),
        ] {
            assert!(matches(&page(said), shown), "{said:?} {shown:?}");
        }
        for (said, shown) in [
            ("", "a"),
            ("a", ""),
            ("a", "b"),
            ("a", "a\na"),
            ("a…", "b"),
            ("a…c", "ab"),
            ("…\nb", "a"),
        ] {
            assert!(!matches(&page(said), shown), "{said:?} {shown:?}");
        }
    }

    #[test]
    fn a_command_that_runs_shows_the_rest_later() {
        assert_eq!(matches_start(&page("a\nb"), "a\nb\nc\n"), Some(2));
        assert_eq!(matches_start(&page("a\n…\nc"), "a\nb\nc\nd\n"), Some(3));
        assert_eq!(matches_start(&page(""), "a\n"), Some(0));
        assert_eq!(matches_start(&page("a"), "a"), None, "the line may go on");
        assert_eq!(matches_start(&page("a\nb"), "a\n"), None);
    }
}
