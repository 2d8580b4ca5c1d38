//! What somebody else's consumer has computed, compared with the ground truth: [`ResultCheck`].

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::difference::TruthDifferenceKind as Kind;
use super::difference::{ExperimentFindings, Findings, TruthDifference, TruthPlace};
use super::log::{LoggedExperiment, TruthLog};
use super::options::TruthOptions;
use super::report::{TruthReport, TruthRow};
use super::verdict::Verdict;

/// What a result may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResultKind {
    /// The average of a measurement.
    Averages,
    /// The range event of a measurement, if there is one.
    Events,
}

/// A result of somebody's consumer.
#[derive(Debug, Clone, Copy, Default)]
pub struct StudentResult<'r> {
    /// The id of the experiment.
    pub experiment: Option<&'r str>,
    /// The id of the measurement.
    pub measurement: Option<&'r str>,
    /// The average of its sensors.
    pub average: Option<f64>,
    /// The name of its range event.
    pub event: Option<&'r str>,
}

/// Compares results with the log, one by one.
#[derive(Debug)]
pub struct ResultCheck<'l> {
    log: &'l TruthLog,
    /// The experiment and the index of each measurement.
    places: HashMap<Rc<str>, (&'l str, usize)>,
    found: HashMap<&'l str, Vec<Found>>,
    kinds: BTreeSet<ResultKind>,
    others: BTreeSet<String>,
    skipped: u64,
    tolerance: f64,
    findings: Findings,
}

/// What was found of a measurement.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    /// Whether its average is right.
    average: Option<bool>,
    /// Whether it has a range event, perhaps one with a name that nobody knows.
    has_event: bool,
    event: Option<Verdict>,
}

impl<'l> ResultCheck<'l> {
    /// A comparison with this log. All measurements must have what is `required`. Without that,
    /// they must have what any of them has.
    #[must_use]
    pub fn new(log: &'l TruthLog, required: &[ResultKind], options: TruthOptions) -> Self {
        let (mut places, mut found) = (HashMap::new(), HashMap::new());
        for (id, experiment) in &log.experiments {
            for (measurement, index) in experiment.measurements.iter().zip(0..) {
                places.insert(measurement.id.clone(), (id.as_str(), index));
            }
            let none = vec![Found::default(); experiment.measurements.len()];
            found.insert(id.as_str(), none);
        }
        ResultCheck {
            log,
            places,
            found,
            kinds: required.iter().copied().collect(),
            others: BTreeSet::new(),
            skipped: 0,
            tolerance: options.tolerance,
            findings: Findings::new(options.show),
        }
    }

    /// Adds a result. One with neither an average nor a range event is skipped and counted.
    pub fn add(&mut self, place: TruthPlace, result: StudentResult<'_>) {
        if result.average.is_none() && result.event.is_none() {
            self.skipped += 1;
            return;
        }
        let Some(id) = result.measurement else {
            self.add_undecodable(
                place,
                "it does not say which measurement it is about".to_owned(),
            );
            return;
        };
        let Some((experiment, index)) = self.places.get(id).copied() else {
            self.add_unknown(id, place, result.experiment);
            return;
        };
        self.kinds
            .extend(result.average.map(|_| ResultKind::Averages));
        self.kinds.extend(result.event.map(|_| ResultKind::Events));
        let mut differences = Vec::new();
        if let Some(other) = result.experiment.filter(|other| *other != experiment) {
            let why = format!("it is about a measurement of another experiment than {other}");
            differences.push((Kind::WrongValue, why));
        }
        let logged = &self.log.experiments[experiment].measurements[index];
        let found = self
            .found
            .get_mut(experiment)
            .and_then(|all| all.get_mut(index));
        let mut nothing = Found::default();
        let found = found.unwrap_or(&mut nothing);
        if let Some(average) = result.average {
            let expected = logged.average.map(f64::from);
            let is_near = |expected: f64| (expected - average).abs() <= self.tolerance;
            let is_right = expected.is_some_and(is_near);
            if found.average.is_some() {
                differences.push((Kind::Doubled, "its average is there twice".to_owned()));
            } else if let Some(expected) = logged.average.filter(|_| !is_right) {
                let why = format!("expected the average {expected}, found {average}");
                differences.push((Kind::WrongValue, why));
            } else if !is_right {
                let why = "the log has no average of it".to_owned();
                differences.push((Kind::Extra, why));
            }
            found.average = found.average.or(Some(is_right));
        }
        if let Some(name) = result.event {
            let event = Verdict::named(name);
            let expected = logged.events.first().map(|(_, event)| *event);
            match (found.has_event, expected) {
                (true, _) => {
                    differences.push((Kind::Doubled, "its range event is there twice".to_owned()));
                }
                (false, None) => {
                    let why = format!("the log has no range event there, found {name}");
                    differences.push((Kind::Extra, why));
                }
                (false, Some(expected)) if event != Some(expected) => {
                    let why = format!("expected {expected}, found {name}");
                    differences.push((Kind::WrongEvent, why));
                }
                (false, Some(_)) => (),
            }
            if !std::mem::replace(&mut found.has_event, true) {
                found.event = event;
            }
        }
        for (kind, why) in differences {
            let difference = TruthDifference::new(kind, why).experiment(experiment);
            self.findings
                .add(difference.measurement(id).at(place.clone()));
        }
    }

