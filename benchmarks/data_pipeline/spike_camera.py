"""How fast a clip is simulated, against a loop over frames with boolean indexing.

Run from the repository: `python -m benchmarks.data_pipeline.spike_camera`. Both sides
take turns on one core, on the same light, and give the same spikes.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import skimage.data

from data_pipeline.sensor_clip import simulate_sensor
from data_pipeline.spike_camera import grey, simulate

_LENGTH, _HEIGHT, _WIDTH = 97, 360, 640


def moving_photograph() -> np.ndarray:
    """Light (97, 360, 640), float32: a photograph that moves a pixel a spike frame."""
    photograph = grey(skimage.data.astronaut().astype(np.float32) / 255)
    size = (_WIDTH + _LENGTH, _HEIGHT)
    wide = np.clip(cv2.resize(photograph, size, interpolation=cv2.INTER_AREA), 0, 1)
    return np.stack([wide[:, t : t + _WIDTH] for t in range(_LENGTH)])


def loop(
    light: np.ndarray, phase: np.ndarray, threshold: float, gain: float
) -> np.ndarray:
    """The same camera as one writes it first, for a gain up to the threshold."""
    theta = np.float32(threshold)
    charge = phase * theta
    spikes = np.zeros(light.shape, np.uint8)
    for t in range(len(light)):
        charge += np.float32(gain) * light[t]
        fired = charge >= theta
        charge[fired] -= theta
        spikes[t][fired] = 1
    return spikes


def measure(
    sides: dict[str, Callable[[], object]], runs: int
) -> dict[str, list[float]]:
    """Returns the seconds of each run of each side, the sides taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for run in range(runs + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            if run:  # the first run of each side warms the memory up
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Prints the times of both sides and their ratio, and what other clips take."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    light = moving_photograph()
    rng = np.random.default_rng(0)
    phase = rng.random(light.shape[1:], np.float32)
    print(f"{'x'.join(map(str, light.shape))}, one core, medians of {runs} runs")
    for threshold, gain in ((1.0, 1.0), (2.0, 1.0), (1.0, 0.5)):
        slow_side = partial(loop, light, phase, threshold, gain)
        fast_side = partial(
            simulate, light, threshold=threshold, gain=gain, rng=rng, phase=phase
        )
        np.testing.assert_array_equal(fast_side(), slow_side())
        seconds = measure({"loop": slow_side, "simulate": fast_side}, runs)
        slow, fast = (statistics.median(times) for times in seconds.values())
        pairs = [a / b for a, b in zip(*seconds.values(), strict=True)]
        print(
            f"threshold {threshold:g}, gain {gain:g}: loop {1e3 * slow:.1f} ms, "
            f"simulate {1e3 * fast:.1f} ms, {slow / fast:.1f} times faster "
            f"({min(pairs):.1f} to {max(pairs):.1f})"
        )
    clip = partial(simulate, light, threshold=1.0, rng=rng)
    others: dict[str, Callable[[], object]] = {
        "simulate, gain 4 times the threshold": partial(clip, gain=4.0),
        "simulate, hard reset": partial(clip, gain=1.0, reset="hard"),
        "simulate_sensor, clean and noisy stream and maps": partial(
            simulate_sensor, light, threshold=1.0, gain=1.0, rng=rng
        ),
    }
    for name, times in measure(others, runs).items():
        print(f"{name}: {1e3 * statistics.median(times):.1f} ms")


if __name__ == "__main__":
    main()
