"""The files of a production, and the part of them that one job of an array takes."""

from __future__ import annotations

import hashlib
import heapq
import os
import re
from collections.abc import Sequence

from mlreco.errors import UserError
from mlreco.production.inputs import Input
from mlreco.production.manifest import Plan


def plan_of(inputs: Sequence[Input]) -> Plan:
    """Return the plan of a production: how many files, and a digest by which shards know that they see the same."""
    hashed = hashlib.sha256()
    for one in inputs:
        hashed.update(os.fsencode(one.path) + b"\0" + str(one.size).encode() + b"\0")
    return Plan(files=len(inputs), digest=hashed.hexdigest())


def parse_shard(text: str) -> tuple[int, int]:
    """Return number and count of ``3/20``.

    Raises:
        UserError: it has another form, or there is no such shard.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found:
        raise UserError(f"--shard {text}: expected a number and how many there are, such as 3/20")
    number, count = int(found[1]), int(found[2])
    if not 1 <= number <= count:
        raise UserError(f"--shard {text}: there is no such shard; they are 1/{count} to {count}/{count}")
    return number, count


def part_of(inputs: Sequence[Input], shard: tuple[int, int] | None) -> list[Input]:
    """Return the files of a shard, in their order; all of them without one.

    Every file is in one shard. Shards have about the same number of bytes: the largest files are dealt out first, each
    to the shard with least.

    Args:
        inputs: all files, the same in every shard.
        shard: its number, counted from 1, and how many there are.
    """
    if shard is None:
        return list(inputs)
    number, count = shard
    loads = [(0, place) for place in range(1, count + 1)]
    mine = set()
    for place in sorted(range(len(inputs)), key=lambda place: -inputs[place].size):
        load, taker = heapq.heappop(loads)
        heapq.heappush(loads, (load + inputs[place].size + 1, taker))
        if taker == number:
            mine.add(place)
    return [inputs[place] for place in sorted(mine)]
