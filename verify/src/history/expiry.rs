//! When sensors expire, and the readings that say so.

use std::collections::{BTreeMap, BTreeSet};

use rivulet_core::dead_letter::{Migration, MigrationKind};

/// Expiry of sensors whose last reading is much older than the newest of their partition.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// How much older, in milliseconds.
    pub(super) ttl: i64,
    /// The newest time of a reading, by input and partition.
    pub(super) now: BTreeMap<(String, i32), i64>,
    /// The newest time of each sensor's readings, by input and partition.
    pub(super) last: BTreeMap<(String, i32), BTreeMap<String, i64>>,
    /// How many migrations have been passed, by input and partition.
    pub(super) migrations: BTreeMap<(String, i32), usize>,
    /// How many readings have been observed, by input and sensor.
    pub(super) count: BTreeMap<(String, u32), usize>,
    /// Indices of readings among those of their sensor: the sensor had expired before each of them.
    pub(super) expired: BTreeMap<(String, u32), BTreeSet<usize>>,
}

/// A reading at its position in an input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeenReading<'s> {
    pub(crate) topic: &'s str,
    /// The sensor's number and name.
    pub(crate) sensor: (u32, &'s str),
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Its time, at most its record's timestamp, in milliseconds since the epoch.
    pub(crate) time: i64,
    /// Whether its sensor is the key of its record.
    pub(crate) is_keyed: bool,
}

impl Expiry {
    /// Records a reading. `migrations` are those before it.
    pub(super) fn observe(&mut self, seen: SeenReading<'_>, migrations: &[&Migration]) {
        let SeenReading {
            topic,
            sensor: (sensor, name),
            partition,
            time,
            ..
        } = seen;
        let place = (topic.to_owned(), partition);
        let last = self.last.entry(place.clone()).or_default();
        let passed = self
            .migrations
            .insert(place.clone(), migrations.len())
            .unwrap_or_default();
        for migration in &migrations[passed.min(migrations.len())..] {
            match migration.remedy {
                MigrationKind::Kept => (),
                MigrationKind::Reset | MigrationKind::Anew => last.clear(),
                MigrationKind::Forgotten => {
                    last.retain(|name, _| !migration.sensors.contains(name));
                }
            }
            // The stage was restarted: it knows the newest time of the sensors in its state.
            self.now.insert(
                place.clone(),
                last.values().copied().max().unwrap_or(i64::MIN),
            );
        }
        let now = self.now.entry(place).or_insert(i64::MIN);
        *now = time.max(*now);
        let count = self.count.entry((topic.to_owned(), sensor)).or_default();
        let before = last.get(name).copied();
        if before.is_some_and(|before| before.saturating_add(self.ttl) < *now) {
            self.expired
                .entry((topic.to_owned(), sensor))
                .or_default()
                .insert(*count);
        }
        last.insert(
            name.to_owned(),
            before.map_or(time, |before| before.max(time)),
        );
        *count += 1;
    }
}
