//! Which outputs belong to which inputs: [`Matcher`].

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::records::{
    Input, KeptParts, Matched, Outcome, Output, Part, Place, TapDeadLetter, TapReading,
};

/// Finds the outputs of inputs.
///
/// An output has the timestamp of its input, and those parts of its reading that its format keeps.
/// If that is all of them, the timestamp may differ: brokers that reject it get the current time.
/// Inputs that are the same in all of them share their outputs evenly, in the order of offsets.
///
/// Whoever reads the topics must keep two promises when it calls [`settle`](Self::settle). All
/// inputs below the committed offsets and all that the stage made of them have been added. And an
/// output is added no later than its input is, or between the same two calls.
#[derive(Debug)]
pub(super) struct Matcher {
    /// By output topic.
    kept: Vec<KeptParts>,
    /// How many inputs may wait.
    most: usize,
    waiting: BTreeMap<Place, Waiting>,
    /// The readings that wait, by what an output of a topic has of them.
    index: HashMap<u64, Vec<(Place, usize)>>,
    outputs: Vec<Output>,
    letters: HashMap<Place, TapDeadLetter>,
    left_out: u64,
}

#[derive(Debug)]
struct Waiting {
    input: Input,
    outputs: Vec<(usize, Output)>,
    /// Of what others might be, too.
    class: Option<u64>,
}

impl Matcher {
    pub(super) fn new(kept: Vec<KeptParts>, most: usize) -> Self {
        Matcher {
            kept,
            most,
            waiting: BTreeMap::new(),
            index: HashMap::new(),
            outputs: Vec::new(),
            letters: HashMap::new(),
            left_out: 0,
        }
    }

    /// Adds an input. If too many wait, it is left out and counted.
    pub(super) fn input(&mut self, input: Input) {
        if self.waiting.len() >= self.most {
            self.left_out += u64::from(input.is_shown);
            return;
        }
        for (index, reading) in input.readings.iter().enumerate() {
            for key in self.keys(input.timestamp, reading) {
                self.index
                    .entry(key)
                    .or_default()
                    .push((input.place, index));
            }
        }
        let waiting = Waiting {
            outputs: Vec::new(),
            class: None,
            input,
        };
        self.waiting.insert(waiting.input.place, waiting);
    }

    /// Lets so many inputs wait.
    pub(super) fn allow(&mut self, most: usize) {
        self.most = most;
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push(output);
    }

    /// Adds a dead letter of the input at this place.
    pub(super) fn dead_letter(&mut self, origin: Place, letter: TapDeadLetter) {
        self.letters.insert(origin, letter);
    }

    /// How many inputs wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many inputs were left out since this was asked last.
    pub(super) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    /// What became of the inputs below these offsets, by topic and partition, in the order of
    /// timestamps.
    pub(super) fn settle(&mut self, committed: &BTreeMap<(usize, i32), i64>) -> Vec<Matched> {
        self.attach();
        let is_passed = |place: &Place| {
            let next = committed.get(&(place.topic, place.partition));
            next.is_some_and(|next| place.offset < *next)
        };
        let passed: Vec<Place> = self.waiting.keys().copied().filter(is_passed).collect();
        // What belongs to no input that waits is of inputs that were never added.
        let (waiting, letters) = (&self.waiting, &mut self.letters);
        letters.retain(|place, _| waiting.contains_key(place));
        self.matched(&passed, &Outcome::Dropped)
    }

    /// What is known of the inputs that the stage has not passed.
    pub(super) fn rest(&mut self) -> Vec<Matched> {
        self.attach();
        let all: Vec<Place> = self.waiting.keys().copied().collect();
        self.matched(&all, &Outcome::Pending)
    }

