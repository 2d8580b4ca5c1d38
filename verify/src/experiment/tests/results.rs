//! What a student's consumer has computed.

use proptest::prelude::*;
use proptest::sample::Index;

use super::simulated::{Simulated, plan as any_plan};
use super::*;
use crate::experiment::TruthDifferenceKind as Kind;

/// A result of its own.
#[derive(Debug, Clone, Default)]
struct Computed {
    experiment: Option<String>,
    measurement: Option<String>,
    average: Option<f64>,
    event: Option<String>,
}

/// What a student computes who makes no mistake: a result for each average and each event.
fn right(log: &TruthLog) -> Vec<Computed> {
    let mut all = Vec::new();
    for (id, experiment) in &log.experiments {
        for measurement in &experiment.measurements {
            let computed = Computed {
                experiment: Some(id.clone()),
                measurement: Some(measurement.id.to_string()),
                ..Computed::default()
            };
            all.push(Computed {
                average: measurement.average.map(f64::from),
                ..computed.clone()
            });
            all.extend(measurement.events.iter().map(|(_, event)| Computed {
                event: Some(event.to_string()),
                ..computed.clone()
            }));
        }
    }
    all
}

fn checked(log: &TruthLog, computed: &[Computed], required: &[ResultKind]) -> TruthReport {
    let mut check = ResultCheck::new(log, required, TruthOptions::default());
    for (result, line) in computed.iter().zip(1..) {
        let file = "results".to_owned();
        let result = StudentResult {
            experiment: result.experiment.as_deref(),
            measurement: result.measurement.as_deref(),
            average: result.average,
            event: result.event.as_deref(),
        };
        check.add(TruthPlace::Line { file, line }, result);
    }
    check.report("results")
}

fn plan_log() -> TruthLog {
    log(&Simulated::new(&plan()).lines)
}

#[test]
fn right_results_are_clean() {
    let log = plan_log();
    let computed = right(&log);
    let report = checked(&log, &computed, &[ResultKind::Averages, ResultKind::Events]);
    assert_eq!(kinds(&report), []);
    let row = &report.experiments[0];
    assert_eq!(row.averages.unwrap().right, 7);
    assert_eq!(row.stabilized.unwrap().found, 1);
    let verdict = "compared 7 measurements of 1 experiment with results: no difference";
    assert_eq!(report.verdict(), verdict);
}

#[test]
fn who_only_has_averages_needs_no_events() {
    let log = plan_log();
    let mut computed = right(&log);
    computed.retain(|result| result.average.is_some());
    let report = checked(&log, &computed, &[]);
    assert!(report.is_clean && report.experiments[0].stabilized.is_none());
    let report = checked(&log, &computed, &[ResultKind::Events]);
    assert_eq!(kinds(&report), [(Kind::Missing, 3)]);
    let expected = "missing: experiment e1, measurement e1-m1: its range event Stabilized is not \
                    in the results";
    assert_eq!(report.differences[0].to_string(), expected);

    let mut computed = right(&log);
    computed.retain(|result| result.event.is_some());
    let report = checked(&log, &computed, &[]);
    assert!(report.is_clean && report.experiments[0].averages.is_none());
    let report = checked(&log, &computed, &[ResultKind::Averages]);
    assert_eq!(kinds(&report), [(Kind::Missing, 7)]);
}

#[test]
fn no_results_are_not_right() {
    let log = plan_log();
    let empty = [Computed::default()];
    for computed in [&[][..], &empty] {
        let report = checked(&log, computed, &[]);
        let expected = "missing: experiment e1: nothing of it is in the results";
        assert_eq!(only(&report), expected);
        assert_eq!(report.experiments[0].averages.unwrap().missing, 7);
    }
    let report = checked(&log, &empty, &[]);
    assert_eq!(
        report.notes,
        ["results with neither an average nor a range event: 1"]
    );
}

#[test]
fn a_small_difference_is_in_the_tolerance() {
    let log = plan_log();
    let mut computed = right(&log);
    computed[0].average = computed[0].average.map(|average| average + 0.0099);
    assert!(checked(&log, &computed, &[]).is_clean);
    computed[0].average = computed[0].average.map(|average| average + 0.0002);
    let report = checked(&log, &computed, &[]);
    assert!(only(&report).starts_with("wrong value: experiment e1, measurement e1-m0, results:1:"));
    assert_eq!(report.experiments[0].averages.unwrap().wrong, 1);
}

