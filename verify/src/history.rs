//! The steps that a stage has now, and those that it had before its settings were changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rivulet_core::dead_letter::{Migration, MigrationKind};
use rivulet_core::rules::Rules;

use crate::steps::{Step, StepOutcome, StepState};
use crate::truth::{Entry, Series, StageCounts};

/// The steps of a stage, past and present, and which readings were processed with which.
#[derive(Debug, Default)]
pub(crate) struct StageHistory {
    /// The oldest first.
    past: Vec<PastVersion>,
    now: Vec<Step>,
    /// For each input and sensor, how many of its readings came before each migration.
    before: BTreeMap<(String, u32), Vec<usize>>,
    /// Which sensors have expired (`state-ttl`), and when.
    expiry: Option<Expiry>,
    /// Whether readings are invalid unless their sensor is the key of their record.
    requires_key: bool,
    /// Why the output cannot be computed, if it cannot.
    unverifiable: Option<String>,
}

/// Expiry of sensors whose last reading is much older than the newest of their partition.
#[derive(Debug, Default)]
struct Expiry {
    /// How much older, in milliseconds.
    ttl: i64,
    /// The newest time of a reading, by input and partition.
    now: BTreeMap<(String, i32), i64>,
    /// The newest time of each sensor's readings, by input and partition.
    last: BTreeMap<(String, i32), BTreeMap<String, i64>>,
    /// How many migrations have been passed, by input and partition.
    migrations: BTreeMap<(String, i32), usize>,
    /// How many readings have been observed, by input and sensor.
    count: BTreeMap<(String, u32), usize>,
    /// Indices of readings among those of their sensor: the sensor had expired before each of them.
    expired: BTreeMap<(String, u32), BTreeSet<usize>>,
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

/// The steps of a stage until a migration of its state.
#[derive(Debug)]
struct PastVersion {
    /// The steps, or why they are unknown.
    steps: Result<Vec<Step>, String>,
    migration: Migration,
}

impl StageHistory {
    /// The history of a stage with these steps and the migrations of its dead-letter topic, in
    /// order.
    pub(crate) fn new(now: Vec<Step>, migrations: Vec<Migration>) -> Self {
        let is_read_again = migrations
            .iter()
            .any(|migration| migration.remedy == MigrationKind::Anew);
        let past = migrations.into_iter().map(|migration| PastVersion {
            steps: match &migration.chain {
                Some(chain) => Step::described(chain)
                    .ok_or_else(|| format!("it was `{chain}`, which verify does not know")),
                None => Err("its steps before its state was reset are unknown".to_owned()),
            },
            migration,
        });
        let unverifiable = is_read_again.then(|| {
            "its state was reset and its inputs were read again, so its earlier output is still \
             there"
                .to_owned()
        });
        StageHistory {
            past: past.collect(),
            now,
            unverifiable,
            ..StageHistory::default()
        }
    }

    /// Whether readings are invalid unless their sensor is the key of their record.
    pub(crate) fn requires_key(&self) -> bool {
        self.requires_key
    }

    /// Applies the rules of the stage.
    pub(crate) fn with(mut self, rules: Rules) -> Self {
        self.expiry = rules.state_ttl.map(|ttl| Expiry {
            ttl: i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX),
            ..Expiry::default()
        });
        self.requires_key = rules.require_key;
        self
    }

    /// Whether it must [observe](Self::observe) the readings of its inputs.
    pub(crate) fn must_observe(&self) -> bool {
        self.is_changed() || self.expiry.is_some()
    }

    /// Whether its sensors expire (`state-ttl`).
    pub(crate) fn expires(&self) -> bool {
        self.expiry.is_some()
    }

