//! Log lines on standard error: as text for people, or as JSON for programs.

mod held;
mod json;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

pub use tracing::Level;
use tracing::Span;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::prelude::*;

pub use self::held::HeldLog;
use self::held::LogOutput;
use self::json::{JsonLayer, Origin};
use rivulet_core::text::{plain, plain_lines};
use rivulet_pipeline::Stage;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people
    #[default]
    Text,
    /// A JSON object for programs
    Json,
}

/// Whether the lines are JSON.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Whose lines they are.
static ORIGIN: RwLock<Origin> = RwLock::new(Origin::UNKNOWN);

/// What separates the help from an error as text.
const HELP: &str = "\n  help: ";

/// Logs to standard error, filtered by `RUST_LOG`, by default from `level` up. What others wrote is
/// [plain].
///
/// Under systemd the lines of text have no time, because the journal adds it.
pub fn to_stderr(level: Level, format: LogFormat) {
    let from_env = std::env::var("RUST_LOG")
        .ok()
        .and_then(|filter| filter.parse().ok());
    let filter = from_env.unwrap_or_else(|| Targets::new().with_default(level));
    let lines = match format {
        LogFormat::Text => text().boxed(),
        LogFormat::Json => JsonLayer::new(LogOutput::new, &ORIGIN).boxed(),
    };
    // Tests call this more than once. Only the first call counts.
    let is_first = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .is_ok();
    if is_first && format == LogFormat::Json {
        IS_JSON.store(true, Ordering::Relaxed);
        // The default one writes lines of text.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    }
}

fn text<S>() -> Box<dyn tracing_subscriber::Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'s> tracing_subscriber::registry::LookupSpan<'s>,
{
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(debug_fn(write_field).delimited(" "))
        .with_writer(LogOutput::new)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        lines.without_time().boxed()
    } else {
        lines.boxed()
    }
}

/// Says whose lines follow, for those in JSON: of `stage`, by its name in Kafka, if the process
/// runs only one, and of the process `instance`. Each line has them, whichever thread logs it.
pub fn identify(stage: Option<&str>, instance: &str) {
    let origin = Origin {
        stage: stage.map(str::to_owned),
        instance: Some(instance.to_owned()),
    };
    // Nothing that holds the lock can panic half-way.
    *ORIGIN.write().unwrap_or_else(PoisonError::into_inner) = origin;
}

/// The span of a stage in a process with several: each of its lines names the stage.
#[must_use]
pub fn span(stage: &Stage) -> Span {
    let name = if IS_JSON.load(Ordering::Relaxed) {
        stage.group()
    } else {
        stage.name.clone()
    };
    tracing::info_span!("stage", name)
}

/// Writes the error with which a program ends.
pub(crate) fn fatal(error: &str, exit_code: u8) {
    if IS_JSON.load(Ordering::Relaxed) {
        JsonLayer::new(std::io::stderr, &ORIGIN).fatal(error, exit_code);
    } else {
        eprintln!("error: {}", plain_lines(error));
    }
}

/// Writes a field of a log line. The help of an error has a line of its own, and nothing else has:
/// what others wrote must not begin a line, which the journal takes for one of ours.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    let (value, help) = match value.split_once(HELP) {
        Some((value, help)) => (value, Some(help)),
        None => (value.as_str(), None),
    };
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    writer.write_str(&plain(value))?;
    match help {
        Some(help) => write!(writer, "{HELP}{}", plain(help)),
        None => Ok(()),
    }
}