#[test]
fn what_is_not_in_the_log_is_extra_or_anothers() {
    let log = plan_log();
    let mut computed = right(&log);
    let average = Some(1.0);
    let result = |experiment: Option<&str>, measurement: Option<&str>| Computed {
        experiment: experiment.map(str::to_owned),
        measurement: measurement.map(str::to_owned),
        average,
        event: None,
    };
    computed.push(result(Some("e2"), Some("m")));
    let report = checked(&log, &computed, &[]);
    assert!(report.is_clean);
    assert_eq!(
        report.notes,
        ["experiments that are only in the results: 1"]
    );
    computed.push(result(None, Some("m")));
    computed.push(result(Some("e1"), None));
    let event = Some("melted".to_owned());
    let measurement = Some("e1-m1".to_owned());
    computed.retain(|result| result.event.is_none());
    computed.push(Computed {
        measurement: measurement.clone(),
        event,
        ..Computed::default()
    });
    let event = Some("stabilized".to_owned());
    computed.push(Computed {
        experiment: Some("e2".to_owned()),
        measurement: Some("e1-m2".to_owned()),
        event,
        ..Computed::default()
    });
    let report = checked(&log, &computed, &[]);
    let shown: Vec<String> = report.differences.iter().map(ToString::to_string).collect();
    let expected = [
        "extra: measurement m, results:9: the measurement is not in the log",
        "undecodable: results:10: it does not say which measurement it is about",
        "wrong range event: experiment e1, measurement e1-m1, results:11: expected Stabilized, \
         found melted",
        "wrong value: experiment e1, measurement e1-m2, results:12: it is about a measurement of \
         another experiment than e2",
        "extra: experiment e1, measurement e1-m2, results:12: the log has no range event there, \
         found stabilized",
        "missing: experiment e1, measurement e1-m3: its range event OutOfRange is not in the \
         results",
        "missing: experiment e1, measurement e1-m6: its range event OutOfRange is not in the \
         results",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn the_end_of_a_stopped_producer_is_named() {
    let mut simulated = Simulated::new(&plan());
    simulated.lines.pop();
    let log = log(&simulated.lines);
    let mut computed = right(&log);
    // The last measurement has an average and a range event.
    computed.truncate(computed.len() - 2);
    let report = checked(&log, &computed, &[]);
    assert_eq!(kinds(&report), [(Kind::NotCommitted, 2)]);
    computed.remove(0);
    let report = checked(&log, &computed, &[]);
    assert_eq!(
        kinds(&report),
        [(Kind::Missing, 1), (Kind::NotCommitted, 2)]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn one_mistake_of_a_student_is_one_difference(
        plan in any_plan("e"),
        index in any::<Index>(),
        mistake in 0..4,
    ) {
        let log = log(&Simulated::new(&plan).lines);
        let mut computed = right(&log);
        let both = [ResultKind::Averages, ResultKind::Events];
        prop_assert_eq!(kinds(&checked(&log, &computed, &both)), vec![]);
        let at = index.index(computed.len());
        let is_average = computed[at].average.is_some();
        let expected = match mistake {
            0 => {
                computed.remove(at);
                Kind::Missing
            }
            1 => {
                computed.push(computed[at].clone());
                Kind::Doubled
            }
            2 if is_average => {
                computed[at].average = Some(1e6);
                Kind::WrongValue
            }
            2 => {
                let is = computed[at].event.as_deref() == Some("Stabilized");
                let other = if is { "OutOfRange" } else { "Stabilized" };
                computed[at].event = Some(other.to_owned());
                Kind::WrongEvent
            }
            _ => {
                computed[at].measurement.as_mut().unwrap().push('?');
                Kind::Extra
            }
        };
        let report = checked(&log, &computed, &both);
        let mut kinds = kinds(&report);
        if mistake == 3 {
            kinds.retain(|(kind, count)| (*kind, *count) != (Kind::Missing, 1));
        }
        // Of an experiment with one measurement, nothing at all is there.
        prop_assert_eq!(kinds, vec![(expected, 1)]);
    }
}