    /// Why it must observe readings, if it must.
    pub(crate) fn reason(&self) -> &'static str {
        if self.is_changed() {
            "its settings were changed"
        } else {
            "its sensors expire by state-ttl"
        }
    }

    /// Whether its state was ever kept under other settings, reset or forgotten.
    pub(crate) fn is_changed(&self) -> bool {
        !self.past.is_empty()
    }

    /// Each migration, as text.
    pub(crate) fn migrations(&self) -> impl Iterator<Item = String> {
        let migrations = self.past.iter().map(|past| &past.migration);
        migrations.map(
            |migration| match (migration.remedy, migration.sensors.first()) {
                (MigrationKind::Forgotten, Some(first)) => format!(
                    "was made to forget {} sensors, such as \"{first}\"",
                    migration.sensors.len()
                ),
                (remedy, _) => {
                    let chain = migration.chain.as_ref();
                    let was =
                        chain.map_or("another chain".to_owned(), |chain| format!("`{chain}`"));
                    let became = if remedy == MigrationKind::Kept {
                        "kept"
                    } else {
                        "reset"
                    };
                    format!("was {was} until its state was {became}")
                }
            },
        )
    }

    fn all(&self) -> impl Iterator<Item = &Step> {
        self.past
            .iter()
            .filter_map(|past| past.steps.as_ref().ok())
            .flatten()
            .chain(&self.now)
    }

    /// Whether the order of readings matters.
    pub(crate) fn is_ordered(&self) -> bool {
        self.is_changed() || self.all().any(|step| step.is_stateful())
    }

    /// Whether results depend on sequence numbers.
    pub(crate) fn is_noisy(&self) -> bool {
        self.all().any(|step| matches!(step, Step::Noise { .. }))
    }

    /// Records the position of a reading in an input. Must be called for the readings of a
    /// partition in the order of their offsets.
    pub(crate) fn observe(&mut self, seen: SeenReading<'_>) {
        if self.requires_key && !seen.is_keyed {
            return;
        }
        let place = (seen.topic.to_owned(), seen.partition);
        let key = (place.0.clone(), seen.sensor.0);
        let before = self
            .before
            .entry(key)
            .or_insert_with(|| vec![0; self.past.len()]);
        let mut migrations = Vec::new();
        for (count, PastVersion { migration, .. }) in before.iter_mut().zip(&self.past) {
            let from = migration.offsets.get(&place);
            if from.is_some_and(|from| seen.offset < *from) {
                *count += 1;
            } else {
                migrations.push(migration);
            }
        }
        if let Some(expiry) = &mut self.expiry {
            expiry.observe(seen, &migrations);
        }
    }

    /// Removes an observed reading, given by its index among those of its sensor.
    pub(crate) fn remove_observed(&mut self, topic: &str, sensor: u32, index: usize) {
        let key = (topic.to_owned(), sensor);
        for count in self.before.get_mut(&key).into_iter().flatten() {
            *count -= usize::from(index < *count);
        }
        let expiry = self.expiry.as_mut();
        if let Some(indices) = expiry.and_then(|expiry| expiry.expired.get_mut(&key)) {
            // A sensor that had expired before this reading has expired before the next one.
            *indices = indices
                .iter()
                .map(|other| other - usize::from(index < *other))
                .collect();
        }
    }

    /// From now on the output cannot be computed, because `why`.
    pub(crate) fn mark_unverifiable(&mut self, why: String) {
        self.unverifiable.get_or_insert(why);
    }

    /// # Errors
    /// Why the output cannot be computed.
    pub(crate) fn check_verifiable(&self) -> Result<(), String> {
        self.unverifiable.clone().map_or(Ok(()), Err)
    }

    /// Computes the output for the readings of one sensor (its number and name) in one input, and
    /// counts the readings without output. If readings were deleted, `found` is the actual output
    /// of all of them.
    ///
    /// # Errors
    /// Why the output cannot be computed.
    pub(crate) fn run(
        &self,
        topic: &str,
        sensor: (u32, &str),
        series: &Series,
        found: Option<&Series>,
        counts: &mut StageCounts,
    ) -> Result<Series, String> {
        let none = vec![0; self.past.len()];
        let ends = self
            .before
            .get(&(topic.to_owned(), sensor.0))
            .unwrap_or(&none);
        let past = self.past.iter().zip(ends);
        let past = past.map(|(past, end)| {
            let is_kept = keeps_state(&past.migration, sensor.1);
            (past.steps.as_deref(), *end, is_kept)
        });
        let expired = self
            .expiry
            .as_ref()
            .and_then(|expiry| expiry.expired.get(&(topic.to_owned(), sensor.0)));
        let found: HashMap<(u64, i64), Entry> = if series.lost {
            let found = found
                .into_iter()
                .flat_map(|series| series.entries.iter().rev());
            found
                .map(|entry| ((entry.seq, entry.time), *entry))
                .collect()
        } else {
            HashMap::new()
        };
        let mut out = Series {
            order: series.order,
            lost: series.lost,
            ..Series::default()
        };
        let (mut begin, mut is_lost) = (0, series.lost);
        let mut kept: Option<(&[Step], Vec<StepState>)> = None;
        for (steps, end, is_kept) in past.chain([(Ok(&self.now[..]), series.entries.len(), false)])
        {
            let Some(part) = series.entries.get(begin..end) else {
                return Err(format!(
                    "its offsets were set back: sensor \"{}\" in `{topic}`",
                    sensor.1
                ));
            };
            let indices = begin..;
            begin = end;
            let steps = match steps {
                Ok(steps) => steps,
                Err(_) if part.is_empty() && kept.is_none() => {
                    is_lost &= is_kept;
                    continue;
                }
                Err(why) => return Err(why.clone()),
            };
            let mut states = match kept.take() {
                Some((before, states)) => migrate(steps, before, states)?,
                None => steps.iter().map(|_| StepState::begin(is_lost)).collect(),
            };
            for (index, entry) in indices.zip(part) {
                if expired.is_some_and(|expired| expired.contains(&index)) {
                    states.fill_with(StepState::default);
                }
                match apply_chain(steps, sensor.1, &mut states, *entry) {
                    (ChainOutcome::Pass, entry) => out.entries.push(entry),
                    (ChainOutcome::Drop, _) => (),
                    (ChainOutcome::DeadLetter, _) => counts.dead_letters += 1,
                    (ChainOutcome::Unknown(at), _) => {
                        counts.unknown += 1;
                        if let Some(result) = found.get(&(entry.seq, entry.time)) {
                            if at + 1 == steps.len() {
                                states[at].seed(steps[at], result.value);
                            }
                            out.entries.push(*result);
                            out.unverified += 1;
                        } else {
                            out.unsure = out.entries.len();
                        }
                    }
                }
            }
            is_lost = false;
            kept = is_kept.then_some((steps, states));
        }
        out.entries.shrink_to_fit();
        Ok(out)
    }
}

