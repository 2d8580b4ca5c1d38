//! Two people run the same pipeline file on the same Kafka, each with a prefix of their own.

use std::time::Duration;

use rivulet_tests::chain::{OPERATORS, chained};
use rivulet_tests::{Kafka, PipelineBuilder, Prefix, Process, Scenario, stop_all, wait};

/// The first topic, and the last one of a branch.
const FIRST: &str = "temperatures_celsius";
const LAST: &str = "temperatures_ewma";
const SENSORS: usize = 5;
/// For each sensor.
const READINGS: usize = 300;

fn pipeline() -> PipelineBuilder {
    let source =
        format!("{{ simulated = {{ sensors = {SENSORS}, readings = {READINGS}, rate = 400 }} }}");
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\npartitions = 2")
        .producer("thermometers", &source, FIRST);
    chained(pipeline)
}

#[test]
fn two_people_with_one_file_do_not_notice_each_other() {
    let one = Scenario::on(Kafka::shared(), pipeline()).prefix(Prefix::Option("team7-"));
    let other = one.twin().prefix(Prefix::Environment("team8-"));
    let teams = [&one, &other];
    for team in teams {
        team.create_topics();
    }
    let mut sources: Vec<Process> = teams
        .iter()
        .map(|team| team.start("thermometers"))
        .collect();
    let mut running: Vec<Vec<Process>> = teams
        .iter()
        .map(|team| OPERATORS.iter().map(|stage| team.start(stage)).collect())
        .collect();
    for (team, running) in teams.iter().zip(&mut running) {
        team.grows(LAST, 50);
        for (stage, process) in OPERATORS.iter().zip(running) {
            process.kill();
            *process = team.start(stage);
        }
    }
    for team in teams {
        for stage in OPERATORS {
            team.has_members(stage, 1);
        }
        let mut groups = team.rivulet(&["groups", "--wait", "60", "--lag", "any"]);
        groups.succeeds();
        let lines = groups.out();
        assert_eq!(lines.matches("a@").count(), OPERATORS.len(), "{lines}");
        // They are named as in the file.
        assert!(!lines.contains("team"), "{lines}");
    }
    for source in &mut sources {
        assert_eq!(
            source.ends_within(Duration::from_mins(2)),
            0,
            "the producer's exit status"
        );
    }
    for running in &mut running {
        stop_all(running);
    }
    for team in teams {
        for stage in OPERATORS {
            team.drain(stage);
        }
        assert_eq!(
            team.read(FIRST, 0).len(),
            SENSORS * READINGS,
            "readings of one team"
        );
        team.verify();
    }

    // Dead letters and states belong to one of them, too.
    one.write("wrong.txt", "no reading\n");
    let file = one.path("wrong.txt").display().to_string();
    one.rivulet(&["produce", &one.name(FIRST), &file])
        .succeeds();
    one.drain("convert");
    one.rivulet(&["dlq", "ls"]).says(&["not-json"]);
    one.rivulet(&["dlq", "drop", "--yes"]).says(&["dropped 1"]);
    other.rivulet(&["dlq", "ls"]).says(&["no dead letters"]);
    one.rivulet(&["state", "reset", &one.name("ewma"), "--yes"])
        .succeeds();
    other.rivulet(&["state", "show"]).says(&["complete"]);
    other.verify();

    // A topic has two names: that of the file and that of Kafka.
    for name in [one.name(LAST), one.in_kafka(LAST)] {
        one.rivulet(&["consume", &name, "--limit", "1", "--quiet"])
            .says(&["1 record"]);
        one.rivulet(&["topics", "size", &name])
            .says(&[&one.in_kafka(LAST)]);
    }

    one.rivulet(&["topics", "delete", "--yes"]).succeeds();
    wait::until_true("the topics of one team are gone", || {
        let mut list = one.rivulet(&["topics", "list"]);
        list.succeeds();
        list.out().is_empty()
    });
    other.rivulet(&["topics", "describe"]).succeeds();
    other.verify();
}
