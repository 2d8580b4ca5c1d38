//! Whether the state of stages was made by the chains of the file.

use std::collections::BTreeSet;
use std::fmt;

use crate::CheckedPipeline;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::operator::Operator;
use rivulet_operators::Chain;
use rivulet_pipeline::Stage;

use super::{Changelog, StoredSensor};
use crate::table::aligned;
use crate::text::plural;
use rivulet_core::topic_source::ReadProgress;
use rivulet_kafka::TopicReader;

/// Which states were made by the chains of the file. Displayed, it is a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// One for each stage.
    pub findings: Vec<Finding>,
}

/// The result for one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The stage's name.
    pub stage: String,
    /// What is in its changelog, in one line, or why the stage would not start with it.
    pub state: Result<String>,
}

/// Checks whether the committed states of these stages were made by the chains of the file. Does
/// not join a group or wait for a transaction.
///
/// # Errors
/// If the brokers are unreachable. A state of another chain is not an error but a finding.
pub fn check(pipeline: &CheckedPipeline<'_>, stages: &[&Stage]) -> Result<Checked> {
    let changelogs: Vec<String> = stages.iter().map(|stage| stage.changelog()).collect();
    let mut silent = |_: ReadProgress<'_>| ();
    let mut reader =
        TopicReader::new(&pipeline.connection(), &changelogs, &mut silent)?.without_waiting();
    let mut findings = Vec::new();
    for stage in stages {
        let state = match pipeline.stateful_chain(stage) {
            None => Ok("keeps no state of sensors".to_owned()),
            Some(chain) => match Changelog::find_with(&mut reader, &stage.changelog())? {
                None => Ok("has no state yet: there is no changelog".to_owned()),
                Some(changelog) => changelog
                    .sensors()
                    .and_then(|sensors| judge(&stage.name, &chain, &sensors)),
            },
        };
        findings.push(Finding {
            stage: stage.name.clone(),
            state,
        });
    }
    Ok(Checked { findings })
}

fn judge(stage: &str, chain: &Chain, sensors: &[StoredSensor]) -> Result<String> {
    let now = chain.describe();
    let made_by: BTreeSet<&str> = sensors.iter().map(|sensor| sensor.chain.as_str()).collect();
    if made_by.iter().all(|chain| *chain == now) {
        return Ok(match sensors.len() {
            0 => "has no state yet".to_owned(),
            count => format!("{}, made by `{now}`", plural(count, "sensor")),
        });
    }
    let migrated = match made_by.len() {
        1 => sensors
            .iter()
            .try_for_each(|sensor| chain.migrate_from(&sensor.chain, &sensor.states).map(drop)),
        _ => Err("it was made by several chains".to_owned()),
    };
    let help = match migrated {
        Ok(()) => format!(
            "keep the state: rivulet state keep {stage}, or start with an empty state: rivulet \
             state reset {stage}"
        ),
        Err(why) => format!(
            "restore the old settings, or start with an empty state: rivulet state reset {stage}; \
             {why}"
        ),
    };
    let made_by = Vec::from_iter(made_by).join("` and `");
    let cause = format!("it was made by `{made_by}`, but the chain of the file is `{now}`");
    Err(Error::new(format!("checking the state of {stage}"), cause)
        .of_kind(Kind::Conflict)
        .help(help))
}

impl Checked {
    /// Why stages would not start with their state.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.findings
            .iter()
            .filter_map(|finding| finding.state.as_ref().err())
            .map(ToString::to_string)
            .collect()
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.findings.iter().map(|Finding { stage, state }| {
            vec![
                stage.clone(),
                state
                    .clone()
                    .unwrap_or_else(|_| "made by another chain".to_owned()),
            ]
        });
        f.write_str(&aligned(&rows.collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests {
    use rivulet_pipeline::ComponentConfig;

    use super::*;

    fn judged(steps: &[&str], made_by: &[&str]) -> Result<String> {
        let steps: Vec<ComponentConfig> = steps
            .iter()
            .map(|step| ComponentConfig::parse(step).unwrap())
            .collect();
        let sensors = made_by.iter().map(|chain| StoredSensor {
            partition: 0,
            name: "a".into(),
            chain: (*chain).to_owned(),
            descriptions: Vec::new(),
            states: vec![vec![7.0]],
            offsets: [].into(),
            time: None,
        });
        let (chain, sensors) = (Chain::build(&steps).unwrap(), sensors.collect::<Vec<_>>());
        judge("smooth", &chain, &sensors)
    }

    const EWMA: &str = "ewma = { alpha = 0.3 }";
    const ROUND: &str = "round = {}";

    #[test]
    fn a_state_of_the_same_chain_or_none_is_right() {
        assert_eq!(judged(&[EWMA], &[]).unwrap(), "has no state yet");
        assert_eq!(
            judged(&[EWMA], &["ewma(alpha=0.3)"; 2]).unwrap(),
            "2 sensors, made by `ewma(alpha=0.3)`"
        );
    }

    #[test]
    fn other_settings_have_two_remedies() {
        let expected = "\
checking the state of smooth: it was made by `ewma(alpha=0.5)`, but the chain of the file is \
                        `ewma(alpha=0.3)`
  help: keep the state: rivulet state keep smooth, or start with an empty state: rivulet state \
                        reset smooth";
        assert_eq!(
            judged(&[EWMA], &["ewma(alpha=0.5)"; 2])
                .unwrap_err()
                .to_string(),
            expected
        );
    }

    #[test]
    fn a_state_that_cannot_be_kept_has_one_remedy() {
        let error = judged(&[ROUND, EWMA], &["ewma(alpha=0.3)"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(
                "made by `ewma(alpha=0.3)`, but the chain of the file is `round(digits=0) → ewma("
            ),
            "{error}"
        );
        assert!(
            error.contains("state reset smooth; these are not the same operators"),
            "{error}"
        );
        assert!(!error.contains("state keep"), "{error}");
        let error = judged(&[EWMA], &["ewma(alpha=0.5)", "ewma(alpha=0.3)"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("state reset smooth; it was made by several chains"),
            "{error}"
        );
    }

    #[test]
    fn every_stage_is_a_line() {
        let finding = |stage: &str, state| Finding {
            stage: stage.into(),
            state,
        };
        let findings = vec![
            finding("ewma", Ok("has no state yet".into())),
            finding(
                "average",
                Err(Error::new("checking the state of average", "no")),
            ),
        ];
        let checked = Checked { findings };
        assert_eq!(
            checked.to_string(),
            "ewma     has no state yet\naverage  made by another chain\n"
        );
        assert_eq!(checked.faults(), ["checking the state of average: no"]);
    }
}
