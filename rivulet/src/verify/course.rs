//! The course of a stage: the steps that it has, and those that it had before its settings were
//! changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use stream::dead_letter::{Migration, MigrationKind};
use stream::pipeline::Rules;

use super::steps::{Fate, History, Step};
use super::truth::{Entry, Lane, Tally};

/// The steps of a stage, those that it had before, and which readings went through which.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// The oldest first.
    past: Vec<Past>,
    now: Vec<Step>,
    /// For each input and sensor, how many of its readings came before each change.
    before: BTreeMap<(String, u32), Vec<usize>>,
    /// Which sensors it has forgotten by itself, and when.
    expiry: Option<Expiry>,
    /// Whether it takes only readings whose record has their sensor as its key.
    requires_key: bool,
    /// Why nobody can say what must come out, if so.
    hindrance: Option<String>,
}

/// Sensors are forgotten whose last reading is much older than the newest.
#[derive(Debug, Default)]
struct Expiry {
    /// By how much, in milliseconds.
    ttl: i64,
    /// The newest time of a reading, by input and partition.
    now: BTreeMap<(String, i32), i64>,
    /// The newest time of each sensor's readings there.
    last: BTreeMap<(String, i32), BTreeMap<String, i64>>,
    /// How many of the changes have come, by input and partition.
    changes: BTreeMap<(String, i32), usize>,
    /// How many readings have come, by input and sensor.
    count: BTreeMap<(String, u32), usize>,
    /// The places of readings among those of their sensor before which it was forgotten.
    forgotten: BTreeMap<(String, u32), BTreeSet<usize>>,
}

/// A reading where it stands in an input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'s> {
    pub(super) topic: &'s str,
    /// The sensor's number and name.
    pub(super) sensor: (u32, &'s str),
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// Its time, but no later than its record's timestamp, in milliseconds since the epoch.
    pub(super) time: i64,
    /// Whether its sensor is its record's key.
    pub(super) is_keyed: bool,
}

/// What a stage was until a change.
#[derive(Debug)]
struct Past {
    /// Or why they are not known.
    steps: Result<Vec<Step>, String>,
    change: Migration,
}

impl Course {
    /// Of a stage that has these steps now, with the changes that its ledger tells of, in order.
    pub(super) fn new(now: Vec<Step>, changes: Vec<Migration>) -> Self {
        let is_read_again = changes
            .iter()
            .any(|change| change.remedy == MigrationKind::Anew);
        let past = changes.into_iter().map(|change| Past {
            steps: match &change.chain {
                Some(chain) => Step::described(chain)
                    .ok_or_else(|| format!("it was `{chain}`, which verify does not know")),
                None => Err("nobody knows what it was before its state was reset".to_owned()),
            },
            change,
        });
        let hindrance = is_read_again.then(|| {
            "its state was reset and its inputs read again, so what it made before is there too"
                .to_owned()
        });
        Course {
            past: past.collect(),
            now,
            hindrance,
            ..Course::default()
        }
    }

    /// Whether it takes only readings whose record has their sensor as its key.
    pub(super) fn requires_key(&self) -> bool {
        self.requires_key
    }

    /// The same of a stage with these rules.
    pub(super) fn with(mut self, rules: Rules) -> Self {
        let millis = |ttl: Duration| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        self.expiry = rules.state_ttl.map(|ttl| Expiry {
            ttl: millis(ttl),
            ..Expiry::default()
        });
        self.requires_key = rules.require_key;
        self
    }

    /// Whether it must [see](Self::saw) the readings of its inputs.
    pub(super) fn watches(&self) -> bool {
        self.is_changed() || self.expiry.is_some()
    }

    /// Whether it forgets sensors by itself.
    pub(super) fn forgets(&self) -> bool {
        self.expiry.is_some()
    }

