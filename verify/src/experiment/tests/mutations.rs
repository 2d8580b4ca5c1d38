//! Random experiments with one mistake: exactly that is named.

use proptest::prelude::*;
use proptest::sample::Index;

use super::simulated::{Plan, Simulated, line, measured, measurement, plan};
use super::*;
use crate::experiment::TruthDifferenceKind as Kind;

/// A mistake in the topic or in the log.
#[derive(Debug, Clone, Copy)]
enum Mistake {
    Value,
    Removal,
    Doubling,
    Swap,
    Key,
    Damage,
    Event,
    Average,
    Untold,
}

const MISTAKES: [Mistake; 9] = [
    Mistake::Value,
    Mistake::Removal,
    Mistake::Doubling,
    Mistake::Swap,
    Mistake::Key,
    Mistake::Damage,
    Mistake::Event,
    Mistake::Average,
    Mistake::Untold,
];

/// A difference by its kind, the measurement and the sensor.
type Named = (Kind, Option<String>, Option<String>);

/// The names of what was sent as the record `at`, if it is part of a measurement.
fn names(plan: &Plan, simulated: &Simulated, at: usize) -> (Option<String>, Option<String>) {
    let of = simulated.sent[at].of;
    let sensor = of.map(|(_, sensor)| format!("s{sensor}"));
    (of.map(|(number, _)| measurement(plan, number)), sensor)
}

/// How a message that is missing is named.
fn missing(plan: &Plan, simulated: &Simulated, at: usize) -> Named {
    let (measurement, sensor) = names(plan, simulated, at);
    (
        Kind::Missing,
        measurement,
        sensor.filter(|_| plan.sensors > 1),
    )
}

/// Makes a mistake. Returns what must be named.
fn make(mistake: Mistake, plan: &Plan, simulated: &mut Simulated, index: Index) -> Vec<Named> {
    let at = index.index(simulated.sent.len());
    let number = index.index(plan.ramp + plan.walk.len());
    let id = measurement(plan, number);
    let is_of =
        |line: &String, what: &str| line.contains(&format!("{id}\"")) && line.contains(what);
    let average = simulated
        .lines
        .iter()
        .position(|line| is_of(line, "avg_temperature"))
        .unwrap();
    match mistake {
        Mistake::Value => {
            let sensor = format!("s{}", index.index(plan.sensors));
            let of = Some((number, index.index(plan.sensors)));
            let at = simulated
                .sent
                .iter()
                .position(|sent| sent.of == of)
                .unwrap();
            simulated.sent[at].value = measured(plan.id, [&sensor, &id], 1e6);
            vec![(Kind::WrongValue, Some(id), Some(sensor))]
        }
        Mistake::Removal => {
            let named = missing(plan, simulated, at);
            simulated.sent.remove(at);
            vec![named]
        }
        Mistake::Doubling => {
            let (measurement, sensor) = names(plan, simulated, at);
            let to = at + 1 + index.index(simulated.sent.len() - at);
            simulated.sent.insert(to, simulated.sent[at].clone());
            vec![(Kind::Doubled, measurement, sensor)]
        }
        Mistake::Swap => {
            let at = index.index(simulated.sent.len() - 1);
            let number = |at: usize| simulated.sent[at].of.map(|(number, _)| number);
            let id = |number| Some(measurement(plan, number));
            let named = match (number(at), number(at + 1)) {
                (None, None) => vec![(Kind::WrongLifeCycle, None, None)],
                (Some(one), Some(other)) if one == other => vec![],
                (Some(one), _) => vec![(Kind::OutOfOrder, id(one), None)],
                (None, Some(other)) => vec![(Kind::OutOfOrder, id(other), None)],
            };
            simulated.sent.swap(at, at + 1);
            named
        }
        Mistake::Key => {
            simulated.sent[at].key.push('!');
            vec![(Kind::WrongKey, None, None)]
        }
        Mistake::Damage => {
            simulated.sent[at].value.pop();
            let damaged = (Kind::Undecodable, None, None);
            vec![missing(plan, simulated, at), damaged]
        }
        Mistake::Event => {
            match simulated
                .lines
                .iter()
                .position(|line| is_of(line, "range_event"))
            {
                Some(event) => drop(simulated.lines.remove(event)),
                None => {
                    let event = line(plan.id, Some(&id), r#"{"range_event":"Stabilized"}"#);
                    simulated.lines.insert(average + 1, event);
                }
            }
            vec![(Kind::WrongEvent, Some(id), None)]
        }
        Mistake::Average => {
            let fields = r#"{"avg_temperature":-1e6}"#;
            simulated.lines[average] = line(plan.id, Some(&id), fields);
            vec![(Kind::WrongValue, Some(id), None)]
        }
        Mistake::Untold => {
            simulated.lines.retain(|line| !is_of(line, ""));
            vec![(Kind::Extra, Some(id), None)]
        }
    }
}

fn named(report: &TruthReport) -> Vec<Named> {
    let differences = report.differences.iter();
    let mut named: Vec<Named> = differences
        .map(|found| (found.kind, found.measurement.clone(), found.sensor.clone()))
        .collect();
    named.sort();
    named
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_experiment_is_clean_without_a_mistake(plan in plan("e")) {
        let report = compared(&mut Simulated::new(&plan));
        prop_assert_eq!(named(&report), vec![]);
        let row = &report.experiments[0];
        let found = row.averages.unwrap().right;
        prop_assert_eq!(found, (plan.ramp + plan.walk.len()) as u64);
    }

    #[test]
    fn one_mistake_is_one_difference(
        plan in plan("e"),
        mistake in proptest::sample::select(&MISTAKES[..]),
        index in any::<Index>(),
    ) {
        let mut simulated = Simulated::new(&plan);
        let mut expected = make(mistake, &plan, &mut simulated, index);
        expected.sort();
        // The end is at its place: the producer was not stopped.
        prop_assert_eq!(named(&compared(&mut simulated)), expected);
    }

    #[test]
    fn no_line_and_no_record_can_panic(
        plan in plan("e"),
        place in any::<Index>(),
        byte in any::<Index>(),
        to in any::<u8>(),
    ) {
        let mut simulated = Simulated::new(&plan);
        let record = place.index(simulated.sent.len());
        let value = &mut simulated.sent[record].value;
        let at = byte.index(value.len());
        value[at] = to;
        let number = place.index(simulated.lines.len());
        let mut damaged = simulated.lines[number].clone().into_bytes();
        let at = byte.index(damaged.len());
        damaged[at] = to;
        let lines = simulated.lines.iter().enumerate().map(|(at, line)| {
            if at == number { damaged.clone() } else { line.clone().into_bytes() }
        });
        let text = lines.collect::<Vec<_>>().join(&b'\n');
        let mut reader = TruthLogReader::new().with_values();
        reader.read("log", &text[..]).unwrap();
        let log = reader.finish(None);
        log.listings().for_each(|listing| drop(listing.to_string()));
        compare_topic(log, "t", TruthOptions::default(), &mut simulated).unwrap();
    }
}
