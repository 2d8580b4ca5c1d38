//! What a topic has of an experiment, once it is read: [`Outcome`].

use super::super::difference::TruthDifferenceKind as Kind;
use super::super::difference::{ExperimentFindings, TruthDifference};
use super::super::life_cycle::LifeCycle;
use super::super::log::{LoggedExperiment, LoggedMeasurement};
use super::super::range::RangeJudge;
use super::super::report::{AverageCounts, TruthRow};
use super::super::verdict::Verdict;
use super::found::{FoundExperiment, FoundMeasurement};

/// The outcome for one experiment.
pub(super) struct Outcome<'c> {
    id: &'c str,
    logged: &'c LoggedExperiment,
    found: FoundExperiment,
    tolerance: f64,
}

impl<'c> Outcome<'c> {
    pub(super) fn new(
        id: &'c str,
        logged: &'c LoggedExperiment,
        found: FoundExperiment,
        tolerance: f64,
    ) -> Self {
        Outcome {
            id,
            logged,
            found,
            tolerance,
        }
    }

    /// Compares everything that can only be compared once all is read.
    pub(super) fn compare(&self, mut differences: ExperimentFindings<'_>) -> TruthRow {
        let mut row = TruthRow::new(self.id, self.logged.measurements.len());
        self.compare_stages(&mut differences);
        self.compare_order(&mut differences);
        self.compare_sensors(&mut differences);
        let averages = self.compare_averages(&mut row, &mut differences);
        self.compare_events(&averages, &mut row, &mut differences);
        row
    }

    /// The index behind the last measurement that is in the topic as a whole. If the experiment
    /// has not come to its end, what follows was not committed.
    fn committed(&self) -> usize {
        let whole = |index: &usize| self.is_whole(*index);
        let last = (0..self.logged.measurements.len()).rev().find(whole);
        last.map_or(0, |index| index + 1)
    }

    /// Whether all messages of a measurement are there.
    fn is_whole(&self, index: usize) -> bool {
        let found = &self.found.measurements[index];
        let values = &self.logged.measurements[index].values;
        // Without values in the log, each that was found was added.
        let is_told = values.first().is_some_and(|value| value.logged.is_some());
        let least = match &self.found.configured {
            Some(configured) if !is_told => configured.sensors.len(),
            _ => 1,
        };
        found.count as usize >= least && values.iter().all(|value| value.is_found)
    }

    fn compare_stages(&self, differences: &mut ExperimentFindings<'_>) {
        let logged: Vec<LifeCycle> = self.logged.stages.iter().map(|told| told.stage).collect();
        let names = || {
            let names: Vec<&str> = logged.iter().map(|stage| stage.name()).collect();
            names.join(", ")
        };
        if LifeCycle::ALL.get(..logged.len()) != Some(&logged) {
            let why = match logged.len() {
                0 => "the log has no stage of it".to_owned(),
                _ => format!("in the log its stages are {}", names()),
            };
            differences.push(TruthDifference::new(Kind::WrongLifeCycle, why));
        } else if let Some(first) = self.logged.measurements.first()
            && self.logged.stage(first) < Some(LifeCycle::Stabilization)
        {
            let why = "the log has it before the stabilization";
            let difference = TruthDifference::new(Kind::WrongLifeCycle, why);
            differences.push(difference.measurement(&first.id));
        }
        let committed = self.committed();
        for (stage, number) in logged.iter().zip(1..) {
            if !self.found.stages.contains(stage) {
                let later = self.logged.measurements[..committed].iter();
                let is_last = number == logged.len()
                    && later.filter(|later| later.stage == number).count() == 0;
                let what = format!("{} is not in the topic", stage.record_name());
                differences.push(self.logged.lacking(is_last, &what));
            }
        }
        for stage in &self.found.stages {
            if !logged.contains(stage) {
                let what = "is in the topic, but the log has no such stage";
                let why = format!("{} {what}", stage.record_name());
                differences.push(TruthDifference::new(Kind::Extra, why));
            }
        }
    }

    fn compare_order(&self, differences: &mut ExperimentFindings<'_>) {
        if self.found.is_split {
            let why = "its messages are in several partitions, so they have no order";
            differences.push(TruthDifference::new(Kind::OutOfOrder, why));
            return;
        }
        for (stage, place) in &self.found.late {
            let why = format!("{} comes after a later stage", stage.record_name());
            let difference = TruthDifference::new(Kind::WrongLifeCycle, why);
            differences.push(difference.at(place.clone()));
        }
        for (logged, found) in self.both() {
            let Some(misplaced) = &found.misplaced else {
                continue;
            };
            let stage = self.logged.stage(logged);
            let why = match (misplaced.after, stage) {
                (Some(after), _) => {
                    let after = &self.logged.measurements[after].id;
                    format!("it comes after the measurement {after}")
                }
                // Without its beginning, a stage cannot be told from the one before it.
                (None, Some(stage)) if self.found.stages.contains(&stage) => {
                    let name = |stage: Option<LifeCycle>| stage.map_or("nothing", LifeCycle::name);
                    let (here, there) = (name(misplaced.stage), stage.name());
                    format!("it is in the stage {here}, and must be in the stage {there}")
                }
                _ => continue,
            };
            let difference = TruthDifference::new(Kind::OutOfOrder, why).measurement(&logged.id);
            differences.push(difference.at(misplaced.place.clone()));
        }
    }

