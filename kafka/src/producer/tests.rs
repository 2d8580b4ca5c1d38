//! Tests of the producer on an embedded broker.

use super::*;
use crate::embedded::EmbeddedBroker;

fn connection(brokers: &str) -> Connection {
    let mut connection = Connection::default();
    let properties = &mut connection.properties;
    properties.insert("bootstrap.servers".into(), brokers.to_owned());
    connection
}

fn producer(connection: &Connection) -> Producer {
    let settings = ProducerSettings {
        reports: true,
        message_bytes: Some((5000, 5000)),
        ..ProducerSettings::default()
    };
    Producer::new(connection, &settings).expect("the properties are valid")
}

fn record<'a>(key: &'a str, value: &'a [u8]) -> ProducerRecord<'a> {
    ProducerRecord {
        topic: "out",
        partition: Some(0),
        timestamp: None,
        key: Some(key.as_bytes()),
        value: Some(value),
        headers: &[],
    }
}

fn broker() -> EmbeddedBroker {
    let broker = EmbeddedBroker::start().expect("it starts");
    broker.create_topic("out", 1).expect("it is new");
    broker
}

#[test]
fn each_record_has_a_report_with_its_offset() {
    let (broker, shutdown) = (broker(), Shutdown::new());
    let producer = producer(&connection(&broker.brokers()));
    for key in ["a", "b", "c"] {
        assert_eq!(producer.send(&record(key, b"1"), &shutdown), Ok(true));
    }
    producer.flush(&shutdown).expect("the broker is there");
    assert_eq!((producer.sent(), producer.delivered()), (3, 3));
    let reports = producer.take_reports();
    let offsets: Vec<_> = reports.iter().map(|report| report.offset).collect();
    assert_eq!(offsets, [0, 1, 2]);
    assert_eq!(reports[2].key.as_deref(), Some(&b"c"[..]));
    assert_eq!(
        (reports[2].topic.as_str(), reports[2].partition),
        ("out", 0)
    );
    assert_eq!(producer.take_reports(), []);
}

#[test]
fn a_record_that_is_too_large_is_named_after_the_others() {
    let (broker, shutdown) = (broker(), Shutdown::new());
    let producer = producer(&connection(&broker.brokers()));
    for _ in 0..4 {
        assert_eq!(producer.send(&record("a", b"1"), &shutdown), Ok(true));
    }
    let large = [b' '; 6000];
    let error = producer
        .send(&record("key", &large), &shutdown)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
    let error = error.to_string();
    for words in [
        "out",
        "record 5 ",
        "6003 bytes",
        "4 of 4",
        "max.message.bytes",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn records_that_are_not_delivered_in_time_are_counted() {
    // Nobody listens on port 1.
    let mut connection = connection("127.0.0.1:1");
    connection.timeout = Some(Duration::from_secs(1));
    let (producer, shutdown) = (producer(&connection), Shutdown::new());
    for _ in 0..3 {
        assert_eq!(producer.send(&record("a", b"1"), &shutdown), Ok(true));
    }
    let error = producer.flush(&shutdown).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    let error = error.to_string();
    for words in ["out", "0 of 3", "record 1 was not", "refused", "--timeout"] {
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn a_stop_is_not_held_up_by_a_broker_that_is_away() {
    let (producer, shutdown) = (producer(&connection("127.0.0.1:1")), Shutdown::new());
    assert_eq!(producer.send(&record("a", b"1"), &shutdown), Ok(true));
    shutdown.stop();
    let begun = Instant::now();
    let error = producer.flush(&shutdown).unwrap_err();
    assert!(begun.elapsed() < STEP / 2);
    assert_eq!(error.code(), exit::UNDONE);
    assert!(error.to_string().contains("0 of 1"), "{error}");
}

#[test]
fn a_batch_fits_the_smallest_topic_and_a_record_the_largest() {
    let mut connection = Connection::default();
    let settings = ProducerSettings {
        message_bytes: Some((20_000, 50_000_000)),
        transactional_id: Some("a".into()),
        hold: Duration::from_secs(90),
        ..ProducerSettings::default()
    };
    let config = settings.config(&connection);
    let get = |name| config.get(name).unwrap_or_default();
    assert_eq!(get("batch.size"), "19900");
    assert_eq!(get("message.max.bytes"), "50000000");
    assert_eq!(get("queue.buffering.max.kbytes"), "97656");
    assert_eq!(get("transaction.timeout.ms"), "150000");
    assert_eq!(get("message.timeout.ms"), "30000");

    let properties = &mut connection.properties;
    properties.insert("message.timeout.ms".into(), "5".into());
    let config = settings.config(&connection);
    assert_eq!(config.get("message.timeout.ms"), Some("5"));
}
