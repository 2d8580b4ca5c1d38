//! The codes with which a program ends. 0: all is done, or committed and left in order.
//!
//! Those of an [error's kind](crate::error::Kind) are from `sysexits.h` where that has one.

/// It cannot go on, for a reason without a code of its own. A restart may help.
pub const FAILED: u8 = 1;

/// An option or a setting is wrong. The same as that of the option parser.
pub const USAGE: u8 = 2;

/// `rivulet verify` cannot say of everything what it must be. The rest is as it must be.
pub const UNVERIFIABLE: u8 = 3;

/// Data cannot be read, or is not what was written: `EX_DATAERR`.
pub const CORRUPT: u8 = 65;

/// A file, a topic or a group does not exist: `EX_NOINPUT`.
pub const MISSING: u8 = 66;

/// No broker answers, or no schema registry: `EX_UNAVAILABLE`.
pub const UNREACHABLE: u8 = 69;

/// Something exceeds a limit: `EX_CANTCREAT`.
pub const TOO_LARGE: u8 = 73;

/// It was asked to stop and left something undone, because nobody answers. The next start
/// processes again what is not committed: `EX_TEMPFAIL`.
pub const UNDONE: u8 = 75;

/// Another process has taken its place. Systemd does not start it again, because that would fence
/// the other one: `EX_PROTOCOL`.
pub const REPLACED: u8 = 76;

/// It was asked to stop twice: the code of a shell for SIGINT.
pub const INTERRUPTED: u8 = 130;

/// The user may not do it: `EX_NOPERM`.
pub const UNAUTHORIZED: u8 = 77;

/// Something else is there: another process, other settings, another state: `EX_CONFIG`.
pub const CONFLICT: u8 = 78;