impl Expiry {
    /// Records a reading. `migrations` are those before it.
    fn observe(&mut self, seen: SeenReading<'_>, migrations: &[&Migration]) {
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

/// Whether a sensor keeps its state in a migration.
fn keeps_state(migration: &Migration, sensor: &str) -> bool {
    match migration.remedy {
        MigrationKind::Kept => true,
        MigrationKind::Forgotten => !migration.sensors.contains(sensor),
        MigrationKind::Reset | MigrationKind::Anew => false,
    }
}

/// What a chain makes of a reading.
enum ChainOutcome {
    Pass,
    Drop,
    DeadLetter,
    /// It depends on the state of the step at this index, which is unknown.
    Unknown(usize),
}

fn apply_chain(
    steps: &[Step],
    sensor: &str,
    states: &mut [StepState],
    mut entry: Entry,
) -> (ChainOutcome, Entry) {
    for (index, step) in steps.iter().enumerate() {
        match step.apply(sensor, &mut states[index], &mut entry) {
            StepOutcome::Pass => (),
            StepOutcome::Drop => return (ChainOutcome::Drop, entry),
            StepOutcome::DeadLetter => return (ChainOutcome::DeadLetter, entry),
            StepOutcome::Unknown => {
                // Whether the reading passes this step, and with which value, is unknown.
                states[index + 1..]
                    .iter_mut()
                    .for_each(StepState::invalidate);
                return (ChainOutcome::Unknown(index), entry);
            }
        }
    }
    (ChainOutcome::Pass, entry)
}

/// Migrates state to the same steps with other settings.
fn migrate(
    steps: &[Step],
    before: &[Step],
    mut states: Vec<StepState>,
) -> Result<Vec<StepState>, String> {
    if steps.len() != before.len()
        || steps
            .iter()
            .zip(before)
            .any(|(step, before)| !step.keeps_same_state_as(*before))
    {
        return Err("its state was kept for other steps than those of the file".to_owned());
    }
    for (step, state) in steps.iter().zip(&mut states) {
        step.migrate(state);
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rivulet_core::operator::{KeyState, Operator, emitted};
    use rivulet_core::reading::Reading;
    use rivulet_core::unit::Unit;
    use rivulet_operators::Chain;
    use rivulet_pipeline::ComponentConfig;

    use super::*;

    fn migration(remedy: MigrationKind, chain: Option<&str>, offsets: &[(i32, i64)]) -> Migration {
        let offsets = offsets
            .iter()
            .map(|(partition, offset)| (("in".to_owned(), *partition), *offset))
            .collect();
        Migration {
            remedy,
            chain: chain.map(str::to_owned),
            offsets,
            sensors: BTreeSet::new(),
        }
    }

    fn history(now: &str, migrations: Vec<Migration>) -> StageHistory {
        StageHistory::new(Step::described(now).unwrap(), migrations)
    }

    fn series(values: &[f64]) -> Series {
        let entries = (0..).zip(values).map(|(seq, value)| Entry {
            seq,
            time: 0,
            value: *value,
            unit: Some(Unit::Celsius),
        });
        Series {
            entries: entries.collect(),
            ..Series::default()
        }
    }

    fn seen(sensor: u32, partition: i32, offset: i64) -> SeenReading<'static> {
        SeenReading {
            topic: "in",
            sensor: (sensor, "a"),
            partition,
            offset,
            time: 0,
            is_keyed: true,
        }
    }

    /// The output for the only sensor in partition 0.
    fn run(history: &mut StageHistory, values: &[f64]) -> Result<Vec<f64>, String> {
        (0..)
            .zip(values)
            .for_each(|(offset, _)| history.observe(seen(0, 0, offset)));
        let series = history.run(
            "in",
            (0, "a"),
            &series(values),
            None,
            &mut StageCounts::default(),
        )?;
        Ok(series.entries.iter().map(|entry| entry.value).collect())
    }

    const VALUES: [f64; 5] = [8.0, 16.0, 0.0, 8.0, 8.0];

    #[test]
    fn readings_are_processed_with_the_steps_of_their_time() {
        let with = |remedy| vec![migration(remedy, Some("ewma(alpha=0.5)"), &[(0, 3)])];
        let kept = run(
            &mut history("ewma(alpha=0.25)", with(MigrationKind::Kept)),
            &VALUES,
        );
        assert_eq!(kept.unwrap(), [12.0, 6.0, 6.5, 6.875]);
        let reset = run(
            &mut history("ewma(alpha=0.25)", with(MigrationKind::Reset)),
            &VALUES,
        );
        assert_eq!(reset.unwrap(), [12.0, 6.0, 8.0]);
        let why = run(
            &mut history("ewma(alpha=0.25)", with(MigrationKind::Anew)),
            &VALUES,
        );
        assert!(
            why.is_ok()
                && history("ewma(alpha=0.25)", with(MigrationKind::Anew))
                    .check_verifiable()
                    .is_err()
        );
    }

    #[test]
    fn only_a_forgotten_sensor_starts_with_an_empty_state() {
        for (name, expected) in [
            ("a", vec![12.0, 6.0, 8.0]),
            ("b", vec![12.0, 6.0, 7.0, 7.5]),
        ] {
            let forgotten = Migration {
                sensors: [name.to_owned()].into(),
                ..migration(MigrationKind::Forgotten, Some("ewma(alpha=0.5)"), &[(0, 3)])
            };
            let mut history = history("ewma(alpha=0.5)", vec![forgotten]);
            assert_eq!(run(&mut history, &VALUES), Ok(expected));
        }
    }

    /// The output for readings of two sensors (sensor, time, value) in one partition.
    fn expired(
        ttl: u64,
        migrations: Vec<Migration>,
        readings: &[(u32, i64, f64)],
    ) -> [Vec<f64>; 2] {
        let rules = Rules {
            state_ttl: Some(Duration::from_millis(ttl)),
            ..Rules::default()
        };
        let mut history = history("average(window=2)", migrations).with(rules);
        for (offset, (sensor, time, _)) in (0..).zip(readings) {
            let name = ["a", "b"][*sensor as usize];
            history.observe(SeenReading {
                topic: "in",
                sensor: (*sensor, name),
                partition: 0,
                offset,
                time: *time,
                is_keyed: true,
            });
        }
        [0, 1].map(|sensor| {
            let of_one = readings.iter().filter(|reading| reading.0 == sensor);
            let series = series(&of_one.map(|reading| reading.2).collect::<Vec<_>>());
            let out = history.run(
                "in",
                (sensor, ["a", "b"][usize::try_from(sensor).unwrap()]),
                &series,
                None,
                &mut StageCounts::default(),
            );
            out.unwrap()
                .entries
                .iter()
                .map(|entry| entry.value)
                .collect()
        })
    }

    #[test]
    fn a_sensor_expires_by_the_newest_reading_of_its_partition() {
        for (times, means, why) in [
            ([0, 10, 10, 10], &[2.0, 4.0][..], "only 10 ahead"),
            ([0, 11, 5, 5], &[4.0], "another sensor is 11 ahead"),
            ([0, 0, 11, 11], &[4.0], "the sensor itself is 11 ahead"),
            ([0, 30, 20, 20], &[4.0], "30 ahead, then only 10"),
        ] {
            let [a, b, again, last] = times;
            let readings = [(0, a, 1.0), (1, b, 5.0), (0, again, 3.0), (0, last, 5.0)];
            assert_eq!(expired(10, Vec::new(), &readings)[0], means, "{why}");
        }
    }

    #[test]
    fn after_a_migration_the_newest_time_is_that_of_the_state() {
        let readings = [
            (0, 0, 1.0),
            (1, 30, 5.0),
            (0, 5, 3.0),
            (0, 5, 5.0),
            (1, 30, 7.0),
        ];
        assert_eq!(
            expired(10, Vec::new(), &readings),
            [vec![], vec![6.0]],
            "each time 25 behind"
        );
        let forgotten = Migration {
            sensors: ["b".to_owned()].into(),
            ..migration(
                MigrationKind::Forgotten,
                Some("average(window=2)"),
                &[(0, 2)],
            )
        };
        assert_eq!(
            expired(10, vec![forgotten], &readings),
            [vec![2.0, 4.0], vec![]]
        );
        let reset = migration(MigrationKind::Reset, Some("average(window=2)"), &[(0, 2)]);
        assert_eq!(expired(10, vec![reset], &readings), [vec![4.0], vec![]]);
    }

    #[test]
    fn resolved_readings_do_not_count_as_before_a_migration() {
        let migrations = vec![migration(
            MigrationKind::Reset,
            Some("average(window=1)"),
            &[(0, 3)],
        )];
        let mut history = history("average(window=2)", migrations);
        (0..5).for_each(|offset| history.observe(seen(0, 0, offset)));
        history.remove_observed("in", 0, 4);
        history.remove_observed("in", 0, 1);
        let out = history
            .run(
                "in",
                (0, "a"),
                &series(&[1.0, 2.0, 3.0]),
                None,
                &mut StageCounts::default(),
            )
            .unwrap();
        assert_eq!(
            out.entries
                .iter()
                .map(|entry| entry.value)
                .collect::<Vec<_>>(),
            [1.0, 2.0]
        );
    }

    #[test]
    fn unknown_steps_matter_only_if_they_processed_a_reading() {
        let known = migration(MigrationKind::Reset, Some("average(window=1)"), &[(0, 2)]);
        let unknown = |offset| migration(MigrationKind::Reset, None, &[(0, offset)]);
        let mut empty = history("average(window=1)", vec![known.clone(), unknown(2)]);
        assert_eq!(run(&mut empty, &VALUES), Ok(VALUES.to_vec()));
        let why = run(
            &mut history("average(window=1)", vec![known, unknown(4)]),
            &VALUES,
        )
        .unwrap_err();
        assert_eq!(why, "its steps before its state was reset are unknown");
        let strange = migration(MigrationKind::Kept, Some("median(window=3)"), &[(0, 2)]);
        let why = run(&mut history("average(window=1)", vec![strange]), &VALUES).unwrap_err();
        assert!(
            why.contains("`median(window=3)`, which verify does not know"),
            "{why}"
        );
    }

    #[test]
    fn contradictory_migrations_are_not_verifiable() {
        let at = |remedy, offset| migration(remedy, Some("average(window=1)"), &[(0, offset)]);
        let mut back = history(
            "average(window=1)",
            vec![at(MigrationKind::Reset, 3), at(MigrationKind::Reset, 1)],
        );
        assert!(run(&mut back, &VALUES).unwrap_err().contains("set back"));
        let mut others = history("ewma(alpha=1)", vec![at(MigrationKind::Kept, 3)]);
        assert!(
            run(&mut others, &VALUES)
                .unwrap_err()
                .contains("other steps than those of the file")
        );
    }

    /// A chain with one averaging step, of either kind. The setting is a number from 1 to 5.
    fn described(is_ewma: bool, setting: u8) -> String {
        if is_ewma {
            format!(
                "threshold(above=-50) → ewma(alpha={})",
                f64::from(setting) / 5.0
            )
        } else {
            format!("threshold(above=-50) → average(window={setting})")
        }
    }

    /// The output, computed naively: the state is a list of values, one value for an EWMA.
    fn naive(is_ewma: bool, times: &[(u8, bool, Vec<f64>)]) -> Vec<f64> {
        let (mut state, mut out) = (Vec::<f64>::new(), Vec::new());
        for (setting, is_kept, values) in times {
            let size = if is_ewma { 1 } else { usize::from(*setting) };
            state = state.split_off(state.len().saturating_sub(size));
            for value in values.iter().filter(|value| **value > -50.0) {
                if is_ewma {
                    let alpha = f64::from(*setting) / 5.0;
                    if let Some(last) = state.pop() {
                        state.push(last + alpha * (value - last));
                        out.push(state[0]);
                    } else {
                        state.push(*value);
                    }
                } else {
                    state = [&state[state.len().saturating_sub(size - 1)..], &[*value]].concat();
                    if state.len() == size {
                        out.push(state.iter().sum::<f64>() / f64::from(*setting));
                    }
                }
            }
            if !is_kept {
                state.clear();
            }
        }
        out
    }

    /// The output of the operators.
    fn operators(is_ewma: bool, times: &[(u8, bool, Vec<f64>)]) -> Vec<f64> {
        let (mut previous, mut out) = (None::<(String, Vec<KeyState>)>, Vec::new());
        for (setting, is_kept, values) in times {
            let chain =
                Chain::build(&ComponentConfig::described(&described(is_ewma, *setting)).unwrap())
                    .unwrap();
            let mut states = vec![KeyState::new(); chain.states()];
            if let Some((made_by, kept)) = previous.take() {
                states = kept;
                chain.migrate(&made_by, &mut states).unwrap();
            }
            for value in values {
                let reading = Reading {
                    sensor: "a".into(),
                    seq: 0,
                    time: 0,
                    value: *value,
                    unit: None,
                };
                let emitted = emitted(&chain, reading, &mut states).unwrap();
                out.extend(emitted.iter().map(|reading| reading.value));
            }
            previous = is_kept.then(|| (chain.describe(), states));
        }
        out
    }

    fn any_values() -> impl Strategy<Value = Vec<f64>> {
        proptest::collection::vec(-60.0..60.0_f64, 0..7)
    }

    fn is_close(found: &[f64], expected: &[f64]) -> bool {
        found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(one, other)| (one - other).abs() < 1e-9)
    }

    proptest! {
        /// Two sensors in two partitions, with records of others between theirs, and migrations at
        /// any offsets.
        #[test]
        fn it_matches_a_naive_computation_and_the_operators(
            is_ewma: bool,
            times in proptest::collection::vec(
                (1..=5_u8, any::<bool>(), [any_values(), any_values()]),
                1..6,
            ),
            gap in 1..4_i64,
        ) {
            let mut ends = [0_i64; 2];
            let mut migrations = Vec::new();
            for (setting, is_kept, values) in &times {
                for (end, values) in ends.iter_mut().zip(values) {
                    *end += gap * i64::try_from(values.len()).unwrap();
                }
                let remedy = if *is_kept { MigrationKind::Kept } else { MigrationKind::Reset };
                let chain = described(is_ewma, *setting);
                migrations.push(migration(remedy, Some(&chain), &[(0, ends[0]), (1, ends[1])]));
            }
            migrations.pop();
            let mut history = history(&described(is_ewma, times[times.len() - 1].0), migrations);
            for (index, partition) in [(0_u32, 0), (1, 1)] {
                let mut of_one: Vec<(u8, bool, Vec<f64>)> = Vec::new();
                for (setting, is_kept, values) in &times {
                    of_one.push((*setting, *is_kept, values[index as usize].clone()));
                }
                let times = of_one;
                let values: Vec<f64> =
                    times.iter().flat_map(|(.., values)| values).copied().collect();
                for (number, _) in (0..).zip(&values) {
                    history.observe(seen(index, partition, number * gap));
                }
                let (values, mut counts) = (series(&values), StageCounts::default());
                let out = history.run("in", (index, "a"), &values, None, &mut counts).unwrap();
                let out: Vec<f64> = out.entries.iter().map(|entry| entry.value).collect();
                prop_assert!(is_close(&out, &naive(is_ewma, &times)), "{out:?}, {times:?}");
                prop_assert!(is_close(&out, &operators(is_ewma, &times)), "{out:?}, {times:?}");
            }
        }
    }
}
