//! What was seen of the consumer groups last: [`SeenGroups`].
//!
//! They are looked at in a thread of its own. While the transaction of a process that was killed is
//! open, Kafka does not tell the offsets of its group, and how the processes are must be seen
//! meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rivulet_core::error::Result;
use rivulet_core::shutdown::Shutdown;
use rivulet_pipeline::Stage;

use super::pause;
use crate::CheckedPipeline;
use crate::groups::{GroupWatch, GroupsReport, Snapshot};

/// What was seen of the groups last. `None` before the first look.
pub(super) type SeenGroups = Mutex<Option<Arc<GroupsLook>>>;

/// What was seen of the groups, and when since the watch began.
pub(super) struct GroupsLook {
    pub(super) at: Duration,
    pub(super) seen: Result<(Snapshot, GroupsReport)>,
}

/// Looks at the groups every `interval` until it is asked to stop.
pub(super) fn look_at_groups(
    pipeline: &CheckedPipeline<'_>,
    groups: &SeenGroups,
    interval: Duration,
    stop: &Shutdown,
) {
    let stages = pipeline.in_order().into_iter();
    let readers: Vec<&Stage> = stages.filter(|stage| !stage.from.is_empty()).collect();
    let mut watch = GroupWatch::new(pipeline, &readers);
    let start = Instant::now();
    while !stop.is_stopping() {
        let begun = Instant::now();
        let seen = watch.look().map(|snapshot| {
            let report = GroupsReport::new(&readers, &watch, &snapshot);
            (snapshot, report)
        });
        let at = start.elapsed();
        let mut last = groups.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Arc::new(GroupsLook { at, seen }));
        drop(last);
        pause(interval.saturating_sub(begun.elapsed()), stop);
    }
}
