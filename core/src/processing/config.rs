//! What the task of an operator stage needs to know of the stage.

use crate::dead_letter::DeadLetters;
use crate::format::Format;
use crate::guarantee::Guarantee;
use crate::rules::Rules;

/// What the task of an operator stage needs to know of the stage.
pub struct ProcessingConfig {
    /// The name of the stage.
    pub stage: String,
    /// The topics that it reads.
    pub inputs: Vec<InputTopic>,
    /// The topics that it writes.
    pub outputs: Vec<OutputTopic>,
    /// The topic of its state.
    pub changelog: String,
    /// Where records go that it cannot process.
    pub dead_letters: DeadLetters,
    /// What it does when its input is not as it should be.
    pub rules: Rules,
    /// What a crash may do to its results.
    pub guarantee: Guarantee,
    /// How many records a commit holds at most.
    pub commit_records: u64,
    /// How large its state may be, in bytes.
    pub state_bytes: u64,
}

/// A topic that a stage reads.
pub struct InputTopic {
    /// Its name.
    pub name: String,
    /// How readings are written in it.
    pub format: Box<dyn Format>,
}

/// A topic that a stage writes.
pub struct OutputTopic {
    /// Its name.
    pub name: String,
    /// How readings are written in it.
    pub format: Box<dyn Format>,
    /// The largest record that it accepts: key and value, in bytes.
    pub largest_record: usize,
}
