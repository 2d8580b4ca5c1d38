"""A stage on confluent-kafka, written as its example eos-transactions.py does it, with batches of
consume() instead of poll(), and orjson for JSON.

The example rewinds after an error that it can abort. This ends instead, and the next process goes
on from what is committed.
"""

import argparse
import struct
import sys
import time

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BATCH = 1000
TIMEOUT = 60.0


def copy(reading, state):
    raise AssertionError("bytes are copied as they are")


def convert(reading, _):
    reading["value"] = reading["value"] * 9.0 / 5.0 + 32.0
    reading["unit"] = "fahrenheit"
    return reading


def threshold(reading, _):
    return reading if reading["value"] > -1000 else None


def ewma(reading, numbers):
    value = float(reading["value"])
    if not numbers:
        numbers.append(value)
        return None
    numbers[0] = reading["value"] = 0.5 * value + 0.5 * numbers[0]
    return reading


def average(reading, numbers):
    numbers.append(float(reading["value"]))
    if len(numbers) > 5:
        del numbers[0]
    if len(numbers) < 5:
        return None
    reading["value"] = sum(numbers) / 5
    return reading


STEPS = {f.__name__: f for f in (copy, convert, threshold, ewma, average)}


class Stage:
    """A process that reads, computes, writes and commits."""

    def __init__(self, args):
        self.args = args
        self.transactional = args.guarantee == "exactly-once"
        self.changelog = f"{args.name}-changelog" if args.step in ("ewma", "average") else None
        self.states = {}  # by partition, then by sensor
        self.changed = set()
        self.failed = None
        # Only what ends it is said.
        self.cluster = {"bootstrap.servers": args.brokers, "log_level": 2}
        producer = {
            **self.cluster,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 5,
            # With no callback for each record, only failures take time.
            "delivery.report.only.error": True,
            "on_delivery": self.delivered,
        }
        if self.transactional:
            producer["transactional.id"] = args.name
        self.producer = Producer(producer)
        if self.transactional:
            # Fences a predecessor, and aborts what it has left, before the group is joined.
            self.producer.init_transactions(TIMEOUT)
        if self.changelog:
            self.create_changelog()
        self.consumer = Consumer({
            **self.cluster,
            "group.id": args.name,
            "group.instance.id": f"{args.name}-1",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            # What is read ahead: the default of 64 MB is more than a small machine gives.
            "queued.max.messages.kbytes": 8192,
            "fetch.queue.backoff.ms": 10,
        })  # fmt: skip
        self.consumer.subscribe([args.source], on_assign=self.assigned, on_revoke=self.revoked)

    def delivered(self, error, _):
        if error:
            self.failed = error

    def create_changelog(self):
        admin = AdminClient(self.cluster)
        source = admin.list_topics(self.args.source, TIMEOUT).topics[self.args.source]
        if source.error:
            raise KafkaException(source.error)
        compacted = {"cleanup.policy": "compact"}
        topic = NewTopic(self.changelog, len(source.partitions), config=compacted)
        try:
            admin.create_topics([topic])[self.changelog].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    def assigned(self, consumer, partitions):
        if self.changelog:
            for partition in partitions:
                self.states[partition.partition] = self.restore(partition.partition)
        consumer.assign(partitions)

    def revoked(self, _, partitions):
        # One process is the group. What it has not committed, it cannot commit after this.
        raise RuntimeError(f"lost {partitions}")

    def restore(self, partition):
        """The states of a partition of the changelog, up to its end."""
        states = {}
        reader = Consumer({
            **self.cluster,
            "group.id": f"{self.args.name}-restore",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        })  # fmt: skip
        try:
            first, end = reader.get_watermark_offsets(
                TopicPartition(self.changelog, partition), TIMEOUT
            )
            if first == end:
                return states
            reader.assign([TopicPartition(self.changelog, partition, first)])
            deadline = time.monotonic() + TIMEOUT
            while time.monotonic() < deadline:
                for message in reader.consume(BATCH, 0.05):
                    error = message.error()
                    if error is None:
                        value = message.value()
                        numbers = struct.unpack(f"<{len(value) // 8}d", value)
                        states[message.key()] = list(numbers)
                    elif error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    elif message.offset() >= end:
                        return states
            raise RuntimeError(f"the end of {self.changelog} was not reached")
        finally:
            reader.close()

    def run(self):
        interval = self.args.commit_ms / 1000
        last = time.monotonic()
        pending = False
        while True:
            if pending:
                left = last + interval - time.monotonic()
                messages = self.consumer.consume(BATCH, max(0.0, left))
            else:
                # Unlike consume(), which waits for a whole batch, it returns with the first.
                first = self.consumer.poll(1.0)
                messages = [first] if first else []
            if messages:
                if not pending and self.transactional:
                    self.producer.begin_transaction()
                pending = True
                self.process(messages)
            if pending and time.monotonic() - last >= interval:
                self.commit()
                pending, last = False, time.monotonic()

    def process(self, messages):
        step, target = STEPS[self.args.step], self.args.target
        produce, states, changed = self.producer.produce, self.states, self.changed
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            value, key = message.value(), message.key()
            if step is not copy:
                numbers = None
                if self.changelog:
                    partition = message.partition()
                    numbers = states[partition].setdefault(key, [])
                    changed.add((partition, key))
                reading = step(orjson.loads(value), numbers)
                if reading is None:
                    continue
                value = orjson.dumps(reading)
            while True:
                try:
                    produce(target, value, key, timestamp=message.timestamp()[1])
                    break
                except BufferError:
                    self.producer.poll(0.01)
        self.producer.poll(0)

    def commit(self):
        for partition, key in self.changed:
            numbers = self.states[partition][key]
            value = struct.pack(f"<{len(numbers)}d", *numbers)
            self.producer.produce(self.changelog, value, key, partition=partition)
        self.changed.clear()
        positions = self.consumer.position(self.consumer.assignment())
        offsets = [position for position in positions if position.offset >= 0]
        if self.transactional:
            group = self.consumer.consumer_group_metadata()
            self.producer.send_offsets_to_transaction(offsets, group, TIMEOUT)
            self.producer.commit_transaction(TIMEOUT)
        else:
            if self.producer.flush(TIMEOUT):
                raise RuntimeError("the results were not written in time")
            if not self.failed:
                self.consumer.commit(offsets=offsets, asynchronous=False)
        if self.failed:
            raise KafkaException(self.failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--brokers", "--name"):
        parser.add_argument(name, required=True)
    parser.add_argument("--from", dest="source", required=True)
    parser.add_argument("--to", dest="target", required=True)
    parser.add_argument("--step", choices=STEPS, required=True)
    parser.add_argument("--guarantee", choices=["exactly-once", "at-least-once"], required=True)
    parser.add_argument("--commit-ms", type=int, required=True)
    try:
        Stage(parser.parse_args()).run()
    except (KafkaException, RuntimeError, ValueError, TypeError) as error:
        sys.exit(f"confluent-kafka: {error}")


if __name__ == "__main__":
    main()
