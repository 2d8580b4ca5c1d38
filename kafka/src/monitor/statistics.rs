//! What librdkafka reports of a client, as metrics.

use rdkafka::statistics::{Broker, Statistics};
use rivulet_core::metrics::{BrokerConnection, Client, ClientStatistics, Metrics};

/// Notes what a client of the stage reports.
pub(super) fn note(statistics: &Statistics, metrics: &Metrics) {
    let client = match statistics.client_type.as_str() {
        "consumer" => Client::Consumer,
        _ => Client::Producer,
    };
    if client == Client::Consumer {
        note_partitions(statistics, metrics);
    }
    let errors = |broker: &Broker| broker.txerrs + broker.rxerrs + broker.req_timeouts;
    let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    let mut brokers: Vec<BrokerConnection> = statistics
        .brokers
        .values()
        // Addresses to begin with have no id, and a coordinator is one of the brokers.
        .filter(|broker| broker.nodeid >= 0 && broker.source != "logical")
        .map(|broker| BrokerConnection {
            address: broker.nodename.clone(),
            is_up: broker.state == "UP",
            round_trip: broker
                .rtt
                .as_ref()
                .filter(|rtt| rtt.cnt > 0)
                .map(|rtt| rtt.avg as f64 / 1e6),
        })
        .collect();
    brokers.sort_by(|one, other| one.address.cmp(&other.address));
    let reported = ClientStatistics {
        brokers,
        queued_records: statistics.msg_cnt,
        queued_bytes: statistics.msg_size,
        sent_bytes: bytes(statistics.tx_bytes),
        received_bytes: bytes(statistics.rx_bytes),
        request_errors: statistics.brokers.values().map(errors).sum(),
    };
    metrics.set_client(client, reported);
}

/// Notes what the consumer has fetched. Offsets are negative as long as they are unknown.
fn note_partitions(statistics: &Statistics, metrics: &Metrics) {
    for partition in metrics.partitions() {
        let reported = statistics.topics.get(&partition.topic);
        let reported = reported.and_then(|topic| topic.partitions.get(&partition.partition));
        if let Some(reported) =
            reported.filter(|reported| reported.ls_offset >= 0 && reported.next_offset >= 0)
        {
            partition.fetched(reported.ls_offset, reported.next_offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rdkafka::statistics::{Partition, Topic, Window};

    use super::*;

    fn broker(nodeid: i32, source: &str, state: &str, microseconds: Option<i64>) -> Broker {
        Broker {
            nodeid,
            nodename: format!("rpi{nodeid}:9092"),
            source: source.into(),
            state: state.into(),
            txerrs: 1,
            req_timeouts: 2,
            rtt: microseconds.map(|avg| Window {
                avg,
                cnt: 1,
                ..Window::default()
            }),
            ..Broker::default()
        }
    }

    #[test]
    fn a_report_says_what_is_fetched_and_which_brokers_answer() {
        let metrics = Metrics::default();
        metrics.set_drained(true);
        let partitions = [0, 1, 2].map(|number| metrics.partition("celsius", number));
        for partition in &partitions {
            partition.set_assigned(true);
            partition.set_position(80);
            partition.set_end(85);
        }
        let fetched = |ls_offset, next_offset| Partition {
            ls_offset,
            next_offset,
            ..Partition::default()
        };
        let topic = Topic {
            partitions: HashMap::from([
                (0, fetched(100, 100)),
                (1, fetched(100, 90)),
                (2, fetched(-1001, -1001)),
            ]),
            ..Topic::default()
        };
        let statistics = Statistics {
            client_type: "consumer".into(),
            rx_bytes: 7000,
            brokers: HashMap::from([
                ("a".into(), broker(-1, "configured", "UP", None)),
                ("b".into(), broker(1, "learned", "UP", Some(1500))),
                ("c".into(), broker(1, "logical", "UP", Some(9000))),
                ("d".into(), broker(2, "learned", "DOWN", None)),
            ]),
            topics: HashMap::from([("celsius".into(), topic)]),
            ..Statistics::default()
        };
        note(&statistics, &metrics);
        assert_eq!(
            partitions.map(|partition| metrics.lag(&partition)),
            [Some(0), Some(20), Some(5)]
        );
        let [(_, consumer), (_, producer)] = &metrics.clients()[..] else {
            panic!("there are two clients");
        };
        assert_eq!(*producer, ClientStatistics::default());
        assert_eq!(
            (consumer.request_errors, consumer.received_bytes),
            (12, 7000)
        );
        let connection = |address: &str, round_trip: Option<f64>| BrokerConnection {
            address: address.into(),
            is_up: round_trip.is_some(),
            round_trip,
        };
        assert_eq!(
            consumer.brokers,
            [
                connection("rpi1:9092", Some(0.0015)),
                connection("rpi2:9092", None)
            ]
        );
    }
}
