"""TPU slices that a program is compiled for without one, and what they can do at most.

The compiler for TPUs, libtpu, runs on any Linux machine; the devices that it describes
here compile programs and run none.
"""

import dataclasses
import difflib
import importlib.util
import math
import os
from collections.abc import Sequence
from typing import Any

from jax.experimental import topologies

from vrt_spike_jax.collectives import Collective

# Seconds that a message takes from a chip to the next.
_HOP_SECONDS = 1e-6
_GB = 1e9


@dataclasses.dataclass(frozen=True)
class Chip:
    """What is published of a chip: docs.cloud.google.com/tpu/docs, v5e, v5p and v6e."""

    name: str
    flops: float  # bfloat16, a second
    memory: float  # bytes of HBM
    memory_rate: float  # bytes a second, from HBM and to it
    link_rate: float  # bytes a second between chips, all links, both directions
    axes: int  # of the torus
    shapes: tuple[str, ...]  # of the slices there are, in chips
    accelerator: str  # what its slices are named by, before their size
    cores: int  # of each, which that size counts


_PLANE = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBE = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8")
CHIPS = {
    chip.name: chip
    for chip in (
        Chip(
            "v5e", 197e12, 16.0 * 2**30, 819 * _GB, 400 * _GB, 2, _PLANE, "v5litepod", 1
        ),
        Chip("v5p", 459e12, 95.0 * 2**30, 2765 * _GB, 1200 * _GB, 3, _CUBE, "v5p", 2),
        Chip("v6e", 918e12, 32.0 * 2**30, 1600 * _GB, 800 * _GB, 2, _PLANE, "v6e", 1),
    )
}
TOPOLOGIES = tuple(f"{chip.name}:{s}" for chip in CHIPS.values() for s in chip.shapes)


@dataclasses.dataclass(frozen=True)
class Slice:
    """A named slice of a TPU pod."""

    name: str
    chip: Chip
    chips: int
    devices: tuple[Any, ...]  # of the compiler; they run nothing


@dataclasses.dataclass(frozen=True)
class StepTime:
    """Seconds that a step takes at least, by what takes them."""

    arithmetic: float
    memory: float
    collectives: float

    @property
    def total(self) -> float:
        """Arithmetic and memory side by side, and nothing beside the collectives."""
        return max(self.arithmetic, self.memory) + self.collectives


def count_chips(name: str) -> int:
    """The chips of a topology, such as the 256 of 'v5e:16x16'.

    Raises:
      ValueError: there is no such topology; the nearest one is named.
    """
    if name not in TOPOLOGIES:
        nearest = difflib.get_close_matches(name, TOPOLOGIES, n=1, cutoff=0.0)[0]
        there = "; ".join(f"{c.name}: {', '.join(c.shapes)}" for c in CHIPS.values())
        raise ValueError(
            f"there is no topology {name!r}; did you mean {nearest!r}? There are "
            f"{there}."
        )
    return math.prod(int(n) for n in name.partition(":")[2].split("x"))


def describe_slice(name: str) -> Slice:
    """A slice by its name, with the devices of the compiler for it.

    Raises:
      ValueError: there is no such topology, or libtpu is not installed.
    """
    chips = count_chips(name)
    if importlib.util.find_spec("libtpu") is None:
        raise ValueError(
            "--topology needs libtpu, the compiler for TPUs; install it by pip "
            "install -e '.[tpu-compile]'."
        )
    chip = CHIPS[name.partition(":")[0]]
    # There is no TPU to ask for these; JAX leaves a complaint where it found none.
    os.environ["TPU_ACCELERATOR_TYPE"] = f"{chip.accelerator}-{chips * chip.cores}"
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    # Machines have four chips, but for those with one.
    bounds = {"chips_per_host_bounds": [1, 1, 1]} if chips == 1 else {}
    described = topologies.get_topology_desc(
        platform="tpu", topology_name=name, **bounds
    )
    devices = tuple(described.devices)
    if len(devices) != chips:
        raise ValueError(
            f"libtpu describes {len(devices)} devices for the {chips} chips of {name}; "
            "install the version that this JAX asks for: pip install -e "
            "'.[tpu-compile]'."
        )
    return Slice(name, chip, chips, devices)


def step_time(
    chip: Chip, *, flops: float, moved: float, collectives: Sequence[Collective]
) -> StepTime:
    """The time that published peaks allow a step, on each chip.

    Args:
      chip: its peaks.
      flops: of one chip.
      moved: bytes from and to the memory of one chip.
      collectives: of the program.
    """
    return StepTime(
        arithmetic=flops / chip.flops,
        memory=moved / chip.memory_rate,
        collectives=math.fsum(collective_seconds(chip, c) for c in collectives),
    )


def collective_seconds(chip: Chip, collective: Collective) -> float:
    """Seconds of collectives that go around the links of one axis of the torus.

    Each chip passes (n - 1) / n of the bytes on, an all-reduce twice, and each one of
    them waits for the way around. A compiler that uses more axes is faster.
    """
    n = collective.devices
    if n < 2:
        return 0.0
    rounds = 2 if collective.kind == "all-reduce" else 1
    rate = chip.link_rate / 2 / chip.axes  # one direction
    passed = rounds * (n - 1) / n * collective.bytes / rate
    hops = chip.axes * n ** (1 / chip.axes) / 2
    return passed + collective.count * rounds * hops * _HOP_SECONDS
