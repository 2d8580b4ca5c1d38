use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use rivulet_core::error::Error;
use rivulet_core::metrics::{BrokerConnection, Client, ClientStatistics, Metrics};

use super::*;
use crate::observe::testing::stage;

/// Everything that a stage can have.
fn fill(metrics: &Metrics) {
    metrics.health.enter(Activity::Running);
    let partition = metrics.partition("celsius", 0);
    partition.set_assigned(true);
    partition.set_end(7);
    partition.processed.add(3);
    metrics.rolled_back(&Error::new("committing", "no answer"));
    metrics.dead.add("not-json", 2);
    metrics.rebalances.add("assigned", 1);
    metrics.end_to_end.observe(0.02, 3);
    metrics.restored_in(Duration::from_millis(1500));
    metrics.committed(Duration::from_millis(4), 1_796_040_184_000);
    for gauge in [
        &metrics.state_sensors,
        &metrics.state_bytes,
        &metrics.state_limit,
        &metrics.spool_readings,
        &metrics.spool_bytes,
        &metrics.spool_dropped,
        &metrics.taken_over,
    ] {
        gauge.set(1);
    }
    for client in Client::ALL {
        let broker = BrokerConnection {
            address: "rpi0:9092".into(),
            is_up: true,
            round_trip: Some(0.0015),
        };
        let statistics = ClientStatistics {
            brokers: vec![broker],
            ..ClientStatistics::default()
        };
        metrics.set_client(client, statistics);
    }
}

fn observer() -> Arc<Observer> {
    let stages = ["thermometer", "convert"].map(|name| {
        let (mut stage, metrics, _) = stage(name);
        fill(&metrics);
        stage.is_clock_set = (name == "thermometer").then_some(true);
        let certificate = include_str!("../testing/certificate.pem").to_owned();
        stage.properties.insert("ssl.ca.pem".into(), certificate);
        stage
    });
    Arc::new(Observer {
        stages: Mutex::new(stages.into()),
        stalled_after: Duration::from_secs(30),
        memory_limit: 64_000_000,
    })
}

#[test]
fn samples_have_their_labels_and_values() {
    let text = of(&observer());
    for line in [
        "rivulet_stage_info{stage=\"convert\",kind=\"operator\",instance=\"rpi0\",\
         guarantee=\"exactly-once\"} 1.0",
        "rivulet_records_processed_total{stage=\"convert\",topic=\"celsius\",partition=\"0\"} 3",
        "rivulet_lag_records{stage=\"convert\",topic=\"celsius\",partition=\"0\"} 7.0",
        "rivulet_dead_letters_total{stage=\"convert\",reason=\"not-json\"} 2",
        "rivulet_rollbacks_total{stage=\"convert\",cause=\"other\"} 1",
        "rivulet_end_to_end_seconds_bucket{stage=\"convert\",le=\"0.01\"} 0",
        "rivulet_end_to_end_seconds_bucket{stage=\"convert\",le=\"0.025\"} 3",
        "rivulet_end_to_end_seconds_bucket{stage=\"convert\",le=\"+Inf\"} 3",
        "rivulet_restore_seconds{stage=\"convert\"} 1.5",
        "rivulet_last_commit_timestamp_seconds{stage=\"convert\"} 1796040184.0",
        "rivulet_stage_state{stage=\"convert\",state=\"running\"} 1.0",
        "rivulet_trouble{stage=\"convert\",trouble=\"rollback\"} 0.0",
        "rivulet_kafka_broker_rtt_seconds{stage=\"convert\",client=\"consumer\",\
         broker=\"rpi0:9092\"} 0.0015",
        "rivulet_memory_limit_bytes 64000000.0",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line} in\n{text}");
    }
    // A producer has no lag, and a consumer sends no records.
    assert!(!text.contains("rivulet_end_to_end_seconds_count{stage=\"thermometer\"}"));
    assert!(!text.contains("rivulet_kafka_queued_records{stage=\"convert\",client=\"consumer\"}"));
}

#[test]
fn what_others_wrote_adds_no_line() {
    let (stage, metrics, _) = stage("convert");
    let partition = metrics.partition("a\"} 1\nb", 0);
    partition.processed.add(1);
    let observer = Arc::new(Observer {
        stages: Mutex::new(vec![stage]),
        stalled_after: Duration::from_secs(30),
        memory_limit: 0,
    });
    let line = "rivulet_records_processed_total{stage=\"convert\",topic=\"a\\\"} 1\\nb\",\
                partition=\"0\"} 1";
    assert!(of(&observer).contains(&format!("\n{line}\n")));
}

/// `docs/metrics.md` has each metric with its type, and no other.
#[test]
fn the_documentation_has_every_metric() {
    let text = of(&observer());
    let exposed: BTreeSet<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let document = include_str!("../../../../docs/metrics.md");
    let mut documented = BTreeSet::new();
    for row in document.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let (names, kind) = (cells.next().unwrap(), cells.next().unwrap());
        let names = names.split('`').skip(1).step_by(2);
        documented.extend(
            names
                .filter(|name| !name.starts_with('/'))
                .map(|name| (name, kind)),
        );
    }
    assert_eq!(documented, exposed);
}
