//! The codes with which a program ends, beside 0: all is done, or committed and left in order.

/// It cannot go on, and has said why; a restart may help.
pub const FAILED: u8 = 1;

/// It was asked to stop and had to leave something undone, because no broker answered: what was not
/// committed is done again by the next start. `EX_TEMPFAIL` of `sysexits.h`.
pub const UNDONE: u8 = 75;

/// Another process has taken its place, and starting it again would take that away: systemd does
/// not. `EX_PROTOCOL` of `sysexits.h`.
pub const REPLACED: u8 = 76;
