//! The keys and tables at the top of a file.

/// The keys at the top of the file.
pub(crate) const TOP: [&str; 10] = [
    "prefix",
    "guarantee",
    "kafka",
    "commit",
    "limits",
    "defaults",
    "topic",
    "producer",
    "operator",
    "sink",
];