    /// Gives the outputs to their inputs.
    fn attach(&mut self) {
        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.sort_by_key(|output| output.place);
        for output in outputs {
            let kept = self.kept[output.place.topic];
            let key = key(kept, output.place.topic, output.timestamp, &output.reading);
            let candidates = self.index.get(&key).map_or(&[][..], Vec::as_slice);
            let ranked = candidates.iter().filter_map(|(place, index)| {
                let waiting = self.waiting.get(place)?;
                let reading = waiting.input.readings.get(*index)?;
                let is_other = waiting.input.timestamp != output.timestamp;
                if is_other && !kept.is_all() {
                    return None;
                }
                let rank = rank(kept, reading, &output.reading)? + usize::from(is_other);
                let of_topic = waiting
                    .outputs
                    .iter()
                    .filter(|(of, other)| of == index && other.place.topic == output.place.topic);
                Some((rank, of_topic.count(), *place, *index))
            });
            let ranked: Vec<_> = ranked.collect();
            let Some((best, _, place, index)) = ranked.iter().copied().min() else {
                continue;
            };
            let rivals: Vec<Place> = ranked
                .iter()
                .filter(|(rank, ..)| *rank == best)
                .map(|(.., rival, _)| *rival)
                .collect();
            if rivals.len() > 1 {
                for rival in rivals {
                    if let Some(waiting) = self.waiting.get_mut(&rival) {
                        waiting.class = Some(key);
                    }
                }
            }
            if let Some(waiting) = self.waiting.get_mut(&place) {
                waiting.outputs.push((index, output));
            }
        }
    }

    fn matched(&mut self, places: &[Place], otherwise: &Outcome) -> Vec<Matched> {
        let taken = places.iter().filter_map(|place| self.waiting.remove(place));
        let taken: Vec<Waiting> = taken.collect();
        for waiting in &taken {
            for reading in &waiting.input.readings {
                for key in self.keys(waiting.input.timestamp, reading) {
                    if let Some(places) = self.index.get_mut(&key) {
                        places.retain(|(place, _)| *place != waiting.input.place);
                        if places.is_empty() {
                            self.index.remove(&key);
                        }
                    }
                }
            }
        }
        let uneven = uneven(&taken);
        let mut matched: Vec<Matched> = taken
            .into_iter()
            .map(|waiting| {
                let outcome = match self.letters.remove(&waiting.input.place) {
                    Some(letter) => Outcome::DeadLetter(letter),
                    None if waiting.outputs.is_empty() => otherwise.clone(),
                    None => Outcome::Written,
                };
                let mut outputs = waiting.outputs;
                outputs.sort_by_key(|(index, output)| (*index, output.place));
                Matched {
                    is_ambiguous: waiting.class.is_some_and(|class| uneven.contains(&class)),
                    input: waiting.input,
                    outputs,
                    outcome,
                }
            })
            .collect();
        matched.sort_by_key(|matched| (matched.input.timestamp, matched.input.place));
        matched
    }

    /// What outputs of each topic have of a reading.
    fn keys(&self, timestamp: i64, reading: &TapReading) -> Vec<u64> {
        let kept = self.kept.iter().enumerate();
        kept.map(|(topic, kept)| key(*kept, topic, timestamp, reading))
            .collect()
    }
}

/// The classes of inputs that cannot be told apart and of which some have more outputs.
fn uneven(taken: &[Waiting]) -> Vec<u64> {
    let mut counts: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for waiting in taken {
        if let Some(class) = waiting.class {
            counts.entry(class).or_default().push(waiting.outputs.len());
        }
    }
    let uneven = counts
        .into_iter()
        .filter(|(_, counts)| counts.iter().any(|count| *count != counts[0]));
    uneven.map(|(class, _)| class).collect()
}

/// What an output of this topic has of a reading, as a number.
fn key(kept: KeptParts, topic: usize, timestamp: i64, reading: &TapReading) -> u64 {
    let mut hasher = DefaultHasher::new();
    topic.hash(&mut hasher);
    if !kept.is_all() {
        timestamp.hash(&mut hasher);
    }
    if kept.sensor == Part::Kept {
        reading.sensor.hash(&mut hasher);
    }
    if kept.seq == Part::Kept {
        reading.seq.hash(&mut hasher);
    }
    if kept.time == Part::Kept {
        reading.time.hash(&mut hasher);
    }
    hasher.finish()
}

/// How many parts differ that might be the same. `None` if one differs that must be the same.
fn rank(kept: KeptParts, input: &TapReading, output: &TapReading) -> Option<usize> {
    let parts = [
        (kept.sensor, input.sensor == output.sensor),
        (kept.seq, input.seq == output.seq),
        (kept.time, input.time == output.time),
    ];
    let differ = parts.iter().filter(|(_, is_same)| !is_same);
    differ
        .map(|(part, _)| match part {
            Part::Kept => None,
            Part::Unknown => Some(1),
            Part::Lost => Some(0),
        })
        .sum()
}

#[cfg(test)]
mod tests;
