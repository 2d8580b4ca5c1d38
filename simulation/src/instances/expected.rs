//! Errors that a process may end with.

use rivulet_core::error::Error;
use rivulet_core::log::Fault;

use crate::faults::Margin;

/// Part of the error when records were deleted before a stage read them.
const DELETED: &str = "were deleted before";

/// Part of the error when a stage's offsets have expired.
const EXPIRED: &str = "no offset is committed any more";

/// Whether an error reports what happens at this margin. Then the process has ended for good until
/// somebody intervenes.
pub(super) fn is_reported(error: &Error, margin: Margin) -> bool {
    let error = error.to_string();
    let words: &[&str] = match margin {
        Margin::None | Margin::Sizes | Margin::Rejections => &[],
        Margin::Deletion => &[DELETED],
        Margin::Recreation => &[
            "the topic was deleted and created again",
            EXPIRED,
            "the stage's state already holds this record",
            "it is not the state that belongs to offset",
        ],
        Margin::Month => &[DELETED, EXPIRED],
        Margin::Partitions => &[
            "partitions when the state was written",
            "it has no partition",
        ],
    };
    words.iter().any(|words| error.contains(words))
}

/// Whether a process has ended because writing a topic is not authorized.
pub(super) fn is_unauthorized(error: &Error) -> bool {
    error.to_string().contains("TopicAuthorizationFailed")
}

/// Whether a process may end with this error, and restart.
pub(super) fn is_expected(error: &Error) -> bool {
    let text = error.to_string();
    is_unauthorized(error)
        || text.contains("taken this one's place")
        || text.contains(&Fault::Shutdown.to_string())
}
