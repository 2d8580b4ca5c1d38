//! An experiment for people and programs: [`TruthListing`].

use std::fmt;

use rivulet_core::text::{plain, plain_json};
use serde::Serialize;

use super::log::{LoggedExperiment, TruthLog};
use super::verdict::Verdict;

/// What the log says about one experiment. Displayed, it is a banner with the experiment's id and a
/// JSON array of what happened.
#[derive(Debug)]
pub struct TruthListing<'t> {
    id: &'t str,
    entries: Vec<Entry<'t>>,
}

/// What happened.
#[derive(Debug, Serialize)]
struct Entry<'t> {
    timestamp: &'t str,
    #[serde(flatten)]
    happened: Happened<'t>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event_type", content = "value", rename_all = "snake_case")]
enum Happened<'t> {
    NewStage(&'static str),
    AvgTemperature {
        measurement_id: &'t str,
        average: f32,
    },
    RangeEvent {
        measurement_id: &'t str,
        event: Verdict,
    },
}

impl TruthLog {
    /// Each experiment, sorted by id.
    pub fn listings(&self) -> impl Iterator<Item = TruthListing<'_>> {
        self.experiments
            .iter()
            .map(|(id, experiment)| TruthListing {
                id,
                entries: entries(experiment),
            })
    }
}

fn entries(experiment: &LoggedExperiment) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    let mut measurements = experiment.measurements.iter().peekable();
    for number in 0..=experiment.stages.len() {
        if let Some(before) = number.checked_sub(1) {
            let stage = &experiment.stages[before];
            entries.push(Entry {
                timestamp: &stage.timestamp,
                happened: Happened::NewStage(stage.stage.name()),
            });
        }
        while let Some(measurement) = measurements.next_if(|next| next.stage == number) {
            let measurement_id = &*measurement.id;
            entries.extend(measurement.average.map(|average| Entry {
                timestamp: &measurement.timestamp,
                happened: Happened::AvgTemperature {
                    measurement_id,
                    average,
                },
            }));
            entries.extend(measurement.events.iter().map(|(timestamp, event)| Entry {
                timestamp,
                happened: Happened::RangeEvent {
                    measurement_id,
                    event: *event,
                },
            }));
        }
    }
    entries
}

impl fmt::Display for TruthListing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = "*".repeat(55);
        let sides = format!("*{:53}*", "");
        let title = format!("*   EXPERIMENT {}   *", plain(self.id));
        writeln!(f, "\n{line}\n{sides}\n{title}\n{sides}\n{line}\n")?;
        let json = serde_json::to_string_pretty(&self.entries).map_err(|_| fmt::Error)?;
        writeln!(f, "{}", plain_json(&json))
    }
}