    /// Adds a result of which nothing is known but why.
    pub fn add_undecodable(&mut self, place: TruthPlace, why: String) {
        self.findings
            .add(TruthDifference::new(Kind::Undecodable, why).at(place));
    }

    /// Adds a result for a measurement that is not among those that are compared.
    fn add_unknown(&mut self, id: &str, place: TruthPlace, experiment: Option<&str>) {
        let mut left_out = self.log.left_out.values();
        if left_out.any(|experiment| experiment.find(id).is_some()) {
            return;
        }
        match experiment {
            Some(other) if !self.log.experiments.contains_key(other) => {
                self.others.insert(other.to_owned());
            }
            _ => {
                let why = "the measurement is not in the log";
                let mut difference = TruthDifference::new(Kind::Extra, why).measurement(id);
                if let Some(experiment) = experiment {
                    difference = difference.experiment(experiment);
                }
                self.findings.add(difference.at(place));
            }
        }
    }

    /// The outcome. `compared_with` is the name of the file or the topic.
    #[must_use]
    pub fn report(mut self, compared_with: &str) -> TruthReport {
        if self.kinds.is_empty() {
            self.kinds = [ResultKind::Averages, ResultKind::Events].into();
        }
        let mut rows = Vec::new();
        for (id, logged) in &self.log.experiments {
            let found = self.found.remove(id.as_str()).unwrap_or_default();
            let row = row(id, logged, &found, &self.kinds);
            name_lacking(logged, &found, &self.kinds, self.findings.about(id));
            rows.push(row);
        }
        let mut report = TruthReport::new(compared_with, rows, self.findings);
        for (count, what) in [
            (
                self.others.len() as u64,
                "experiments that are only in the results",
            ),
            (
                self.skipped,
                "results with neither an average nor a range event",
            ),
            (
                self.log.left_out.len() as u64,
                "experiments of the log that were left out",
            ),
        ] {
            if count > 0 {
                report.notes.push(format!("{what}: {count}"));
            }
        }
        report
    }
}

/// The counts of an experiment.
fn row(
    id: &str,
    logged: &LoggedExperiment,
    found: &[Found],
    kinds: &BTreeSet<ResultKind>,
) -> TruthRow {
    let mut row = TruthRow::new(id, logged.measurements.len());
    if kinds.contains(&ResultKind::Averages) {
        let counts = row.averages.get_or_insert_default();
        for found in found {
            match found.average {
                Some(true) => counts.right += 1,
                Some(false) => counts.wrong += 1,
                None => counts.missing += 1,
            }
        }
    }
    if kinds.contains(&ResultKind::Events) {
        for (measurement, found) in logged.measurements.iter().zip(found) {
            let expected = measurement.events.first().map(|(_, event)| *event);
            row.judge(expected, found.event);
        }
    }
    row
}

/// Names what the results lack of an experiment. If they lack all of it, that is one difference.
fn name_lacking(
    logged: &LoggedExperiment,
    found: &[Found],
    kinds: &BTreeSet<ResultKind>,
    mut differences: ExperimentFindings<'_>,
) {
    let needs = |kind| kinds.contains(&kind);
    let is_there = |found: &Found| found.average.is_some() || found.has_event;
    let has_event = logged
        .measurements
        .iter()
        .any(|measurement| !measurement.events.is_empty());
    let is_needed = needs(ResultKind::Averages) || has_event;
    if !found.iter().any(is_there) && !found.is_empty() && is_needed {
        let why = "nothing of it is in the results";
        differences.push(TruthDifference::new(Kind::Missing, why));
        return;
    }
    let last = found.iter().rposition(is_there);
    for (index, (measurement, found)) in logged.measurements.iter().zip(found).enumerate() {
        let is_last = needs(ResultKind::Averages) && Some(index) > last;
        let mut add = |what: &str| {
            let difference = logged.lacking(is_last, what);
            differences.push(difference.measurement(&measurement.id));
        };
        if needs(ResultKind::Averages) && found.average.is_none() && measurement.average.is_some() {
            add("its average is not in the results");
        }
        let event = measurement.events.first().map(|(_, event)| *event);
        if let Some(event) = event.filter(|_| needs(ResultKind::Events) && !found.has_event) {
            add(&format!("its range event {event} is not in the results"));
        }
    }
}
