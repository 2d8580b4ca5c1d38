//! The course of a stage: the steps that it has, and those that it had before its settings were changed.

use std::collections::{BTreeMap, HashMap};

use stream::dead_letter::{Change, Remedy};

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
    /// Why nobody can say what must come out, if so.
    hindrance: Option<String>,
}

/// What a stage was until a change.
#[derive(Debug)]
struct Past {
    /// Or why they are not known.
    steps: Result<Vec<Step>, String>,
    change: Change,
}

impl Course {
    /// Of a stage that has these steps now, with the changes that its ledger tells of, in order.
    pub(super) fn new(now: Vec<Step>, changes: Vec<Change>) -> Self {
        let is_read_again = changes.iter().any(|change| change.remedy == Remedy::Anew);
        let past = changes.into_iter().map(|change| Past {
            steps: match &change.chain {
                Some(chain) => {
                    Step::described(chain).ok_or_else(|| format!("it was `{chain}`, which verify does not know"))
                }
                None => Err("nobody knows what it was before its state was reset".to_owned()),
            },
            change,
        });
        let hindrance = is_read_again
            .then(|| "its state was reset and its inputs read again, so what it made before is there too".to_owned());
        Course { past: past.collect(), now, before: BTreeMap::new(), hindrance }
    }

    /// Whether its settings were ever changed, or its state reset.
    pub(super) fn is_changed(&self) -> bool {
        !self.past.is_empty()
    }

    /// Each change, for a person.
    pub(super) fn changes(&self) -> impl Iterator<Item = String> {
        self.past.iter().map(|Past { change, .. }| {
            let was = change.chain.as_ref().map_or("what nobody knows".to_owned(), |chain| format!("`{chain}`"));
            format!("was {was} until its state was {}", if change.remedy == Remedy::Kept { "kept" } else { "reset" })
        })
    }

    fn all(&self) -> impl Iterator<Item = &Step> {
        self.past.iter().filter_map(|past| past.steps.as_ref().ok()).flatten().chain(&self.now)
    }

    /// Whether it matters in which order readings come.
    pub(super) fn is_ordered(&self) -> bool {
        self.is_changed() || self.all().any(|step| step.is_stateful())
    }

    /// Whether results depend on sequence numbers.
    pub(super) fn is_noisy(&self) -> bool {
        self.all().any(|step| matches!(step, Step::Noise { .. }))
    }

    /// Takes down where a reading stands in an input.
    pub(super) fn saw(&mut self, topic: &str, sensor: u32, partition: i32, offset: i64) {
        let place = (topic.to_owned(), partition);
        let before = self.before.entry((place.0.clone(), sensor)).or_insert_with(|| vec![0; self.past.len()]);
        for (count, past) in before.iter_mut().zip(&self.past) {
            *count += usize::from(past.change.offsets.get(&place).is_some_and(|from| offset < *from));
        }
    }

