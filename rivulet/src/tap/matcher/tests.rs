use proptest::prelude::*;

use super::*;

const KEPT: KeptParts = KeptParts {
    sensor: Part::Kept,
    seq: Part::Kept,
    time: Part::Kept,
};
/// As of the format `number`.
const LOST: KeptParts = KeptParts {
    sensor: Part::Lost,
    seq: Part::Lost,
    time: Part::Lost,
};

fn reading(sensor: &str, seq: u64) -> TapReading {
    TapReading {
        sensor: sensor.into(),
        seq,
        time: 1000,
        value: 1.0,
        unit: None,
    }
}

fn input(place: (usize, i32, i64), timestamp: i64, readings: Vec<TapReading>) -> Input {
    let (topic, partition, offset) = place;
    Input {
        place: Place {
            topic,
            partition,
            offset,
        },
        timestamp,
        readings,
        raw: None,
        is_shown: true,
    }
}

fn output(place: (usize, i32, i64), timestamp: i64, reading: TapReading) -> Output {
    Output {
        place: input(place, 0, Vec::new()).place,
        timestamp,
        reading,
    }
}

fn letter() -> TapDeadLetter {
    TapDeadLetter {
        reason: "not-json".into(),
        error: "no".into(),
        partition: 0,
        offset: 0,
    }
}

/// What the stage does with an input.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// So many outputs for each reading in each topic.
    Writes(usize),
    DeadLetter,
    Unpassed,
}

/// An input with what becomes of it.
#[derive(Debug, Clone)]
struct Case {
    input: Input,
    fate: Fate,
}

/// Inputs in two topics of two partitions. Each sensor is in one partition; some records have
/// several readings or none.
fn cases() -> impl Strategy<Value = Vec<Case>> {
    let fate = prop_oneof![
        4 => Just(Fate::Writes(1)),
        1 => Just(Fate::Writes(2)),
        3 => Just(Fate::Writes(0)),
        1 => Just(Fate::DeadLetter),
    ];
    let one = (0..2_usize, 0..2_i32, 0..3_usize, 0..3_i64, fate);
    (prop::collection::vec(one, 1..40), 0..6_i64).prop_map(|(all, unpassed)| {
        let mut next: BTreeMap<(usize, i32), i64> = BTreeMap::new();
        let mut timestamp = 0;
        let mut cases = Vec::new();
        for (seq, (topic, partition, readings, step, fate)) in (0..).zip(all) {
            // Many have the same timestamp, and offsets have gaps: transaction markers.
            timestamp += step / 2;
            let offset = next.entry((topic, partition)).or_default();
            *offset += 1 + step;
            let names = (0..readings).map(|number| format!("{topic}/{partition}/{number}"));
            let readings = names.map(|name| reading(&name, seq)).collect();
            let input = input((topic, partition, *offset), timestamp, readings);
            cases.push(Case { input, fate });
        }
        // The stage has not passed the last ones of a partition.
        for ((topic, partition), last) in next {
            for case in &mut cases {
                let place = case.input.place;
                let is_of = (place.topic, place.partition) == (topic, partition);
                if is_of && place.offset > last - unpassed {
                    case.fate = Fate::Unpassed;
                }
            }
        }
        cases
    })
}

/// What was made of an input, by the way it was made.
type Expected = BTreeMap<Place, (Outcome, Vec<(usize, Output)>)>;

/// The outputs in the order in which the stage writes them, and what must be found.
fn written(cases: &[Case]) -> (Vec<Vec<Output>>, Expected) {
    let mut offsets = [[0_i64; 2]; 2];
    let (mut all, mut expected) = (Vec::new(), Expected::new());
    for case in cases {
        let mut outputs = Vec::new();
        let (count, none) = match case.fate {
            Fate::Writes(count) => (count, Outcome::Dropped),
            Fate::DeadLetter => (0, Outcome::DeadLetter(letter())),
            Fate::Unpassed => (0, Outcome::Pending),
        };
        for (index, reading) in case.input.readings.iter().enumerate() {
            for (topic, offsets) in offsets.iter_mut().enumerate() {
                for _ in 0..count {
                    let partition = index % 2;
                    let offset = &mut offsets[partition];
                    *offset += 1;
                    let place = (topic, i32::try_from(partition).unwrap(), *offset);
                    let made = output(place, case.input.timestamp, reading.clone());
                    outputs.push((index, made));
                }
            }
        }
        let outcome = if outputs.is_empty() {
            none
        } else {
            Outcome::Written
        };
        all.push(outputs.iter().map(|(_, output)| output.clone()).collect());
        outputs.sort_by_key(|(index, output)| (*index, output.place));
        expected.insert(case.input.place, (outcome, outputs));
    }
    (all, expected)
}

