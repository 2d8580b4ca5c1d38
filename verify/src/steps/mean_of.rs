//! The mean of readings with one time.

use serde::Deserialize;

use super::StepOutcome;
use crate::stream::Entry;

/// The settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MeanOf {
    pub(super) sensors: Option<u32>,
}

/// The readings of the last time.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Measurement {
    last: Option<Entry>,
    sum: f64,
    count: u32,
    is_complete: bool,
}

impl Measurement {
    /// Adds a reading. If a mean comes out, it takes the reading's place.
    ///
    /// `lost`: earlier readings were deleted, so what becomes of those with the first time is
    /// unknown. A result has the sequence number of its last reading, so it is found with that one,
    /// whenever it was written.
    pub(super) fn add(
        &mut self,
        sensors: Option<u32>,
        lost: &mut bool,
        entry: &mut Entry,
    ) -> StepOutcome {
        let reading = *entry;
        let mut outcome = StepOutcome::Drop;
        match self.last {
            Some(last) if last.time != reading.time => {
                if !self.is_complete && !*lost {
                    *entry = self.mean(last);
                    outcome = StepOutcome::Pass;
                }
                *self = Measurement::default();
                *lost = false;
            }
            _ if self.is_complete => return StepOutcome::Drop,
            _ if !(self.sum + reading.value).is_finite() => return StepOutcome::DeadLetter,
            _ => (),
        }
        self.last = Some(reading);
        self.sum += reading.value;
        self.count += 1;
        if *lost {
            return StepOutcome::Unknown;
        }
        if sensors.is_some_and(|sensors| self.count >= sensors) {
            self.is_complete = true;
            *entry = self.mean(reading);
            outcome = StepOutcome::Pass;
        }
        outcome
    }

    fn mean(&self, last: Entry) -> Entry {
        Entry {
            value: self.sum / f64::from(self.count),
            ..last
        }
    }
}
