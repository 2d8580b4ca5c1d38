//! Reading topics on the embedded broker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::*;

const WAIT: Duration = Duration::from_secs(30);

/// Two topics of two partitions, with the records 0 to 99 in each.
fn cluster() -> MockCluster<'static, rdkafka::producer::DefaultProducerContext> {
    let mock = MockCluster::new(1).unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", mock.bootstrap_servers())
        .create()
        .unwrap();
    for topic in ["a", "b"] {
        mock.create_topic(topic, 2, 1).unwrap();
        for (number, partition) in (0..100).flat_map(|number| [(number, 0), (number, 1)]) {
            let value = number.to_string();
            let record = BaseRecord::<str, str>::to(topic).payload(&value);
            let record = record.partition(partition).timestamp(1000 + number);
            producer.send(record).unwrap();
        }
    }
    producer.flush(WAIT).unwrap();
    mock
}

fn consumer(
    mock: &MockCluster<'_, rdkafka::producer::DefaultProducerContext>,
    change: impl FnOnce(&mut ConsumerSettings),
) -> Result<Consumer> {
    let brokers = ("bootstrap.servers".to_owned(), mock.bootstrap_servers());
    let mut settings = ConsumerSettings {
        topics: ["a", "b"].map(String::from).to_vec(),
        ..ConsumerSettings::default()
    };
    change(&mut settings);
    let connection = BTreeMap::from([brokers]).into();
    Consumer::new(&connection, &settings, &settings.partitions(&connection)?)
}

/// Reads to the ends of `partitions` partitions, and counts the records of each.
fn counts(consumer: &mut Consumer, from: Position) -> BTreeMap<(usize, i32), usize> {
    let (mut counts, mut ended) = (BTreeMap::new(), BTreeSet::new());
    let deadline = Instant::now() + WAIT;
    while ended.is_empty() || ended.len() < counts.len() {
        assert!(Instant::now() < deadline, "{counts:?}, {ended:?}");
        match consumer.poll(Duration::from_millis(100)).unwrap() {
            ConsumerEvent::Assigned(places) => {
                counts.extend(
                    places
                        .iter()
                        .map(|place| ((place.topic, place.partition), 0)),
                );
                let from: Vec<_> = places.into_iter().map(|place| (place, from)).collect();
                consumer.assign(&from, false).unwrap();
            }
            ConsumerEvent::Record(record) => {
                let fields = record.fields();
                *counts.entry((fields.topic, fields.partition)).or_default() += 1;
                consumer.done(fields.partition(), fields.offset).unwrap();
            }
            ConsumerEvent::End(place) => _ = ended.insert(place),
            ConsumerEvent::Revoked => consumer.unassign().unwrap(),
            ConsumerEvent::Nothing => (),
        }
    }
    counts
}

fn all(count: usize) -> BTreeMap<(usize, i32), usize> {
    [(0, 0), (0, 1), (1, 0), (1, 1)]
        .map(|place| (place, count))
        .into()
}

#[test]
fn all_partitions_are_read_to_their_ends_without_a_group() {
    let mock = cluster();
    let mut reader = consumer(&mock, |_| ()).unwrap();
    assert_eq!(counts(&mut reader, Position::Beginning), all(100));
    for (from, left) in [
        (Position::Offset(90), 10),
        (Position::End, 0),
        (Position::Offset(0), 100),
    ] {
        let mut reader = consumer(&mock, |_| ()).unwrap();
        assert_eq!(counts(&mut reader, from), all(left), "{from:?}");
    }
    let mut reader = consumer(&mock, |settings| settings.partition = Some(1)).unwrap();
    let found = counts(&mut reader, Position::Beginning);
    assert_eq!(found, [((0, 1), 100), ((1, 1), 100)].into());
}

#[test]
fn a_group_reads_from_the_beginning_at_first() {
    let mock = cluster();
    let mut member = consumer(&mock, |settings| {
        settings.group = Some("g".to_owned());
        settings.auto_commit = true;
    });
    let found = counts(member.as_mut().unwrap(), Position::Committed);
    assert_eq!(found, all(100));
}

#[test]
fn what_is_missing_is_an_error_with_a_remedy() {
    let mock = cluster();
    let error = consumer(&mock, |settings| settings.topics = vec!["c".to_owned()]);
    let error = error.err().expect("there is no such topic").to_string();
    assert!(
        error.contains("reading c: there is no such topic"),
        "{error}"
    );
    assert!(error.contains("rivulet topics create c"), "{error}");
    let error = consumer(&mock, |settings| settings.partition = Some(2));
    let error = error.err().expect("there is no such partition").to_string();
    assert!(
        error.contains("it has no partition 2") && error.contains("0 to 1"),
        "{error}"
    );
}
