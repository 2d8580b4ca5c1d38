"""Plain clients of two libraries that know nothing of rivulet.

plain.py produce LIBRARY BROKERS TOPIC: a record for each line `KEY VALUE` of stdin, with a header
plain.py consume LIBRARY BROKERS TOPIC: prints each committed record to the end, as KEY HEADER VALUE

LIBRARY is `confluent` or `kafka-python`. The header is `from`.
"""

import sys


def confluent(act, brokers, topic):
    from confluent_kafka import Consumer, Producer, TopicPartition

    if act == "produce":
        producer = Producer({"bootstrap.servers": brokers})
        for key, value in lines():
            producer.produce(topic, value, key, headers={"from": "confluent"})
        if producer.flush(60):
            sys.exit("not everything was sent")
        return
    settings = {"bootstrap.servers": brokers, "group.id": "unused", "enable.auto.commit": False}
    settings |= {"enable.partition.eof": True, "isolation.level": "read_committed"}
    consumer = Consumer(settings)
    partitions = consumer.list_topics(topic, 30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    left = len(partitions)
    while left:
        message = consumer.poll(30)
        if message is None:
            sys.exit("nothing arrives")
        if message.error():
            left -= 1
            continue
        show(message.key(), message.headers(), message.value())
    consumer.close()


def kafka_python(act, brokers, topic):
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition

    if act == "produce":
        producer = KafkaProducer(bootstrap_servers=brokers)
        for key, value in lines():
            headers = [("from", b"kafka-python")]
            producer.send(topic, key=key.encode(), value=value.encode(), headers=headers)
        producer.flush(60)
        return
    consumer = KafkaConsumer(
        bootstrap_servers=brokers, enable_auto_commit=False, isolation_level="read_committed"
    )
    partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(partitions)
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        for messages in consumer.poll(timeout_ms=1000).values():
            for message in messages:
                show(message.key, message.headers, message.value)
    consumer.close()


def lines():
    for line in sys.stdin:
        yield line.rstrip("\n").split(" ", 1)


def show(key, headers, value):
    header = dict(headers or []).get("from", b"-")
    print(key.decode(), header.decode(), value.decode())


act, library, brokers, topic = sys.argv[1:]
{"confluent": confluent, "kafka-python": kafka_python}[library](act, brokers, topic)
