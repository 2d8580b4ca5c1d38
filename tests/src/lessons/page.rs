//! What a page tells one to do.

use std::fmt;

/// A step: what one does, and what one then sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The line of the page, from 1.
    pub line: usize,
    /// The name of the terminal. The first has none.
    pub terminal: String,
    /// What one does.
    pub action: Action,
    /// What one sees.
    pub sees: Vec<String>,
}

/// What one does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Types a command.
    Type(String),
    /// Interrupts the command that runs.
    Interrupt,
    /// Looks at what the command shows that runs.
    Look,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Type(command) => write!(f, "{}", command.replace('\n', "; ")),
            Action::Interrupt => f.write_str("^C"),
            Action::Look => f.write_str("the command that runs"),
        }
    }
}

/// The steps of a page.
///
/// # Errors
/// If it has none, or a block does not end.
pub fn steps(text: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut terminal: Option<String> = None;
    let mut is_other = false;
    for (line, number) in text.lines().zip(1..) {
        if let Some(fence) = line.strip_prefix("```") {
            let words: Vec<&str> = fence.split_whitespace().collect();
            match (&terminal, is_other, &words[..]) {
                (None, false, ["console", name @ ..]) => {
                    terminal = Some(name.join(" "));
                    steps.push(step(number + 1, terminal.as_ref(), Action::Look));
                }
                (None, false, _) => is_other = true,
                _ => (terminal, is_other) = (None, false),
            }
            continue;
        }
        let Some(name) = &terminal else {
            continue;
        };
        let last = steps.last_mut();
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(step(number, Some(name), Action::Type(command.to_owned())));
        } else if line == "^C" {
            steps.push(step(number, Some(name), Action::Interrupt));
        } else if let (
            Some(more),
            Some(Step {
                action: Action::Type(command),
                sees,
                ..
            }),
        ) = (continued(line), last)
            && sees.is_empty()
        {
            *command = format!("{command}\n{more}");
        } else if let Some(step) = steps.last_mut() {
            step.sees.push(line.to_owned());
        }
    }
    if terminal.is_some() || is_other {
        return Err("a code block does not end".to_owned());
    }
    // A block that begins with a command shows nothing before.
    steps.retain(|step| step.action != Action::Look || !step.sees.is_empty());
    if steps.is_empty() {
        return Err("there is no code block `console` with a command".to_owned());
    }
    Ok(steps)
}

/// What a line adds to the command before it.
fn continued(line: &str) -> Option<&str> {
    line.strip_prefix("> ")
        .or_else(|| line.strip_prefix('>').filter(|rest| rest.is_empty()))
}

fn step(line: usize, terminal: Option<&String>, action: Action) -> Step {
    Step {
        line,
        terminal: terminal.cloned().unwrap_or_default(),
        action,
        sees: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_commands_terminals_and_what_they_show() {
        let page = "# Title\n\n```toml\n$ not typed\n```\n\n```console\n$ one\na\n\n$ two \\\n>\n> \
                    more\n```\n\
                    text\n```console second\n$ live\n```\n\n```console second\nb\n^C\nc\n```\n";
        let step = |line, terminal: &str, action, sees: &[&str]| Step {
            line,
            terminal: terminal.to_owned(),
            action,
            sees: sees.iter().map(|line| (*line).to_owned()).collect(),
        };
        let expected = [
            step(8, "", Action::Type("one".into()), &["a", ""]),
            step(11, "", Action::Type("two \\\n\nmore".into()), &[]),
            step(17, "second", Action::Type("live".into()), &[]),
            step(21, "second", Action::Look, &["b"]),
            step(22, "second", Action::Interrupt, &["c"]),
        ];
        assert_eq!(steps(page).unwrap(), expected);
    }

    #[test]
    fn a_page_without_commands_is_an_error() {
        for page in ["", "```sh\nls\n```", "```console\n$ ls"] {
            assert!(steps(page).is_err(), "{page}");
        }
    }
}