/// What a matcher finds if the inputs come in some steps, each with what was made of them.
fn found(cases: &[Case], kept: KeptParts, steps: &[usize], later: bool) -> Vec<Matched> {
    let (outputs, _) = written(cases);
    let mut matcher = Matcher::new(vec![kept; 2], usize::MAX);
    let mut matched = Vec::new();
    let mut committed = BTreeMap::new();
    let mut left: Vec<usize> = (0..cases.len()).collect();
    for step in steps.iter().copied().chain([usize::MAX]) {
        let now: Vec<usize> = left.drain(..step.min(left.len())).collect();
        let mut inputs: Vec<&Case> = now.iter().map(|index| &cases[*index]).collect();
        let mut made: Vec<Output> = now
            .iter()
            .flat_map(|index| outputs[*index].clone())
            .collect();
        // The topics are read one after the other, in any order.
        if step % 2 == 0 {
            inputs.sort_by_key(|case| (case.input.place.partition, case.input.place));
            made.reverse();
        }
        let outputs_first = step % 3 == 0;
        if outputs_first {
            made.drain(..).for_each(|output| matcher.output(output));
        }
        for case in &inputs {
            matcher.input(case.input.clone());
            if let Fate::DeadLetter = case.fate {
                matcher.dead_letter(case.input.place, letter());
            }
        }
        for output in made {
            matcher.output(output);
        }
        // The offsets that are looked up may be older than what was read.
        let before = committed.clone();
        for case in &inputs {
            if !matches!(case.fate, Fate::Unpassed) {
                let place = case.input.place;
                committed.insert((place.topic, place.partition), place.offset + 1);
            }
        }
        let is_last = left.is_empty();
        let known = if later && !is_last {
            &before
        } else {
            &committed
        };
        matched.extend(matcher.settle(known));
    }
    matched.extend(matcher.rest());
    assert_eq!(matcher.waiting(), 0);
    assert!(matcher.index.is_empty());
    matched
}

proptest! {
    /// The naive way: each output is noted when it is made.
    #[test]
    fn any_interleaving_finds_what_was_made_of_each(
        cases in cases(),
        steps in prop::collection::vec(0..7_usize, 0..20),
        later: bool,
        are_parts_known: bool,
    ) {
        let kept = if are_parts_known { KEPT } else { KEPT.loose() };
        let (_, expected) = written(&cases);
        let matched = found(&cases, kept, &steps, later);
        prop_assert_eq!(matched.len(), cases.len());
        for one in matched {
            let (outcome, outputs) = &expected[&one.input.place];
            prop_assert_eq!((&one.outcome, &one.outputs), (outcome, outputs), "{:?}", one.input);
            prop_assert!(!one.is_ambiguous);
        }
    }

    /// A format that keeps nothing but the timestamp: what is written is that of some input with
    /// the same one, and no output is lost.
    #[test]
    fn bare_numbers_belong_to_an_input_of_their_time(
        cases in cases(),
        steps in prop::collection::vec(0..7_usize, 0..20),
    ) {
        let (outputs, _) = written(&cases);
        let matched = found(&cases, LOST, &steps, false);
        let given: usize = matched.iter().map(|one| one.outputs.len()).sum();
        prop_assert_eq!(given, outputs.iter().map(Vec::len).sum::<usize>());
        for one in matched {
            for (_, output) in &one.outputs {
                prop_assert_eq!(output.timestamp, one.input.timestamp);
            }
        }
    }
}

fn all_passed() -> BTreeMap<(usize, i32), i64> {
    BTreeMap::from([((0, 0), i64::MAX)])
}

#[test]
fn what_cannot_be_told_apart_is_said_to_be_so() {
    let mut matcher = Matcher::new(vec![LOST], usize::MAX);
    for offset in 0..3 {
        matcher.input(input((0, 0, offset), 7, vec![reading("", 0)]));
    }
    matcher.input(input((0, 0, 3), 8, vec![reading("", 0)]));
    for (offset, timestamp) in [(0, 7), (1, 7), (2, 8)] {
        matcher.output(output((0, 0, offset), timestamp, reading("", 5)));
    }
    let matched = matcher.settle(&all_passed());
    let shown: Vec<(usize, bool)> = matched
        .iter()
        .map(|one| (one.outputs.len(), one.is_ambiguous))
        .collect();
    assert_eq!(shown, [(1, true), (1, true), (0, true), (1, false)]);
}

#[test]
fn a_replaced_timestamp_is_no_other_reading() {
    let mut matcher = Matcher::new(vec![KEPT], usize::MAX);
    matcher.input(input((0, 0, 0), 7, vec![reading("a", 0)]));
    matcher.output(output((0, 0, 0), 99, reading("a", 0)));
    matcher.output(output((0, 0, 1), 7, reading("a", 1)));
    let matched = matcher.settle(&all_passed());
    assert_eq!((matched.len(), matched[0].outputs.len()), (1, 1));
    assert_eq!(matched[0].outcome, Outcome::Written);
}

#[test]
fn a_mean_that_comes_late_belongs_to_what_completed_it() {
    let mut matcher = Matcher::new(vec![KEPT.loose()], usize::MAX);
    matcher.input(input((0, 0, 0), 7, vec![reading("a", 0)]));
    assert_eq!(matcher.settle(&all_passed())[0].outcome, Outcome::Dropped);
    matcher.input(input((0, 0, 1), 8, vec![reading("a", 1)]));
    matcher.output(output((0, 0, 0), 8, reading("a", 0)));
    let matched = matcher.settle(&all_passed());
    assert_eq!(
        (matched[0].input.place.offset, matched[0].outputs.len()),
        (1, 1)
    );
}

#[test]
fn no_more_wait_than_may_and_the_rest_is_counted() {
    let mut matcher = Matcher::new(vec![KEPT], 2);
    for offset in 0..5 {
        matcher.input(input((0, 0, offset), 7, vec![reading("a", 0)]));
    }
    assert_eq!((matcher.waiting(), matcher.take_left_out()), (2, 3));
    assert_eq!(matcher.take_left_out(), 0);
    assert_eq!(matcher.rest().len(), 2);
    matcher.input(input((0, 0, 5), 7, vec![reading("a", 0)]));
    assert_eq!(matcher.rest()[0].outcome, Outcome::Pending);
}