    /// Compares the sensors of the beginning with those that have measured.
    fn compare_sensors(&self, differences: &mut ExperimentFindings<'_>) {
        let Some(configured) = &self.found.configured else {
            return;
        };
        let first = self.logged.measurements.first();
        for value in first.into_iter().flat_map(|first| &first.values) {
            let name = self.logged.sensors.name(value.sensor);
            if !configured.sensors.iter().any(|sensor| sensor == name) {
                let why = "experiment_configured does not name it";
                differences.push(TruthDifference::new(Kind::Extra, why).sensor(name));
            }
        }
    }

    /// Each measurement of the log, with what the topic has of it.
    fn both(&self) -> impl Iterator<Item = (&LoggedMeasurement, &FoundMeasurement)> {
        self.logged
            .measurements
            .iter()
            .zip(&self.found.measurements)
    }

    /// Compares the averages, and returns them: that of the log where there is no other.
    fn compare_averages(
        &self,
        row: &mut TruthRow,
        differences: &mut ExperimentFindings<'_>,
    ) -> Vec<Option<f32>> {
        let committed = self.committed();
        let (mut averages, mut counts) = (Vec::new(), AverageCounts::default());
        for (index, (logged, found)) in self.both().enumerate() {
            let (is_last, mean) = (index >= committed, found.mean());
            averages.push(logged.average);
            if found.count == 0 {
                counts.missing += 1;
                let what = "it is not in the topic";
                differences.push(self.logged.lacking(is_last, what).measurement(&logged.id));
            } else if !self.is_whole(index) {
                counts.missing += 1;
                self.name_lacking(logged, is_last, differences);
            } else if found.is_wrong {
                counts.wrong += 1;
            } else if let Some(average) = logged.average {
                averages[index] = Some(mean);
                if (f64::from(average) - f64::from(mean)).abs() <= self.tolerance {
                    counts.right += 1;
                } else {
                    counts.wrong += 1;
                    let why = format!("the log has the average {average}, its sensors have {mean}");
                    let difference = TruthDifference::new(Kind::WrongValue, why);
                    differences.push(difference.measurement(&logged.id));
                }
            } else {
                averages[index] = Some(mean);
                let why = format!("its sensors have the average {mean}, the log has none");
                differences.push(TruthDifference::new(Kind::Extra, why).measurement(&logged.id));
            }
        }
        row.averages = Some(counts);
        averages
    }

    /// Names the sensors whose messages the topic lacks.
    fn name_lacking(
        &self,
        logged: &LoggedMeasurement,
        is_last: bool,
        differences: &mut ExperimentFindings<'_>,
    ) {
        let what = "its message is not in the topic";
        let lacking = logged.values.iter().filter(|value| !value.is_found);
        let mut names: Vec<&str> = lacking
            .map(|value| self.logged.sensors.name(value.sensor))
            .collect();
        if names.is_empty() {
            // The log does not say what each sensor has measured.
            let is_there = |name: &str| {
                let mut values = logged.values.iter();
                values.any(|value| self.logged.sensors.name(value.sensor) == name)
            };
            let configured = self.found.configured.iter().flat_map(|all| &all.sensors);
            names = configured
                .map(String::as_str)
                .filter(|name| !is_there(name))
                .collect();
        }
        for name in names {
            let difference = self.logged.lacking(is_last, what).measurement(&logged.id);
            differences.push(difference.sensor(name));
        }
    }

    fn compare_events(
        &self,
        averages: &[Option<f32>],
        row: &mut TruthRow,
        differences: &mut ExperimentFindings<'_>,
    ) {
        let configured = self.found.configured.as_ref();
        let mut judge = configured.map(|configured| RangeJudge::new(configured.thresholds));
        for ((logged, found), average) in self.both().zip(averages) {
            let difference =
                |kind, why: String| TruthDifference::new(kind, why).measurement(&logged.id);
            let mut events = logged.events.iter().map(|(_, event)| *event);
            let expected = events.next();
            for event in events {
                let why = format!("the log has {event} as one event more");
                differences.push(difference(Kind::Doubled, why));
            }
            let computed = match (&mut judge, average) {
                (Some(judge), Some(average)) => {
                    let computed = judge.judge(self.logged.stage(logged), *average);
                    // What it means depends on a measurement that the log does not have.
                    if found.follows_extra {
                        expected
                    } else {
                        computed
                    }
                }
                // Without thresholds or an average, nothing can be computed.
                _ => {
                    row.judge(expected, None);
                    continue;
                }
            };
            if !row.judge(expected, computed) {
                let name = |event: Option<Verdict>| {
                    event.map_or("no range event".to_owned(), |event| event.to_string())
                };
                let (told, computed) = (name(expected), name(computed));
                let why = format!("the log has {told}, and from the topic {computed} is computed");
                differences.push(difference(Kind::WrongEvent, why));
            }
        }
    }
}
