//! The one error type of the house: what was being done, what went wrong, what to do about it.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::exit;
use crate::text::plain;

/// An error written to the person who has to act on it.
///
/// Two errors are equal if they read the same and are of one kind.
#[derive(Debug, Clone)]
pub struct Error {
    doing: String,
    cause: String,
    help: Option<String>,
    kind: Kind,
    code: Option<u8>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// A result whose error is an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong, as far as a program can act on it. The [exit code](Kind::exit_code) follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// None of the others.
    #[default]
    Other,
    /// An option or a setting is wrong.
    Usage,
    /// Data cannot be read, or is not what was written: a file, a record, a state.
    Corrupt,
    /// A file, a topic, a partition or a group does not exist.
    Missing,
    /// No broker answers, or a schema registry or a device does not.
    Unreachable,
    /// Something exceeds a limit: a record, the state, a disk.
    TooLarge,
    /// A user may not do it.
    Unauthorized,
    /// Something else is there: another process, other settings, another state.
    Conflict,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 8] = [
        Kind::Other,
        Kind::Usage,
        Kind::Corrupt,
        Kind::Missing,
        Kind::Unreachable,
        Kind::TooLarge,
        Kind::Unauthorized,
        Kind::Conflict,
    ];

    /// The code with which a program ends, from `sysexits.h` where that has one.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Other => exit::FAILED,
            Kind::Usage => exit::USAGE,
            Kind::Corrupt => exit::CORRUPT,
            Kind::Missing => exit::MISSING,
            Kind::Unreachable => exit::UNREACHABLE,
            Kind::TooLarge => exit::TOO_LARGE,
            Kind::Unauthorized => exit::UNAUTHORIZED,
            Kind::Conflict => exit::CONFLICT,
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Other => "other",
            Kind::Usage => "usage",
            Kind::Corrupt => "corrupt",
            Kind::Missing => "missing",
            Kind::Unreachable => "unreachable",
            Kind::TooLarge => "too-large",
            Kind::Unauthorized => "unauthorized",
            Kind::Conflict => "conflict",
        }
    }

    /// In a few words, for the manual.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Kind::Other => "it failed, for a reason without a code of its own",
            Kind::Usage => "an option or a property of librdkafka is wrong",
            Kind::Corrupt => "a file, a record or a state cannot be read",
            Kind::Missing => "a file, a topic or a group does not exist",
            Kind::Unreachable => "no broker answers, or no schema registry",
            Kind::TooLarge => "a record, the state, a disk or the memory is full",
            Kind::Unauthorized => "the user may not do it",
            Kind::Conflict => "another process, other settings or another state is there",
        }
    }
}

/// Every code that a program ends with, and what it means, for the manual.
#[must_use]
pub fn exit_codes() -> Vec<(u8, &'static str)> {
    let mut codes = vec![
        (0, "all is done, or committed and left in order"),
        (
            exit::UNDONE,
            "it was stopped while nobody answered: the next start processes the rest",
        ),
        (
            exit::UNVERIFIABLE,
            "not everything could be verified; what could is as it must be",
        ),
        (exit::REPLACED, "another process has taken its place"),
        (exit::INTERRUPTED, "it was asked to stop twice"),
    ];
    codes.extend(Kind::ALL.map(|kind| (kind.exit_code(), kind.about())));
    codes.sort_unstable();
    codes
}

impl From<io::ErrorKind> for Kind {
    fn from(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::NotFound => Kind::Missing,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Kind::Unauthorized
            }
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Kind::TooLarge,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Kind::Corrupt,
            io::ErrorKind::AlreadyExists => Kind::Conflict,
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut => Kind::Unreachable,
            _ => Kind::Other,
        }
    }
}

impl Error {
    /// `doing` names the act and the topic or file ("opening readings.csv"), `cause` what went
    /// wrong. Both may quote what others wrote: they are shown as [plain] text on one line.
    pub fn new(doing: impl Into<String>, cause: impl fmt::Display) -> Self {
        Error {
            doing: plain(&doing.into()).into_owned(),
            cause: plain(&cause.to_string()).into_owned(),
            help: None,
            kind: Kind::Other,
            code: None,
            source: None,
        }
    }

    /// As [`new`](Self::new), with the error that is the cause as [source](StdError::source). The
    /// kind follows from an error of the operating system.
    pub fn caused_by(
        doing: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        let error = Error::new(doing, &source);
        let io = (&source as &dyn Any).downcast_ref::<io::Error>();
        Error {
            kind: io.map_or(Kind::Other, |io| io.kind().into()),
            source: Some(Arc::new(source)),
            ..error
        }
    }

    /// Adds what the person can do, as [plain] text on one line.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(plain(&help.into()).into_owned());
        self
    }

    /// Adds what the person can do, unless that has been said already.
    #[must_use]
    pub fn or_help(self, help: impl Into<String>) -> Self {
        if self.help.is_some() {
            self
        } else {
            self.help(help)
        }
    }

    /// Says that it happened in a larger act.
    #[must_use]
    pub fn within(mut self, act: &str) -> Self {
        self.doing = format!("{}: {}", plain(act), self.doing);
        self
    }

    /// Says of what kind it is.
    #[must_use]
    pub fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Of what kind it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Ends the process with this code instead of that of the kind.
    #[must_use]
    pub fn exit_code(mut self, code: u8) -> Self {
        self.code = Some(code);
        self
    }

    /// The code with which the process ends if it ends for this error.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.code.unwrap_or_else(|| self.kind.exit_code())
    }

    /// What was being done and went wrong, and what the person can do.
    #[must_use]
    pub fn into_parts(self) -> (String, Option<String>) {
        (format!("{}: {}", self.doing, self.cause), self.help)
    }
}

impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        let text = |error: &Self| (error.kind, error.code());
        text(self) == text(other)
            && self.doing == other.doing
            && self.cause == other.cause
            && self.help == other.help
    }
}

impl Eq for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.cause)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_act_cause_and_remedy() {
        let error = Error::new("opening readings.csv", "it is a directory").help("name a file");
        let text = "opening readings.csv: it is a directory\n  help: name a file";
        assert_eq!(error.to_string(), text);
        assert_eq!((error.kind(), error.code()), (Kind::Other, 1));
    }

    #[test]
    fn an_act_within_another_names_both() {
        let error = Error::new("committing", "no answer").within("forgetting \n");
        assert_eq!(error.to_string(), "forgetting \\n: committing: no answer");
    }

    #[test]
    fn what_others_wrote_begins_no_line() {
        let error = Error::new("reading `a\nb`", "\u{1b}[2J\rerror: c").help("\u{202e}d");
        let text = "reading `a\\nb`: \\u{1b}[2J\\rerror: c\n  help: \\u{202e}d";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn the_kind_follows_from_the_operating_system() {
        let missing = std::fs::File::open("/nowhere/at/all").unwrap_err();
        let error = Error::caused_by("opening /nowhere/at/all", missing);
        assert_eq!((error.kind(), error.code()), (Kind::Missing, 66));
        let source = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::NotFound));
    }

    #[test]
    fn each_kind_has_an_exit_code_of_its_own() {
        let mut codes = Kind::ALL.map(Kind::exit_code).to_vec();
        codes.extend([exit::UNDONE, exit::REPLACED, exit::INTERRUPTED]);
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Kind::ALL.len() + 3);
        assert!(!codes.contains(&0));
    }
}