    /// What it must see readings for, if it must.
    pub(super) fn why(&self) -> &'static str {
        if self.is_changed() {
            "its settings were changed"
        } else {
            "it forgets sensors by state-ttl"
        }
    }

    /// Whether its settings were ever changed, or its state reset.
    pub(super) fn is_changed(&self) -> bool {
        !self.past.is_empty()
    }

    /// Each change, for a person.
    pub(super) fn changes(&self) -> impl Iterator<Item = String> {
        self.past.iter().map(|Past { change, .. }| {
            if let (MigrationKind::Forgotten, Some(first)) = (change.remedy, change.sensors.first())
            {
                return format!(
                    "was made to forget {} sensors, such as \"{first}\"",
                    change.sensors.len()
                );
            }
            let was = change
                .chain
                .as_ref()
                .map_or("what nobody knows".to_owned(), |chain| format!("`{chain}`"));
            format!(
                "was {was} until its state was {}",
                if change.remedy == MigrationKind::Kept {
                    "kept"
                } else {
                    "reset"
                }
            )
        })
    }

    fn all(&self) -> impl Iterator<Item = &Step> {
        self.past
            .iter()
            .filter_map(|past| past.steps.as_ref().ok())
            .flatten()
            .chain(&self.now)
    }

    /// Whether it matters in which order readings come.
    pub(super) fn is_ordered(&self) -> bool {
        self.is_changed() || self.all().any(|step| step.is_stateful())
    }

    /// Whether results depend on sequence numbers.
    pub(super) fn is_noisy(&self) -> bool {
        self.all().any(|step| matches!(step, Step::Noise { .. }))
    }

    /// Takes down where a reading stands in an input. Those of a partition come in their order.
    pub(super) fn saw(&mut self, seen: Seen<'_>) {
        if self.requires_key && !seen.is_keyed {
            return;
        }
        let place = (seen.topic.to_owned(), seen.partition);
        let key = (place.0.clone(), seen.sensor.0);
        let before = self
            .before
            .entry(key)
            .or_insert_with(|| vec![0; self.past.len()]);
        let is_before = |past: &Past| {
            past.change
                .offsets
                .get(&place)
                .is_some_and(|from| seen.offset < *from)
        };
        for (count, past) in before.iter_mut().zip(&self.past) {
            *count += usize::from(is_before(past));
        }
        if let Some(expiry) = &mut self.expiry {
            expiry.saw(
                seen,
                self.past
                    .iter()
                    .filter(|past| !is_before(past))
                    .map(|past| &past.change),
            );
        }
    }

    /// A reading that was seen does not count any more: the one at this place among those of its
    /// sensor.
    pub(super) fn take_away(&mut self, topic: &str, sensor: u32, index: usize) {
        let key = (topic.to_owned(), sensor);
        for count in self.before.get_mut(&key).into_iter().flatten() {
            *count -= usize::from(index < *count);
        }
        if let Some(places) = self
            .expiry
            .as_mut()
            .and_then(|expiry| expiry.forgotten.get_mut(&key))
        {
            // What was forgotten before that reading is so before the next.
            *places = places
                .iter()
                .map(|place| place - usize::from(index < *place))
                .collect();
        }
    }

    /// From now on nobody can say what comes out, because `why`.
    pub(super) fn hinder(&mut self, why: String) {
        self.hindrance.get_or_insert(why);
    }

    /// # Errors
    /// Why nobody can say what comes out.
    pub(super) fn is_known(&self) -> Result<(), String> {
        self.hindrance.clone().map_or(Ok(()), Err)
    }

    /// What comes out of the readings of one sensor, known by number and name, in one input; counts
    /// those that do not come out. Where readings are gone, `found` is what came out of all.
    ///
    /// # Errors
    /// Why nobody can say.
    pub(super) fn run(
        &self,
        topic: &str,
        sensor: (u32, &str),
        lane: &Lane,
        found: Option<&Lane>,
        tally: &mut Tally,
    ) -> Result<Lane, String> {
        let none = vec![0; self.past.len()];
        let ends = self
            .before
            .get(&(topic.to_owned(), sensor.0))
            .unwrap_or(&none);
        let past = self.past.iter().zip(ends);
        let is_kept = |change: &Migration| match change.remedy {
            MigrationKind::Kept => true,
            MigrationKind::Forgotten => !change.sensors.contains(sensor.1),
            MigrationKind::Reset | MigrationKind::Anew => false,
        };
        let past =
            past.map(|(Past { steps, change }, end)| (steps.as_deref(), *end, is_kept(change)));
        let forgotten = self
            .expiry
            .as_ref()
            .and_then(|expiry| expiry.forgotten.get(&(topic.to_owned(), sensor.0)));
        let found: HashMap<(u64, i64), Entry> = if lane.lost {
            let found = found.into_iter().flat_map(|lane| lane.entries.iter().rev());
            found
                .map(|entry| ((entry.seq, entry.time), *entry))
                .collect()
        } else {
            HashMap::new()
        };
        let mut out = Lane {
            order: lane.order,
            lost: lane.lost,
            ..Lane::default()
        };
        let (mut begin, mut is_lost) = (0, lane.lost);
        let mut remembered: Option<(&[Step], Vec<History>)> = None;
        for (steps, end, is_kept) in past.chain([(Ok(&self.now[..]), lane.entries.len(), false)]) {
            let Some(part) = lane.entries.get(begin..end) else {
                return Err(format!(
                    "its offsets were set back, of sensor \"{}\" in `{topic}`",
                    sensor.1
                ));
            };
            let places = begin..;
            begin = end;
            let steps = match steps {
                Ok(steps) => steps,
                Err(_) if part.is_empty() && remembered.is_none() => {
                    is_lost &= is_kept;
                    continue;
                }
                Err(why) => return Err(why.clone()),
            };
            let mut histories = match remembered.take() {
                Some((before, histories)) => migrate(steps, before, histories)?,
                None => steps.iter().map(|_| History::begin(is_lost)).collect(),
            };
            for (place, entry) in places.zip(part) {
                if forgotten.is_some_and(|forgotten| forgotten.contains(&place)) {
                    for history in &mut histories {
                        *history = History::default();
                    }
                }
                match through(steps, sensor.1, &mut histories, *entry) {
                    (Through::Goes, entry) => out.entries.push(entry),
                    (Through::Ends, _) => (),
                    (Through::DeadLetter, _) => tally.refused += 1,
                    (Through::Unknown(at), _) => {
                        tally.unknown += 1;
                        if let Some(result) = found.get(&(entry.seq, entry.time)) {
                            if at + 1 == steps.len() {
                                histories[at].seed(steps[at], result.value);
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
            remembered = is_kept.then_some((steps, histories));
        }
        out.entries.shrink_to_fit();
        Ok(out)
    }
}

impl Expiry {
    /// Takes down a reading; `changes` are those that came before it.
    fn saw<'c>(&mut self, seen: Seen<'_>, changes: impl Iterator<Item = &'c Migration>) {
        let Seen {
            topic,
            sensor: (sensor, name),
            partition,
            time,
            ..
        } = seen;
        let place = (topic.to_owned(), partition);
        let last = self.last.entry(place.clone()).or_default();
        let changes: Vec<&Migration> = changes.collect();
        let come = self
            .changes
            .insert(place.clone(), changes.len())
            .unwrap_or_default();
        for change in &changes[come.min(changes.len())..] {
            match change.remedy {
                MigrationKind::Kept => (),
                MigrationKind::Reset | MigrationKind::Anew => last.clear(),
                MigrationKind::Forgotten => last.retain(|name, _| !change.sensors.contains(name)),
            }
            // The stage was started anew, and knows the newest time of those that it remembers.
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
            self.forgotten
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

/// What becomes of a reading in a chain.
enum Through {
    Goes,
    Ends,
    DeadLetter,
    /// It depends on what the step of this index remembers, which nobody knows.
    Unknown(usize),
}

fn through(
    steps: &[Step],
    sensor: &str,
    histories: &mut [History],
    mut entry: Entry,
) -> (Through, Entry) {
    for (index, step) in steps.iter().enumerate() {
        match step.apply(sensor, &mut histories[index], &mut entry) {
            Fate::Goes => (),
            Fate::Ends => return (Through::Ends, entry),
            Fate::DeadLetter => return (Through::DeadLetter, entry),
            Fate::Unknown => {
                // Nobody knows with which value it goes on, if it does.
                histories[index + 1..].iter_mut().for_each(History::blur);
                return (Through::Unknown(index), entry);
            }
        }
    }
    (Through::Goes, entry)
}

/// What was remembered, in the hands of the same steps with other settings.
fn migrate(
    steps: &[Step],
    before: &[Step],
    mut histories: Vec<History>,
) -> Result<Vec<History>, String> {
    if steps.len() != before.len()
        || steps
            .iter()
            .zip(before)
            .any(|(step, before)| !step.remembers_as(*before))
    {
        return Err("its state was kept for other steps than the file has now".to_owned());
    }
    for (step, history) in steps.iter().zip(&mut histories) {
        step.migrate(history);
    }
    Ok(histories)
}

#[cfg(test)]
mod tests {
    use operators::{Chain, Flow, KeyState, Operator};
    use proptest::prelude::*;
    use stream::pipeline::ComponentConfig;
    use stream::reading::{Reading, Unit};

    use super::*;

    fn change(remedy: MigrationKind, chain: Option<&str>, offsets: &[(i32, i64)]) -> Migration {
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

    fn course(now: &str, changes: Vec<Migration>) -> Course {
        Course::new(Step::described(now).unwrap(), changes)
    }

    fn lane(values: &[f64]) -> Lane {
        let entry = |(seq, value): (u64, &f64)| Entry {
            seq,
            time: 0,
            value: *value,
            unit: Some(Unit::Celsius),
        };
        Lane {
            entries: (0..).zip(values).map(entry).collect(),
            ..Lane::default()
        }
    }

    fn seen(sensor: u32, partition: i32, offset: i64) -> Seen<'static> {
        Seen {
            topic: "in",
            sensor: (sensor, "a"),
            partition,
            offset,
            time: 0,
            is_keyed: true,
        }
    }

    /// What comes out for a sensor whose readings are all there is in partition 0.
    fn run(course: &mut Course, values: &[f64]) -> Result<Vec<f64>, String> {
        (0..)
            .zip(values)
            .for_each(|(offset, _)| course.saw(seen(0, 0, offset)));
        let lane = course.run("in", (0, "a"), &lane(values), None, &mut Tally::default())?;
        Ok(lane.entries.iter().map(|entry| entry.value).collect())
    }

    const VALUES: [f64; 5] = [8.0, 16.0, 0.0, 8.0, 8.0];

    #[test]
    fn readings_go_through_the_steps_of_their_time() {
        let with = |remedy| vec![change(remedy, Some("ewma(alpha=0.5)"), &[(0, 3)])];
        let kept = run(
            &mut course("ewma(alpha=0.25)", with(MigrationKind::Kept)),
            &VALUES,
        );
        assert_eq!(kept.unwrap(), [12.0, 6.0, 6.5, 6.875]);
        let reset = run(
            &mut course("ewma(alpha=0.25)", with(MigrationKind::Reset)),
            &VALUES,
        );
        assert_eq!(reset.unwrap(), [12.0, 6.0, 8.0]);
        let why = run(
            &mut course("ewma(alpha=0.25)", with(MigrationKind::Anew)),
            &VALUES,
        );
        assert!(
            why.is_ok()
                && course("ewma(alpha=0.25)", with(MigrationKind::Anew))
                    .is_known()
                    .is_err()
        );
    }

    #[test]
    fn a_sensor_that_is_made_to_be_forgotten_begins_anew_and_others_do_not() {
        let forgotten = |name: &str| {
            let changed = change(MigrationKind::Forgotten, Some("ewma(alpha=0.5)"), &[(0, 3)]);
            vec![Migration {
                sensors: [name.to_owned()].into(),
                ..changed
            }]
        };
        assert_eq!(
            run(&mut course("ewma(alpha=0.5)", forgotten("a")), &VALUES),
            Ok(vec![12.0, 6.0, 8.0])
        );
        assert_eq!(
            run(&mut course("ewma(alpha=0.5)", forgotten("b")), &VALUES),
            Ok(vec![12.0, 6.0, 7.0, 7.5])
        );
    }

    /// What comes out of the readings of two sensors, given with their times, in one partition.
    fn expired(ttl: u64, changes: Vec<Migration>, readings: &[(u32, i64, f64)]) -> [Vec<f64>; 2] {
        let rules = Rules {
            state_ttl: Some(Duration::from_millis(ttl)),
            ..Rules::default()
        };
        let mut course = course("average(window=2)", changes).with(rules);
        for (offset, (sensor, time, _)) in (0..).zip(readings) {
            let name = ["a", "b"][usize::try_from(*sensor).unwrap()];
            course.saw(Seen {
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
            let lane = lane(&of_one.map(|reading| reading.2).collect::<Vec<_>>());
            let out = course.run(
                "in",
                (sensor, ["a", "b"][usize::try_from(sensor).unwrap()]),
                &lane,
                None,
                &mut Tally::default(),
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
        let means = |times: [i64; 4]| {
            let [a, b, again, last] = times;
            expired(
                10,
                Vec::new(),
                &[(0, a, 1.0), (1, b, 5.0), (0, again, 3.0), (0, last, 5.0)],
            )[0]
            .clone()
        };
        assert_eq!(means([0, 10, 10, 10]), [2.0, 4.0]);
        assert_eq!(means([0, 11, 5, 5]), [4.0], "another sensor was 11 further");
        assert_eq!(means([0, 0, 11, 11]), [4.0], "it was itself");
        assert_eq!(means([0, 30, 20, 20]), [4.0], "and again by 10 only");
    }

    #[test]
    fn a_stage_that_is_made_to_forget_knows_the_newest_time_of_what_it_remembers() {
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
            "each time it is behind by 25"
        );
        let changed = change(
            MigrationKind::Forgotten,
            Some("average(window=2)"),
            &[(0, 2)],
        );
        let changed = Migration {
            sensors: ["b".to_owned()].into(),
            ..changed
        };
        assert_eq!(
            expired(10, vec![changed], &readings),
            [vec![2.0, 4.0], vec![]]
        );
        let reset = change(MigrationKind::Reset, Some("average(window=2)"), &[(0, 2)]);
        assert_eq!(expired(10, vec![reset], &readings), [vec![4.0], vec![]]);
    }

    #[test]
    fn what_is_settled_does_not_count_as_before_a_change() {
        let changes = vec![change(
            MigrationKind::Reset,
            Some("average(window=1)"),
            &[(0, 3)],
        )];
        let mut course = course("average(window=2)", changes);
        (0..5).for_each(|offset| course.saw(seen(0, 0, offset)));
        course.take_away("in", 0, 4);
        course.take_away("in", 0, 1);
        let out = course
            .run(
                "in",
                (0, "a"),
                &lane(&[1.0, 2.0, 3.0]),
                None,
                &mut Tally::default(),
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
    fn a_time_that_nobody_knows_matters_only_if_a_reading_fell_into_it() {
        let known = change(MigrationKind::Reset, Some("average(window=1)"), &[(0, 2)]);
        let unknown = |offset| change(MigrationKind::Reset, None, &[(0, offset)]);
        let mut empty = course("average(window=1)", vec![known.clone(), unknown(2)]);
        assert_eq!(run(&mut empty, &VALUES), Ok(VALUES.to_vec()));
        let why = run(
            &mut course("average(window=1)", vec![known, unknown(4)]),
            &VALUES,
        )
        .unwrap_err();
        assert_eq!(why, "nobody knows what it was before its state was reset");
        let strange = change(MigrationKind::Kept, Some("median(window=3)"), &[(0, 2)]);
        let why = run(&mut course("average(window=1)", vec![strange]), &VALUES).unwrap_err();
        assert!(
            why.contains("`median(window=3)`, which verify does not know"),
            "{why}"
        );
    }

    #[test]
    fn what_cannot_have_been_is_not_verified() {
        let at = |remedy, offset| change(remedy, Some("average(window=1)"), &[(0, offset)]);
        let mut back = course(
            "average(window=1)",
            vec![at(MigrationKind::Reset, 3), at(MigrationKind::Reset, 1)],
        );
        assert!(run(&mut back, &VALUES).unwrap_err().contains("set back"));
        let mut others = course("ewma(alpha=1)", vec![at(MigrationKind::Kept, 3)]);
        assert!(
            run(&mut others, &VALUES)
                .unwrap_err()
                .contains("other steps than the file has now")
        );
    }

    /// The steps of one time: an average in the sense of both, its setting a number from 1 to 5.
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

    /// What comes out, by plain thought: what is remembered is a list of values, for an EWMA one.
    fn naive(is_ewma: bool, times: &[(u8, bool, Vec<f64>)]) -> Vec<f64> {
        let (mut memory, mut out) = (Vec::<f64>::new(), Vec::new());
        for (setting, is_kept, values) in times {
            let size = if is_ewma { 1 } else { usize::from(*setting) };
            memory = memory.split_off(memory.len().saturating_sub(size));
            for value in values.iter().filter(|value| **value > -50.0) {
                if is_ewma {
                    let alpha = f64::from(*setting) / 5.0;
                    if let Some(last) = memory.pop() {
                        memory.push(last + alpha * (value - last));
                        out.push(memory[0]);
                    } else {
                        memory.push(*value);
                    }
                } else {
                    memory = [&memory[memory.len().saturating_sub(size - 1)..], &[*value]].concat();
                    if memory.len() == size {
                        out.push(memory.iter().sum::<f64>() / f64::from(*setting));
                    }
                }
            }
            if !is_kept {
                memory.clear();
            }
        }
        out
    }

    /// What the operators make of it.
    fn operators(is_ewma: bool, times: &[(u8, bool, Vec<f64>)]) -> Vec<f64> {
        let (mut remembered, mut out) = (None::<(String, Vec<KeyState>)>, Vec::new());
        for (setting, is_kept, values) in times {
            let chain =
                Chain::build(&ComponentConfig::described(&described(is_ewma, *setting)).unwrap())
                    .unwrap();
            let mut states = vec![KeyState::new(); chain.states()];
            if let Some((made_by, kept)) = remembered.take() {
                states = kept;
                chain.migrate(&made_by, &mut states).unwrap();
            }
            for value in values {
                let mut reading = Reading {
                    sensor: "a".into(),
                    seq: 0,
                    time: 0,
                    value: *value,
                    unit: None,
                };
                if chain.apply(&mut reading, &mut states) == Ok(Flow::Pass) {
                    out.push(reading.value);
                }
            }
            remembered = is_kept.then(|| (chain.describe(), states));
        }
        out
    }

    fn is_close(found: &[f64], expected: &[f64]) -> bool {
        found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(one, other)| (one - other).abs() < 1e-9)
    }

    proptest! {
        /// Two sensors in two partitions, with records of others between theirs, and changes at any
        /// offsets.
        #[test]
        fn it_is_what_plain_thought_and_the_operators_make_of_it(
            is_ewma: bool,
            times in proptest::collection::vec(
                (1..=5_u8, any::<bool>(), [proptest::collection::vec(-60.0..60.0_f64, 0..7), proptest::collection::vec(-60.0..60.0_f64, 0..7)]),
                1..6,
            ),
            gap in 1..4_i64,
        ) {
            let mut ends = [0_i64; 2];
            let mut changes = Vec::new();
            for (setting, is_kept, values) in &times {
                for (end, values) in ends.iter_mut().zip(values) {
                    *end += gap * i64::try_from(values.len()).unwrap();
                }
                let remedy = if *is_kept { MigrationKind::Kept } else { MigrationKind::Reset };
                changes.push(change(remedy, Some(&described(is_ewma, *setting)), &[(0, ends[0]), (1, ends[1])]));
            }
            changes.pop();
            let mut course = course(&described(is_ewma, times[times.len() - 1].0), changes);
            for sensor in 0..2_u32 {
                let of_one = |(setting, is_kept, values): &(u8, bool, [Vec<f64>; 2])| {
                    (*setting, *is_kept, values[usize::try_from(sensor).unwrap()].clone())
                };
                let times: Vec<(u8, bool, Vec<f64>)> = times.iter().map(of_one).collect();
                let values: Vec<f64> = times.iter().flat_map(|(.., values)| values).copied().collect();
                for (number, _) in (0..).zip(&values) {
                    course.saw(seen(sensor, i32::try_from(sensor).unwrap(), number * gap));
                }
                let out = course.run("in", (sensor, "a"), &lane(&values), None, &mut Tally::default()).unwrap();
                let out: Vec<f64> = out.entries.iter().map(|entry| entry.value).collect();
                prop_assert!(is_close(&out, &naive(is_ewma, &times)), "{out:?}, {times:?}");
                prop_assert!(is_close(&out, &operators(is_ewma, &times)), "{out:?}, {times:?}");
            }
        }
    }
}
