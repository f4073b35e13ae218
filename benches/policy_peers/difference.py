#!/usr/bin/env python3
"""The same difference by another tool: pip install policyglass 'pydantic<2', then
difference.py FOLDER, with the inputs that `cargo bench --bench policy -- FOLDER` wrote."""
import json
import sys
import time

from policyglass import Policy


def left_over(these, those):
    rest = list(these)
    for other in those:
        rest = [part for shard in rest for part in shard.difference(other)]
    return len(rest)


def once(expected, actual):
    expected = Policy(**json.loads(expected)).policy_shards
    actual = Policy(**json.loads(actual)).policy_shards
    return left_over(expected, actual), left_over(actual, expected)


folder = sys.argv[1]
with open(f"{folder}/expected.json") as file:
    baseline = file.read()
for name in ("same", "different"):
    with open(f"{folder}/{name}.json") as file:
        live = file.read()
    began, rounds = time.process_time(), 0
    while rounds == 0 or time.process_time() - began < 3:
        found = once(baseline, live)
        rounds += 1
    each = (time.process_time() - began) / rounds
    print(f"{name}: lost and gained {found}, {each * 1e6:.0f} us")
