//! Lessons: pages with commands, and with what one sees. They are typed and compared.
//!
//! A page is Markdown. In a code block `console` a line that begins with `$ ` is typed, `> `
//! continues it, and `^C` interrupts the command. The other lines are what the terminal shows: `…`
//! stands for any text, and a line `…` for any lines. A block `console NAME` belongs to another
//! terminal. If a block goes on after a command, or is interrupted, the command still runs.

mod page;
mod sight;
mod terminal;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

pub use self::page::{Action, Step, steps};

use self::sight::{matches, matches_start};
use self::terminal::Terminal;
use crate::{Kafka, SchemaRegistry, guard};

/// The address of the broker on a page.
const BROKER: &str = "localhost:9092";
/// The URL of the schema registry on a page that needs one.
const REGISTRY: &str = "http://localhost:8081/apis/ccompat/v7";

/// How many lines of a terminal a difference shows.
const MOST: usize = 40;

/// What runs for a page.
struct Services {
    kafka: Kafka,
    registry: Option<SchemaRegistry>,
}

impl Services {
    fn start(page: &str) -> Self {
        Services {
            kafka: Kafka::start(&[]),
            registry: page.contains(REGISTRY).then(SchemaRegistry::start),
        }
    }

    /// The addresses on the page, each with the one here.
    fn addresses(&self) -> Vec<(&'static str, String)> {
        let registry = self.registry.as_ref();
        let registry = registry.map(|registry| (REGISTRY, registry.url()));
        registry
            .into_iter()
            .chain([(BROKER, self.kafka.brokers())])
            .collect()
    }

    /// A text of the page with the addresses here.
    fn here(&self, text: &str) -> String {
        let addresses = self.addresses().into_iter();
        addresses.fold(text.to_owned(), |text, (page, here)| {
            text.replace(page, &here)
        })
    }

    /// A text of a terminal with the addresses of the page.
    fn on_page(&self, text: &str) -> String {
        let addresses = self.addresses().into_iter();
        addresses.fold(text.to_owned(), |text, (page, here)| {
            text.replace(&here, page)
        })
    }
}

/// What was found on a page.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many commands were typed.
    pub commands: usize,
    /// What is not as the page says.
    pub differences: Vec<Difference>,
}

/// What is not as a page says.
#[derive(Debug)]
pub struct Difference {
    /// The line of the command.
    pub line: usize,
    /// What was done.
    pub action: Action,
    /// What the page says.
    pub expected: Vec<String>,
    /// What the terminal shows.
    pub found: String,
    /// What else is wrong.
    pub why: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "line {}: {}: {}", self.line, self.action, self.why)?;
        for line in &self.expected {
            writeln!(f, "  page     {line}")?;
        }
        for line in self.found.lines().take(MOST) {
            writeln!(f, "  terminal {line}")?;
        }
        if self.found.lines().nth(MOST).is_some() {
            writeln!(f, "  terminal … and more")?;
        }
        Ok(())
    }
}

/// Types what a page says on a broker of its own, and compares. A page with the URL of a registry
/// has one, too.
///
/// # Errors
/// If the page cannot be read.
pub fn run(path: &Path) -> Result<Outcome, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    let steps = steps(&text).map_err(|why| format!("{}: {why}", path.display()))?;
    let services = Services::start(&text);
    let folder = guard::folder("lesson");
    let mut terminals: BTreeMap<&str, Terminal> = BTreeMap::new();
    let mut outcome = Outcome::default();
    for (index, step) in steps.iter().enumerate() {
        let terminal = terminals
            .entry(&step.terminal)
            .or_insert_with(|| Terminal::open(&folder));
        let runs_on = steps[index + 1..]
            .iter()
            .find(|next| next.terminal == step.terminal)
            .is_some_and(|next| !matches!(next.action, Action::Type(_)));
        match &step.action {
            Action::Type(command) => {
                outcome.commands += 1;
                terminal.type_command(&services.here(command));
            }
            Action::Interrupt => terminal.interrupt(),
            Action::Look => (),
        }
        let seen = see(terminal, step, runs_on, &services);
        outcome.differences.extend(seen.err());
    }
    guard::remove(&folder);
    Ok(outcome)
}

/// Waits until the terminal shows what the page says.
fn see(
    terminal: &mut Terminal,
    step: &Step,
    runs_on: bool,
    services: &Services,
) -> Result<(), Difference> {
    let differs = |found: String, why: &str| Difference {
        line: step.line,
        action: step.action.clone(),
        expected: step.sees.clone(),
        found,
        why: why.to_owned(),
    };
    if runs_on {
        let expected = |text: &str| matches_start(&step.sees, &services.on_page(text));
        return terminal.wait_for(expected).map_err(|found| {
            differs(
                services.on_page(&found),
                "it does not show what the page says",
            )
        });
    }
    let Some((found, status)) = terminal.wait_for_end() else {
        let found = services.on_page(&terminal.text());
        return Err(differs(found, "it does not end"));
    };
    let found = services.on_page(&found);
    if !matches(&step.sees, &found) {
        return Err(differs(found, "it shows something else"));
    }
    let says_error = step.sees.iter().any(|line| line.starts_with("error: "));
    let was_interrupted = step.action == Action::Interrupt;
    if status != 0 && !says_error && !was_interrupted {
        return Err(differs(found, &format!("it ends with status {status}")));
    }
    Ok(())
}
