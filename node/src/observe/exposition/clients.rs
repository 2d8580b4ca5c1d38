//! The metrics of Kafka clients.

use std::fmt;

use rivulet_core::metrics::{BrokerConnection, Client, ClientStatistics};

use super::families::Families;
use super::samples::one_if;
use crate::observe::ObservedStage;

/// What the stages' Kafka clients report.
pub(super) fn clients(to: &mut Families<'_>, stages: &[ObservedStage]) -> fmt::Result {
    let reports: Vec<(&ObservedStage, Client, ClientStatistics)> = stages
        .iter()
        .flat_map(|stage| {
            let clients = stage.metrics.clients().into_iter();
            clients.map(move |(client, statistics)| (stage, client, statistics))
        })
        // A client that has never reported does not exist.
        .filter(|(_, _, statistics)| *statistics != ClientStatistics::default())
        .collect();
    let brokers = |value: fn(&BrokerConnection) -> Option<f64>| {
        reports.iter().flat_map(move |(stage, client, statistics)| {
            statistics.brokers.iter().filter_map(move |broker| {
                let labels = [
                    ("stage", stage.name.as_str()),
                    ("client", client.name()),
                    ("broker", broker.address.as_str()),
                ];
                Some((labels, value(broker)?))
            })
        })
    };
    to.gauges(
        "rivulet_kafka_broker_rtt_seconds",
        "The average time of a broker's answers; a consumer's include the wait for records",
        brokers(|broker| broker.round_trip),
    )?;
    to.gauges(
        "rivulet_kafka_broker_up",
        "Whether the client is connected to the broker; it needs not be to each",
        brokers(|broker| Some(one_if(broker.is_up))),
    )?;
    let of_clients = |value: fn(&ClientStatistics) -> u64| {
        reports.iter().map(move |(stage, client, statistics)| {
            let labels = [("stage", stage.name.as_str()), ("client", client.name())];
            (labels, value(statistics))
        })
    };
    let queued = |value: fn(&ClientStatistics) -> u64| {
        of_clients(value)
            .filter(|([_, (_, client)], _)| *client == Client::Producer.name())
            .map(|(labels, value)| (labels, value as f64))
    };
    to.gauges(
        "rivulet_kafka_queued_records",
        "Records that wait to be sent",
        queued(|client| client.queued_records),
    )?;
    to.gauges(
        "rivulet_kafka_queued_bytes",
        "The size of the records that wait to be sent",
        queued(|client| client.queued_bytes),
    )?;
    to.counters(
        "rivulet_kafka_sent_bytes",
        "Bytes sent to brokers",
        of_clients(|client| client.sent_bytes),
    )?;
    to.counters(
        "rivulet_kafka_received_bytes",
        "Bytes received from brokers",
        of_clients(|client| client.received_bytes),
    )?;
    to.counters(
        "rivulet_kafka_request_errors",
        "Requests to brokers that failed or timed out",
        of_clients(|client| client.request_errors),
    )
}
