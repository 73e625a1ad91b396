"""What passes between devices in a compiled program, read from its text.

A program that is partitioned over devices is one text for all of them. Each collective
in it counts as often as the loops around it run.
"""

import dataclasses
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

KINDS = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
)

_BITS = {"pred": 8, "bf16": 16}
# `%name (arguments) -> result {` begins a computation, `}` in the first column ends it.
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_OPERATION = re.compile(
    r"^\s+(?:ROOT )?%?[\w.\-]+ = (.*?) (" + "|".join(KINDS) + r")(-start)?\("
)
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|called_computations|branch_computations)="
    r"(\{[^}]*\}|%?[\w.\-]+)"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_GROUPS_LISTED = re.compile(r"replica_groups=\{\{([\d,]*)\}")
# mesh['a'=4,'b'=2] {'a'}, or a part of an axis, {'a':(1)2}.
_GROUPS_OF_MESH = re.compile(r"replica_groups=mesh\[(.*?)\] ?\{(.*?)\}")
_PAIRS = re.compile(r"source_target_pairs=\{(.*?)\}\}")
_GROUPS_COUNTED = re.compile(r"replica_groups=\[\d+,(\d+)\]")


@dataclasses.dataclass(frozen=True)
class Collective:
    """Collectives of one kind, among as many devices, in one call of a program."""

    kind: str
    devices: int  # that take part in each together; 0 where the text names none
    count: int  # as often as loops run them
    bytes: int  # of the whole array that each device has, or gets, in all of them


def collectives_of(text: str) -> list[Collective]:
    """The collectives of a compiled program, by kind and devices.

    The bytes are those of the larger side: what an all-gather gives, what a
    reduce-scatter takes. A loop whose trips the compiler does not tell counts once.

    Args:
      text: of `compiled.as_text()`.
    """
    found: Counter[tuple[str, int]] = Counter()
    sizes: Counter[tuple[str, int]] = Counter()
    runs = _runs_of_computations(text)
    for computation, line in _lines(text):
        match = _OPERATION.match(line)
        if match is None:
            continue
        result, kind, start = match.groups()
        given = sum(_bytes_of(array) for array in _ARRAY.finditer(result))
        devices = _devices(line)
        if kind == "reduce-scatter":
            given *= devices
        elif start and kind == "all-gather":  # what is taken stands there too
            given = given * devices // (devices + 1)
        elif start and kind == "collective-permute":
            given //= 2
        key = kind, devices
        found[key] += runs[computation]
        sizes[key] += runs[computation] * given
    return [Collective(*key, found[key], sizes[key]) for key in sorted(found)]


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Lines of the bodies of computations, each with the name of its own."""
    name = ""
    for line in text.splitlines():
        begin = _COMPUTATION.match(line)
        if begin:
            name = begin.group(1)
        elif name:
            yield name, line


def _runs_of_computations(text: str) -> dict[str, int]:
    """How often each computation runs in one call of the program."""
    calls: dict[str, list[tuple[str, int]]] = defaultdict(list)
    entry = re.search(r"^ENTRY %?([\w.\-]+) ", text, flags=re.MULTILINE)
    names: list[str] = []
    for name, line in _lines(text):
        if not names or names[-1] != name:
            names.append(name)
        trips = _TRIPS.search(line)
        for called in _CALLED.findall(line):
            for one in called.split(","):
                times = int(trips.group(1)) if trips else 1
                calls[name].append((one.strip("%{} "), times))
    runs: Counter[str] = Counter()
    if entry:
        runs[entry.group(1)] = 1
    # A computation is written before those that call it.
    for name in reversed(names):
        for called, times in calls[name]:
            runs[called] += runs[name] * times
    return runs


def _bytes_of(array: re.Match[str]) -> int:
    kind, shape = array.groups()
    bits = _BITS.get(kind) or int(re.sub(r"\D*(\d+).*", r"\1", kind) or 0)
    count = math.prod(int(length) for length in shape.split(",") if length)
    return count * bits // 8


def _devices(line: str) -> int:
    counted = _GROUPS_COUNTED.search(line)
    if counted:
        return int(counted.group(1))
    listed = _GROUPS_LISTED.search(line)
    if listed:
        return len([x for x in listed.group(1).split(",") if x])
    named = _GROUPS_OF_MESH.search(line)
    if named:
        sizes = {k: int(n) for k, n in re.findall(r"'(\w+)'=(\d+)", named.group(1))}
        axes = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", named.group(2))
        return math.prod(int(part) if part else sizes[axis] for axis, part in axes)
    pairs = _PAIRS.search(line)
    return len(set(re.findall(r"\d+", pairs.group(1)))) if pairs else 0