    /// A reading that was seen does not count any more: the one at this place among those of its sensor.
    pub(super) fn take_away(&mut self, topic: &str, sensor: u32, index: usize) {
        for count in self.before.get_mut(&(topic.to_owned(), sensor)).into_iter().flatten() {
            *count -= usize::from(index < *count);
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
        let ends = self.before.get(&(topic.to_owned(), sensor.0)).unwrap_or(&none);
        let past = self.past.iter().zip(ends);
        let past = past.map(|(Past { steps, change }, end)| (steps.as_deref(), *end, change.remedy == Remedy::Kept));
        let found: HashMap<(u64, i64), Entry> = if lane.lost {
            let found = found.into_iter().flat_map(|lane| lane.entries.iter().rev());
            found.map(|entry| ((entry.seq, entry.time), *entry)).collect()
        } else {
            HashMap::new()
        };
        let mut out = Lane { order: lane.order, lost: lane.lost, ..Lane::default() };
        let (mut begin, mut is_lost) = (0, lane.lost);
        let mut remembered: Option<(&[Step], Vec<History>)> = None;
        for (steps, end, is_kept) in past.chain([(Ok(&self.now[..]), lane.entries.len(), false)]) {
            let Some(part) = lane.entries.get(begin..end) else {
                return Err(format!("its offsets were set back, of sensor \"{}\" in `{topic}`", sensor.1));
            };
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
                Some((before, histories)) => take_over(steps, before, histories)?,
                None => steps.iter().map(|_| History::begin(is_lost)).collect(),
            };
            for entry in part {
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

/// What becomes of a reading in a chain.
enum Through {
    Goes,
    Ends,
    DeadLetter,
    /// It depends on what the step of this index remembers, which nobody knows.
    Unknown(usize),
}

fn through(steps: &[Step], sensor: &str, histories: &mut [History], mut entry: Entry) -> (Through, Entry) {
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
fn take_over(steps: &[Step], before: &[Step], mut histories: Vec<History>) -> Result<Vec<History>, String> {
    if steps.len() != before.len() || steps.iter().zip(before).any(|(step, before)| !step.remembers_as(*before)) {
        return Err("its state was kept for other steps than the file has now".to_owned());
    }
    for (step, history) in steps.iter().zip(&mut histories) {
        step.take_over(history);
    }
    Ok(histories)
}

#[cfg(test)]
mod tests {
    use operators::{Chain, Flow, Memory, Operator};
    use proptest::prelude::*;
    use stream::pipeline::Part;
    use stream::reading::{Reading, Unit};

    use super::*;

    fn change(remedy: Remedy, chain: Option<&str>, offsets: &[(i32, i64)]) -> Change {
        let offsets = offsets.iter().map(|(partition, offset)| (("in".to_owned(), *partition), *offset)).collect();
        Change { remedy, chain: chain.map(str::to_owned), offsets }
    }

    fn course(now: &str, changes: Vec<Change>) -> Course {
        Course::new(Step::described(now).unwrap(), changes)
    }

    fn lane(values: &[f64]) -> Lane {
        let entry = |(seq, value): (u64, &f64)| Entry { seq, time: 0, value: *value, unit: Some(Unit::Celsius) };
        Lane { entries: (0..).zip(values).map(entry).collect(), ..Lane::default() }
    }

    /// What comes out for a sensor whose readings are all there is in partition 0.
    fn run(course: &mut Course, values: &[f64]) -> Result<Vec<f64>, String> {
        (0..).zip(values).for_each(|(offset, _)| course.saw("in", 0, 0, offset));
        let lane = course.run("in", (0, "a"), &lane(values), None, &mut Tally::default())?;
        Ok(lane.entries.iter().map(|entry| entry.value).collect())
    }

    const VALUES: [f64; 5] = [8.0, 16.0, 0.0, 8.0, 8.0];

    #[test]
    fn readings_go_through_the_steps_of_their_time() {
        let with = |remedy| vec![change(remedy, Some("ewma(alpha=0.5)"), &[(0, 3)])];
        let kept = run(&mut course("ewma(alpha=0.25)", with(Remedy::Kept)), &VALUES);
        assert_eq!(kept.unwrap(), [12.0, 6.0, 6.5, 6.875]);
        let reset = run(&mut course("ewma(alpha=0.25)", with(Remedy::Reset)), &VALUES);
        assert_eq!(reset.unwrap(), [12.0, 6.0, 8.0]);
        let why = run(&mut course("ewma(alpha=0.25)", with(Remedy::Anew)), &VALUES);
        assert!(why.is_ok() && course("ewma(alpha=0.25)", with(Remedy::Anew)).is_known().is_err());
    }

    #[test]
    fn what_is_settled_does_not_count_as_before_a_change() {
        let changes = vec![change(Remedy::Reset, Some("average(window=1)"), &[(0, 3)])];
        let mut course = course("average(window=2)", changes);
        (0..5).for_each(|offset| course.saw("in", 0, 0, offset));
        course.take_away("in", 0, 4);
        course.take_away("in", 0, 1);
        let out = course.run("in", (0, "a"), &lane(&[1.0, 2.0, 3.0]), None, &mut Tally::default()).unwrap();
        assert_eq!(out.entries.iter().map(|entry| entry.value).collect::<Vec<_>>(), [1.0, 2.0]);
    }

    #[test]
    fn a_time_that_nobody_knows_matters_only_if_a_reading_fell_into_it() {
        let known = change(Remedy::Reset, Some("average(window=1)"), &[(0, 2)]);
        let unknown = |offset| change(Remedy::Reset, None, &[(0, offset)]);
        let mut empty = course("average(window=1)", vec![known.clone(), unknown(2)]);
        assert_eq!(run(&mut empty, &VALUES), Ok(VALUES.to_vec()));
        let why = run(&mut course("average(window=1)", vec![known, unknown(4)]), &VALUES).unwrap_err();
        assert_eq!(why, "nobody knows what it was before its state was reset");
        let strange = change(Remedy::Kept, Some("median(window=3)"), &[(0, 2)]);
        let why = run(&mut course("average(window=1)", vec![strange]), &VALUES).unwrap_err();
        assert!(why.contains("`median(window=3)`, which verify does not know"), "{why}");
    }

    #[test]
    fn what_cannot_have_been_is_not_verified() {
        let at = |remedy, offset| change(remedy, Some("average(window=1)"), &[(0, offset)]);
        let mut back = course("average(window=1)", vec![at(Remedy::Reset, 3), at(Remedy::Reset, 1)]);
        assert!(run(&mut back, &VALUES).unwrap_err().contains("set back"));
        let mut others = course("ewma(alpha=1)", vec![at(Remedy::Kept, 3)]);
        assert!(run(&mut others, &VALUES).unwrap_err().contains("other steps than the file has now"));
    }

    /// The steps of one time: an average in the sense of both, its setting a number from 1 to 5.
    fn described(is_ewma: bool, setting: u8) -> String {
        if is_ewma {
            format!("threshold(above=-50) → ewma(alpha={})", f64::from(setting) / 5.0)
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
        let (mut remembered, mut out) = (None::<(String, Vec<Memory>)>, Vec::new());
        for (setting, is_kept, values) in times {
            let chain = Chain::build(&Part::described(&described(is_ewma, *setting)).unwrap()).unwrap();
            let mut memories = vec![Memory::new(); chain.memories()];
            if let Some((made_by, kept)) = remembered.take() {
                memories = kept;
                chain.take_over(&made_by, &mut memories).unwrap();
            }
            for value in values {
                let mut reading = Reading { sensor: "a".into(), seq: 0, time: 0, value: *value, unit: None };
                if chain.apply(&mut reading, &mut memories) == Ok(Flow::Pass) {
                    out.push(reading.value);
                }
            }
            remembered = is_kept.then(|| (chain.describe(), memories));
        }
        out
    }

    fn is_close(found: &[f64], expected: &[f64]) -> bool {
        found.len() == expected.len() && found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-9)
    }

    proptest! {
        /// Two sensors in two partitions, with records of others between theirs, and changes at any offsets.
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
                let remedy = if *is_kept { Remedy::Kept } else { Remedy::Reset };
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
                    course.saw("in", sensor, i32::try_from(sensor).unwrap(), number * gap);
                }
                let out = course.run("in", (sensor, "a"), &lane(&values), None, &mut Tally::default()).unwrap();
                let out: Vec<f64> = out.entries.iter().map(|entry| entry.value).collect();
                prop_assert!(is_close(&out, &naive(is_ewma, &times)), "{out:?}, {times:?}");
                prop_assert!(is_close(&out, &operators(is_ewma, &times)), "{out:?}, {times:?}");
            }
        }
    }
}
