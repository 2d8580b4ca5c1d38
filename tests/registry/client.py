"""Plain clients that know nothing of rivulet, for the tests of Avro.

client.py produce KIND BROKERS TOPIC SCHEMA [REGISTRY]: a record for each line `KEY JSON` of stdin
client.py consume KIND BROKERS TOPIC SCHEMA [REGISTRY]: prints each committed record to the end

KIND is `registry` (Confluent's serializers) or `file` (fastavro's files). SCHEMA is a file.
"""

import io
import json
import sys

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient, record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def codecs(kind, topic, schema, registry):
    """How a record is written and read."""
    if kind == "registry":
        client = SchemaRegistryClient({"url": registry})
        options = {"subject.name.strategy": record_subject_name_strategy}
        context = SerializationContext(topic, MessageField.VALUE)
        write = AvroSerializer(client, schema, conf=options)
        read = AvroDeserializer(client)
        return lambda record: write(record, context), lambda value: read(value, context)
    parsed = fastavro.parse_schema(json.loads(schema))

    def write_file(record):
        out = io.BytesIO()
        fastavro.writer(out, parsed, [record], codec="deflate")
        return out.getvalue()

    def read_file(value):
        (record,) = fastavro.reader(io.BytesIO(value))
        return record

    return write_file, read_file


def produce(brokers, topic, write):
    producer = Producer({"bootstrap.servers": brokers})
    for line in sys.stdin:
        key, record = line.split(" ", 1)
        producer.produce(topic, write(json.loads(record)), key)
    if producer.flush(60):
        sys.exit("not everything was sent")


def consume(brokers, topic, read):
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "unused",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    partitions = consumer.list_topics(topic, 60).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    ended = 0
    while ended < len(partitions):
        message = consumer.poll(60)
        if message is None:
            sys.exit("no broker answers")
        if message.error():
            ended += 1
            continue
        record = read(message.value())
        print(json.dumps(record, default=lambda time: round(time.timestamp() * 1000)))
    consumer.close()


def main():
    act, kind, brokers, topic, path, *registry = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        write, read = codecs(kind, topic, file.read(), *registry or [None])
    if act == "produce":
        produce(brokers, topic, write)
    else:
        consume(brokers, topic, read)


main()
