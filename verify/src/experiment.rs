//! Experiments: what their ground truth log says, against what their topic holds and what others
//! have computed from it.
//!
//! A producer of experiments writes a log of what it measures: the **ground truth**. It has the
//! stages of each experiment, the average of each measurement, the range events, and what each
//! sensor measured. [`TruthLogReader`] reads such logs. [`TruthLog::listings`] shows them.
//!
//! [`compare_topic`] reads the messages of the topic, computes the averages and the range events
//! again, from nothing but the sensors' messages and the thresholds, and compares them with the
//! log. [`ResultCheck`] compares the log with what somebody else's consumer has computed.
//!
//! Each difference is named once, where it begins. If a sensor's message is missing, the average
//! of that measurement cannot be right, and the range events after it may change. So the average
//! of the log stands in for one that cannot be computed.
//!
//! In memory a measurement takes some 400 bytes, and a sensor's message 16. The bytes of messages
//! and of lines are not kept: 6 million messages of 1,000 sensors take about 100 MB.

mod difference;
mod life_cycle;
mod line;
mod listing;
mod log;
mod message;
mod options;
mod range;
mod report;
mod results;
mod topic;
mod verdict;

pub use self::difference::{TruthDifference, TruthDifferenceKind, TruthPlace};
pub use self::listing::TruthListing;
pub use self::log::{TruthLog, TruthLogReader};
pub use self::options::{TOLERANCE, TruthOptions};
pub use self::report::{AverageCounts, RangeEventCounts, TruthReport, TruthRow};
pub use self::results::{ResultCheck, ResultKind, StudentResult};
pub use self::topic::compare_topic;

#[cfg(test)]
mod tests;
