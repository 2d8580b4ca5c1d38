//! Errors in a pipeline file, and how they are shown.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rivulet_core::error::Error;

/// A pipeline file's name and text.
#[derive(Debug, Default)]
pub struct Text {
    /// Where it was read from.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl Text {
    /// The folder that the file is in: relative paths in it start here.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    place: Option<Range<usize>>,
    message: String,
    help: Option<String>,
}

impl Diagnostic {
    /// An error at a range of bytes of the text.
    pub fn at(place: Range<usize>, message: impl Into<String>) -> Self {
        Diagnostic {
            place: Some(place),
            message: message.into(),
            help: None,
        }
    }

    /// An error of the file as a whole.
    pub fn nowhere(message: impl Into<String>) -> Self {
        Diagnostic {
            place: None,
            message: message.into(),
            help: None,
        }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Where it is in the text, in bytes; `None` for an error of the file as a whole.
    #[must_use]
    pub fn place(&self) -> Option<Range<usize>> {
        self.place.clone()
    }

    /// Says that the error is in another file, which the text names.
    #[must_use]
    pub(crate) fn of_file(mut self, name: &str) -> Self {
        self.message = format!("{name}: {}", self.message);
        self
    }

    /// Gives the error a place if it has none of its own.
    #[must_use]
    pub fn or_at(mut self, place: Range<usize>) -> Self {
        self.place.get_or_insert(place);
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        write_help(f, "  ", self.help.as_deref())
    }
}

impl std::error::Error for Diagnostic {}

impl From<toml::de::Error> for Diagnostic {
    fn from(error: toml::de::Error) -> Self {
        // A remedy may follow the message after a semicolon: the settings' own checks write it so.
        let (message, help) = match error.message().split_once("; ") {
            Some((message, help)) => (message, Some(help.to_owned())),
            None => (error.message(), meant(error.message()).map(did_you_mean)),
        };
        // People who write pipeline files do not know Rust's names of types.
        let message = message
            .trim_end()
            .replace("expected f64", "expected a number");
        let message = message.replace("expected i64", "expected a whole number");
        Diagnostic {
            place: error.span(),
            message: message.replace("expected u64", "expected a whole number"),
            help,
        }
    }
}

/// What was probably meant by the name that serde does not know. Its message has that name first
/// and then all that it knows, each in backticks.
pub(super) fn meant(message: &str) -> Option<&str> {
    if !message.starts_with("unknown") {
        return None;
    }
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (unknown, known) = names.split_first()?;
    closest(unknown, known)
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let (message, help) = error.into_parts();
        Diagnostic {
            place: None,
            message,
            help,
        }
    }
}

/// All errors of a pipeline file, or of a component in it.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    text: Arc<Text>,
    diagnostics: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The errors of one text, each once, in the order of the text.
    #[must_use]
    pub fn new(text: Arc<Text>, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|diagnostic| diagnostic.place.as_ref().map(|place| place.start));
        let mut sorted: Vec<Diagnostic> = Vec::with_capacity(diagnostics.len());
        for diagnostic in diagnostics {
            let mut before = sorted
                .iter()
                .rev()
                .take_while(|other| other.place == diagnostic.place);
            if !before.any(|other| *other == diagnostic) {
                sorted.push(diagnostic);
            }
        }
        Diagnostics {
            text,
            diagnostics: sorted,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.diagnostics.len()
    }

    /// In order, those of the file as a whole first.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.diagnostics.into_iter()
    }
}

/// Each error with its line and its remedy; below several, how many there are.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.text.path.display())?;
            let Some(place) = &diagnostic.place else {
                write!(f, ": {}", diagnostic.message)?;
                write_help(f, "  ", diagnostic.help.as_deref())?;
                continue;
            };
            let text = &self.text.text;
            let start = text.floor_char_boundary(place.start);
            let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
            let line = text[line_start..].lines().next().unwrap_or_default();
            let number = text[..line_start].matches('\n').count() + 1;
            let column = text[line_start..start].chars().count();
            // A place can be at the line's end, after everything that is shown of it.
            let end = text
                .floor_char_boundary(place.end)
                .min(line_start + line.len())
                .max(start);
            let marks = text[start..end].chars().count().max(1);
            let margin = " ".repeat(number.to_string().len());
            writeln!(f, ":{number}:{}: {}", column + 1, diagnostic.message)?;
            writeln!(f, "{number} | {line}")?;
            write!(f, "{margin} | {}{}", " ".repeat(column), "^".repeat(marks))?;
            write_help(f, &format!("{margin} = "), diagnostic.help.as_deref())?;
        }
        match self.count() {
            0 | 1 => Ok(()),
            count => write!(f, "\n{count} errors in {}", self.text.path.display()),
        }
    }
}

fn write_help(f: &mut fmt::Formatter<'_>, margin: &str, help: Option<&str>) -> fmt::Result {
    match help {
        Some(help) => write!(f, "\n{margin}help: {help}"),
        None => Ok(()),
    }
}

impl std::error::Error for Diagnostics {}

/// The known name that was probably meant by another.
pub(super) fn closest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .map(|(_, closest)| closest)
}

/// The known name of which another is almost certainly a typing error: closer than [`closest`], as
/// names of topics can be like each other.
pub(super) fn typing_error<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    closest(name, known).filter(|known| {
        let distance = strsim::damerau_levenshtein(name, known);
        (1..=2).contains(&distance) && distance < known.len()
    })
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// The remedy for a name that is not known: the one that was probably meant, or all there are.
#[must_use]
pub fn suggest(name: &str, known: &[&str]) -> String {
    match closest(name, known) {
        Some(closest) => did_you_mean(closest),
        None if known.is_empty() => "there are none".to_owned(),
        None => {
            let names: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
            format!(
                "there {} {}",
                if known.len() == 1 { "is only" } else { "are" },
                names.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_at_a_line_end_of_windows_is_shown() {
        let text = Text {
            path: "p.toml".into(),
            text: "a\r\r\nb".into(),
        };
        let shown =
            Diagnostics::new(Arc::new(text), vec![Diagnostic::at(2..4, "what")]).to_string();
        assert!(shown.starts_with("p.toml:1:3: what\n"), "{shown}");
        let text = Text {
            path: "p.toml".into(),
            text: "a\r\nb".into(),
        };
        let shown =
            Diagnostics::new(Arc::new(text), vec![Diagnostic::at(2..3, "what")]).to_string();
        assert!(shown.starts_with("p.toml:1:3: what\n"), "{shown}");
    }

    #[test]
    fn an_error_is_shown_with_its_line_and_column() {
        let text = Arc::new(Text {
            path: "a.toml".into(),
            text: "x = 1\nå = 2 # two\n".into(),
        });
        let diagnostics = Diagnostics::new(
            text,
            vec![Diagnostic::at(11..12, "two is too much").help("say 1")],
        );
        assert_eq!(
            diagnostics.to_string(),
            "a.toml:2:5: two is too much\n2 | å = 2 # two\n  |     ^\n  = help: say 1"
        );
    }

    #[test]
    fn a_near_miss_is_suggested_and_a_far_one_lists_all() {
        assert_eq!(
            suggest("emwa", &["average", "ewma"]),
            "did you mean `ewma`?"
        );
        assert_eq!(
            suggest("median", &["average", "ewma"]),
            "there are `average`, `ewma`"
        );
    }
}
