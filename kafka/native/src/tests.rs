//! Tests on librdkafka's mock cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::*;

const TOPICS: [&str; 2] = ["a", "b"];
const DEADLINE: Duration = Duration::from_secs(20);

type Queue = RecordQueue<DefaultConsumerContext>;

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("it starts");
    for topic in TOPICS {
        cluster.create_topic(topic, 2, 1).expect("it is new");
    }
    cluster
}

fn sender(
    cluster: &MockCluster<'_, DefaultProducerContext>,
) -> RecordSender<DefaultProducerContext> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("linger.ms", "10000")
        .set("delivery.report.only.error", "true")
        .create()
        .expect("the properties are valid");
    RecordSender::new(Arc::new(producer))
}

/// A consumer that reads the partitions from these offsets.
fn reading(consumer: &Arc<BaseConsumer>, from: &[(usize, i32, i64)]) -> Queue {
    let partitions = from.iter();
    let partitions = partitions.map(|(topic, partition, _)| (*topic, *partition));
    let queue = RecordQueue::new(consumer.clone(), TOPICS, partitions);
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in from {
        list.add_partition_offset(TOPICS[*topic], *partition, Offset::Offset(*offset))
            .expect("the offset is valid");
    }
    consumer.assign(&list).expect("it is assigned");
    queue
}

fn consumer(cluster: &MockCluster<'_, DefaultProducerContext>) -> Arc<BaseConsumer> {
    let consumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "group")
        .set("auto.offset.reset", "error")
        .create()
        .expect("the properties are valid");
    Arc::new(consumer)
}

/// Returns what `take` makes of the next record, or of an error.
fn next<T>(
    consumer: &BaseConsumer,
    queue: &Queue,
    take: impl Fn(Result<BatchRecord<'_>, RDKafkaErrorCode>) -> T,
) -> T {
    let begun = Instant::now();
    loop {
        assert!(
            consumer.poll(Duration::ZERO).is_none(),
            "a record overtakes"
        );
        if let Some(record) = queue.next(Duration::from_millis(50)) {
            return take(record);
        }
        assert!(begun.elapsed() < DEADLINE, "nothing comes");
    }
}

/// Sends `count` numbers to each partition of each topic.
fn fill(sender: &RecordSender<DefaultProducerContext>, count: i64) {
    for number in 0..count {
        for topic in TOPICS {
            for partition in 0..2 {
                let value = number.to_string();
                let sent = sender.send(topic, Some(partition), None, None, Some(value.as_bytes()));
                sent.expect("the queue has room");
            }
        }
    }
    assert!(flush(sender.client(), DEADLINE), "not all is acknowledged");
}

#[test]
fn all_parts_of_a_record_arrive() {
    let cluster = cluster();
    let sender = sender(&cluster);
    let sent = [
        sender.send("b", Some(1), Some(1234), Some(b"key"), Some(b"value")),
        sender.send("b", Some(1), None, Some(b""), None),
        sender.send("b", Some(1), None, None, Some(b"")),
    ];
    assert_eq!(sent, [Ok(()); 3]);
    let headers = OwnedHeaders::new().insert(Header {
        key: "header",
        value: Some(&b"\xff"[..]),
    });
    let record = BaseRecord::<(), [u8]>::to("b")
        .partition(1)
        .headers(headers);
    BaseProducer::send(&sender, record).expect("the queue has room");
    assert!(flush(sender.client(), DEADLINE));

    let consumer = consumer(&cluster);
    let queue = reading(&consumer, &[(0, 0, 0), (1, 1, 0)]);
    let read = |expected: (i64, Option<&[u8]>, Option<&[u8]>)| {
        next(&consumer, &queue, |record| {
            let record = record.expect("it is a record");
            assert_eq!((queue.topic(&record), record.partition()), (1, 1));
            assert_eq!((record.offset(), record.key(), record.value()), expected);
            (
                record.timestamp(),
                record.headers(),
                record.header("header").map(<[u8]>::to_vec),
            )
        })
    };
    let first = read((0, Some(b"key"), Some(b"value")));
    assert_eq!(first, (1234, vec![], None));
    assert!(read((1, Some(b""), None)).0 > 1234);
    read((2, None, Some(b"")));
    let (_, headers, header) = read((3, None, None));
    assert_eq!(headers, [("header".to_owned(), Some(b"\xff".to_vec()))]);
    assert_eq!(header.as_deref(), Some(&b"\xff"[..]));
}

#[test]
fn batches_keep_the_order_of_each_partition() {
    let cluster = cluster();
    fill(&sender(&cluster), 500);
    let consumer = consumer(&cluster);
    let queue = reading(&consumer, &[(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 400)]);
    let mut expected = BTreeMap::from([((0, 0), 0), ((0, 1), 0), ((1, 0), 0), ((1, 1), 400)]);
    for _ in 0..3 * 500 + 100 {
        let (place, offset, value) = next(&consumer, &queue, |record| {
            let record = record.expect("it is a record");
            let value = record.value().unwrap_or_default().to_vec();
            (
                (queue.topic(&record), record.partition()),
                record.offset(),
                value,
            )
        });
        let expected = expected.get_mut(&place).expect("it is assigned");
        assert_eq!(
            (offset, value),
            (*expected, expected.to_string().into_bytes())
        );
        *expected += 1;
    }
    assert!(queue.next(Duration::ZERO).is_none());
}

#[test]
fn no_record_of_an_earlier_assignment_comes() {
    let cluster = cluster();
    fill(&sender(&cluster), 500);
    let consumer = consumer(&cluster);
    let offset = |queue: &Queue| {
        next(&consumer, queue, |record| {
            record.expect("it is a record").offset()
        })
    };
    for _ in 0..5 {
        let queue = reading(&consumer, &[(0, 0, 0)]);
        assert_eq!((offset(&queue), offset(&queue)), (0, 1));
        // Many more are fetched, and dropped.
        drop(queue);
        consumer.unassign().expect("it is unassigned");
        let queue = reading(&consumer, &[(0, 0, 300), (0, 1, 300)]);
        assert_eq!(offset(&queue), 300);
    }
}

#[test]
fn an_offset_that_is_not_there_is_an_error() {
    let cluster = cluster();
    fill(&sender(&cluster), 10);
    let consumer = consumer(&cluster);
    let queue = reading(&consumer, &[(0, 0, 1000)]);
    let error = next(&consumer, &queue, |record| {
        record.map(|record| record.offset())
    });
    assert_eq!(error, Err(RDKafkaErrorCode::AutoOffsetReset));
}

#[test]
fn a_topic_that_cannot_be_is_an_error() {
    let cluster = cluster();
    let sent = sender(&cluster).send("a\0b", None, None, None, Some(b"1"));
    assert_eq!(sent, Err(RDKafkaErrorCode::InvalidTopic));
}

#[test]
fn a_client_connects_to_brokers_that_are_added() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.set_nonblocking(true).expect("it can be asked");
    let address = listener.local_addr().expect("it is bound").to_string();
    let client: BaseConsumer = ClientConfig::new().create().expect("there are defaults");
    add_brokers(client.client(), "a\0b");
    add_brokers(client.client(), &address);
    let deadline = Instant::now() + Duration::from_secs(10);
    while listener.accept().is_err() {
        assert!(Instant::now() < deadline, "the client does not connect");
        let _ = client.fetch_metadata(None, Duration::from_millis(100));
    }
}
