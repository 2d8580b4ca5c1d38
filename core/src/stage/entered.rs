//! When the uncommitted records entered the pipeline: [`EntryTimes`].

use crate::metrics::Histogram;

/// When the records of the next commit entered the pipeline. Records come in runs of one time.
#[derive(Debug, Default)]
pub(super) struct EntryTimes(Vec<(i64, u64)>);

impl EntryTimes {
    /// A record that entered at this time is processed, in milliseconds since the epoch. It is −1
    /// if the record has no time.
    pub(super) fn push(&mut self, entered: i64) {
        match self.0.last_mut() {
            Some((last, count)) if *last == entered => *count += 1,
            _ => self.0.push((entered, 1)),
        }
    }

    /// They are committed at this time, in milliseconds since the epoch.
    pub(super) fn committed(&mut self, now: i64, end_to_end: &Histogram) {
        for (entered, count) in self.0.drain(..) {
            if entered >= 0 {
                end_to_end.observe((now - entered) as f64 / 1000.0, count);
            }
        }
    }

    /// They are not committed.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_takes_from_its_entry_to_the_commit() {
        let (mut entered, end_to_end) = (EntryTimes::default(), Histogram::default());
        entered.push(500);
        entered.clear();
        for time in [1000, 1000, 1001, -1, 3000] {
            entered.push(time);
        }
        assert_eq!(entered.0.len(), 4);
        // The machine that sent the last one is ahead.
        entered.committed(2001, &end_to_end);
        let snapshot = end_to_end.snapshot();
        assert_eq!(snapshot.count, 4);
        assert!((snapshot.sum - 3.002).abs() < 1e-9, "{}", snapshot.sum);
        entered.committed(9000, &end_to_end);
        assert_eq!(end_to_end.snapshot().count, 4, "each counts once");
    }
}
