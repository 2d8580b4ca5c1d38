"""A stage on Quix Streams, written with its StreamingDataFrame as its documentation says: "Stateful
Processing", "Configuration", and "Processing Guarantees". State is in RocksDB, with a changelog.

Its own producer is made once the consumer has subscribed. A producer of the same id is made before,
so that a predecessor is fenced first, as in the other contenders.
"""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

from confluent_kafka import KafkaException, Producer

# It imports something that warns of its own age, whatever the filters are.
with warnings.catch_warnings(record=True):
    from quixstreams import Application
    from quixstreams.exceptions import QuixException


def convert(reading):
    reading["value"] = reading["value"] * 9.0 / 5.0 + 32.0
    reading["unit"] = "fahrenheit"
    return reading


def threshold(reading):
    return reading["value"] > -1000


def ewma(reading, state):
    value, before = float(reading["value"]), state.get("average")
    average = value if before is None else 0.5 * value + 0.5 * before
    state.set("average", average)
    if before is None:
        return None
    reading["value"] = average
    return reading


def average(reading, state):
    recent = [*state.get("recent", []), float(reading["value"])][-5:]
    state.set("recent", recent)
    if len(recent) < 5:
        return None
    reading["value"] = sum(recent) / 5
    return reading


STEPS = ("convert", "threshold", "ewma", "average")


def application(args):
    producer = {"partitioner": "murmur2_random", "log_level": 2}
    if args.guarantee == "exactly-once":
        # It would be new at each start, and a killed process would hold up the next one.
        producer["transactional.id"] = args.name
        Producer({"bootstrap.servers": args.brokers, **producer}).init_transactions(60)
    return Application(
        broker_address=args.brokers,
        consumer_group=args.name,
        auto_offset_reset="earliest",
        processing_guarantee=args.guarantee,
        commit_interval=args.commit_ms / 1000,
        consumer_extra_config={
            "group.instance.id": f"{args.name}-1",
            "fetch.queue.backoff.ms": 10,
            "log_level": 2,
        },
        producer_extra_config=producer,
        state_dir=Path(tempfile.gettempdir()) / "contenders" / args.name,
        loglevel="CRITICAL",
    )


def run(args):
    app = application(args)
    source = app.topic(args.source, key_deserializer="bytes", value_deserializer="json")
    target = app.topic(args.target, key_serializer="bytes", value_serializer="json")
    readings = app.dataframe(source)
    if args.step == "convert":
        readings = readings.apply(convert)
    elif args.step == "threshold":
        readings = readings.filter(threshold)
    else:
        step = ewma if args.step == "ewma" else average
        readings = readings.apply(step, stateful=True)
        readings = readings.filter(lambda reading: reading is not None)
    readings.to_topic(target)
    app.run()


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
        run(parser.parse_args())
    except (KafkaException, QuixException, RuntimeError, ValueError, TypeError, KeyError) as error:
        sys.exit(f"quix-streams: {error!r}")


if __name__ == "__main__":
    main()
