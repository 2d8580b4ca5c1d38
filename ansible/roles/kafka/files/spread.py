"""Spreads all partitions over some brokers, and moves as few replicas as that takes.

Reads what `kafka-topics.sh --describe` prints, and prints a reassignment for
`kafka-reassign-partitions.sh`, with the partitions that change only: spread.py 1,2,3
"""

import json
import re
import sys

brokers = [int(each) for each in sys.argv[1].split(",")]
found = re.findall(r"Topic: (\S+)\s+Partition: (\d+)\s.*?Replicas: ([\d,]+)", sys.stdin.read())
before = {(topic, int(number)): [int(each) for each in replicas.split(",")] for topic, number, replicas in found}
after = {}
load = dict.fromkeys(brokers, 0)
for partition, replicas in before.items():
    after[partition] = [each for each in replicas if each in load]
    for each in after[partition]:
        load[each] += 1

# First the replicas on brokers that are gone. With too few brokers, there are fewer copies.
for partition, replicas in after.items():
    while len(replicas) < min(len(before[partition]), len(brokers)):
        least = min((each for each in brokers if each not in replicas), key=load.get)
        replicas.append(least)
        load[least] += 1

# Then from those that have most to those that have least.
moved = True
while moved:
    moved = False
    most, least = max(brokers, key=load.get), min(brokers, key=load.get)
    if load[most] - load[least] > 1:
        for replicas in after.values():
            if most in replicas and least not in replicas:
                replicas[replicas.index(most)] = least
                load[most] -= 1
                load[least] += 1
                moved = True
                break

changed = [
    {"topic": topic, "partition": number, "replicas": replicas}
    for (topic, number), replicas in after.items()
    if replicas != before[topic, number]
]
json.dump({"version": 1, "partitions": changed}, sys.stdout)
