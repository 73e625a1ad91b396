"""Topologies by name, and the times that published peaks allow."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from vrt_spike_jax import topology
from vrt_spike_jax.collectives import Collective
from vrt_spike_jax.topology import CHIPS, collective_seconds, step_time

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "chips"), [("v5e:16x16", 256), ("v5p:4x4x4", 64), ("v6e:2x4", 8)]
)
def test_name_tells_the_chips(name, chips):
    assert topology.count_chips(name) == chips


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("v5e:16x15", "v5e:16x16"), ("v5p4x4x4", "v5p:4x4x4"), ("v6:8x8", "v6e:8x8")],
)
def test_unknown_topology_names_the_nearest_one(name, nearest):
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        topology.count_chips(name)


def test_without_libtpu_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[tpu-compile\]'\.$"):
        topology.describe_slice("v5e:2x4")


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="needs libtpu: pip install -e '.[tpu-compile]'",
)
def test_every_topology_that_is_named_can_be_described():
    # libtpu stays loaded in its process.
    program = (
        "from configs import process\n"
        "process.expect_no_tpu()\n"
        "from vrt_spike_jax.topology import TOPOLOGIES, count_chips, describe_slice\n"
        "for name in TOPOLOGIES:\n"
        "    assert describe_slice(name).chips == count_chips(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_arithmetic_and_memory_overlap_and_collectives_do_not():
    chip = CHIPS["v5e"]
    gathers = [Collective("all-gather", 4, count=0, bytes=10**9)]
    times = step_time(chip, flops=197e12, moved=2 * 819e9, collectives=gathers)
    assert (times.arithmetic, times.memory) == (1, 2)
    # 400 GB/s in both directions, on two axes: 100 GB/s in one direction of one axis.
    assert times.collectives == pytest.approx(0.75 * 1e9 / 100e9)
    assert times.total == 2 + times.collectives


def test_an_all_reduce_goes_around_twice_and_waits_for_each():
    chip = CHIPS["v5p"]
    gather = Collective("all-gather", 64, count=10, bytes=10**9)
    reduce = Collective("all-reduce", 64, count=10, bytes=10**9)
    once, twice = (collective_seconds(chip, c) for c in (gather, reduce))
    assert twice == pytest.approx(2 * once)
    # 6 hops to the farthest of 4x4x4 chips, 1 us each; 200 GB/s.
    assert once == pytest.approx(63 / 64 * 1e9 / 200e9 + 10 * 6e-6)
    alone = Collective("all-reduce", 1, count=10, bytes=10**9)
    assert collective_seconds(chip, alone) == 0
