//! The one error type of the house: what was being done, what went wrong, what to do about it.

use std::fmt;

use crate::exit;

/// An error written to the person who has to act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    doing: String,
    cause: String,
    help: Option<String>,
    code: u8,
}

/// A result whose error is an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// `doing` names the act and the topic or file ("opening readings.csv"), `cause` what went
    /// wrong.
    pub fn new(doing: impl Into<String>, cause: impl fmt::Display) -> Self {
        Error {
            doing: doing.into(),
            cause: cause.to_string(),
            help: None,
            code: exit::FAILED,
        }
    }

    /// Adds what the person can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
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

    /// Ends the process with this code, if it ends for this error.
    #[must_use]
    pub fn exit_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// The code with which the process ends, if it ends for this error.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.code
    }

    /// What was being done and went wrong, and what the person can do.
    #[must_use]
    pub fn into_parts(self) -> (String, Option<String>) {
        (format!("{}: {}", self.doing, self.cause), self.help)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.cause)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
