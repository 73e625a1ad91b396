"""What sharp frames made of spikes alone are worth: PSNR against the light itself.

  python -m benchmarks.data_pipeline.reconstruct [--s_reds FOLDER] [--photographs 4]

Of photographs set in motion, as the embedded clips are, and of Spike-Zoo's REDS streams
(NAME.dat beside NAME.png) where their folder is given. TFP and the charge between two
instants (a TFP whose ends are shared) are given the window that is best for each scene,
which nobody knows without the light. The reconstruction has its defaults throughout.
Linear light is compared gamma-coded, as it is seen.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from tqdm import tqdm

from data_pipeline.charge import mean_rate
from data_pipeline.exposure import exposure_windows
from data_pipeline.noise_maps import DARK_RATE, estimated_maps
from data_pipeline.reconstruct import reconstruct, stream_window, to_light
from data_pipeline.representations import tfi, tfp
from data_pipeline.sensor import Sensor
from data_pipeline.sensor_clip import simulate_sensor
from data_pipeline.sources.motion import random_scene
from data_pipeline.spike_camera import grey
from data_pipeline.spike_dat import read_dat
from data_pipeline.transfer import to_gamma, to_linear

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")
SIZE = (192, 256)
COUNT = 241
WINDOWS = range(3, 98, 2)
METHODS = ("TFP", "TFI", "charge", "aligned", "reconstructed")


@dataclasses.dataclass(frozen=True)
class Camera:
    """How a scene is filmed.

    Attributes:
        motion: pixels that the camera moves in 181 spike frames, at most.
        gain: spikes per spike frame at white.
        linear: whether the camera integrates linear light.
        cfa: colour filters.
        sensor: the noise of the sensor, none where None.
        dark_rate: of the sensor, to be taken out of all methods; none where 0.
    """

    motion: float = 30.0
    gain: float = 0.6
    linear: bool = False
    cfa: str = "none"
    sensor: Sensor | None = None
    dark_rate: float = 0.0


CAMERAS = {
    "photographs, gamma-coded light": Camera(),
    ".. twice as fast": Camera(motion=60.0),
    ".. a quarter of the light": Camera(gain=0.15),
    "photographs, linear light": Camera(linear=True),
    ".. calibrated sensor": Camera(linear=True, sensor=Sensor()),
    ".. its dark rate taken out": Camera(
        linear=True, sensor=Sensor(), dark_rate=DARK_RATE
    ),
    ".. Bayer filters bggr": Camera(linear=True, cfa="bggr"),
}


@dataclasses.dataclass(frozen=True)
class Scene:
    """Spikes (S, h, w) and the light (h, w, ..) of their middle spike frame."""

    spikes: np.ndarray
    truth: np.ndarray
    camera: Camera


def film(name: str, camera: Camera, *, seed: int) -> Scene:
    """Sets a photograph in motion and records it."""
    rng = np.random.default_rng(seed)
    exposure = exposure_windows(
        1, first_start=30, exposure=COUNT - 60, period=COUNT - 60
    )
    others = [_photograph(other) for other in PHOTOGRAPHS if other != name]
    scene = random_scene(
        _photograph(name),
        others,
        size=SIZE,
        exposure=exposure,
        max_blur=camera.motion,
        rng=rng,
    )
    light = np.stack([scene.render(sample + 0.5) for sample in range(COUNT)])
    if camera.linear:
        light = to_linear(light)
    if camera.cfa == "none":
        light = grey(light)
    clip = simulate_sensor(
        light,
        threshold=1.0,
        gain=camera.gain,
        rng=rng,
        sensor=camera.sensor or Sensor(),
        threshold_range=(1.0, 1.0),
        light_range=(1.0, 1.0),
        cfa=camera.cfa,
    )
    spikes = clip.clean if camera.sensor is None else clip.noisy
    return Scene(spikes, light[COUNT // 2], camera)


def read_reds(folder: Path) -> Iterator[tuple[str, Scene]]:
    """Reads the REDS streams of a folder with their pictures."""
    for path in sorted(folder.glob("*.dat")):
        picture = cv2.imread(str(path.with_suffix(".png")), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            raise SystemExit(f"{path} has no .png beside it.")
        truth = np.asarray(picture, np.float32) / np.float32(255)
        yield path.stem, Scene(read_dat(path, *truth.shape), truth, Camera())


def measure(scene: Scene) -> tuple[dict[str, float], dict[str, int], float]:
    """Returns PSNRs by METHODS, the best windows, and seconds of the reconstruction."""
    spikes, cfa = scene.spikes, scene.camera.cfa
    middle = len(spikes) // 2
    instant = middle + 0.5
    first, last = stream_window(instant, 55, len(spikes))
    part = spikes[first:last]
    dark_rate = scene.camera.dark_rate
    maps = estimated_maps(spikes, dark_rate=dark_rate) if dark_rate else None

    def rounds(count: int) -> np.ndarray:
        return reconstruct(part, instant - first, rounds=count, cfa=cfa, maps=maps)

    def best(rate: Callable[[int], np.ndarray]) -> tuple[float, int]:
        scores = ((_psnr(to_light(rate(w), cfa, maps), scene), w) for w in WINDOWS)
        return max(scores)

    start = time.process_time()
    found = rounds(2)
    seconds = time.process_time() - start
    short, long = (
        best(lambda w: tfp(spikes, middle, w)),
        best(lambda w: mean_rate(spikes, instant - w / 2, instant + w / 2)),
    )
    scores = {
        "TFP": short[0],
        "TFI": _psnr(to_light(tfi(spikes, middle), cfa, maps), scene),
        "charge": long[0],
        "aligned": _psnr(rounds(0), scene),
        "reconstructed": _psnr(found, scene),
    }
    return scores, {"TFP": short[1], "charge": long[1]}, seconds


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--s_reds", type=Path)
    parser.add_argument("--photographs", type=int, default=4)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    names = PHOTOGRAPHS[: options.photographs]
    rows: dict[str, list[Scene]] = {}
    if options.s_reds is not None:
        rows |= {name: [scene] for name, scene in read_reds(options.s_reds)}
    for label, camera in CAMERAS.items():
        rows[label] = [film(name, camera, seed=n) for n, name in enumerate(names)]
    print(f"| scene | {' | '.join(METHODS)} | seconds |")
    print("|---|" + "---:|" * (len(METHODS) + 1))
    for label, scenes in tqdm(rows.items(), unit="row"):
        found = [measure(scene) for scene in scenes]
        cells = []
        for method in METHODS:
            score = np.mean([scores[method] for scores, _, _ in found])
            windows = [used[method] for _, used, _ in found if method in used]
            spread = f" ({min(windows)}-{max(windows)})" if windows else ""
            cells.append(f"{score:.2f}{spread}")
        seconds = np.mean([seconds for _, _, seconds in found])
        tqdm.write(f"| {label} | {' | '.join(cells)} | {seconds:.1f} |")


def _psnr(rates: np.ndarray, scene: Scene) -> float:
    light = np.clip(rates / np.float32(scene.camera.gain), 0, 1)
    truth = scene.truth
    if scene.camera.linear:
        light, truth = to_gamma(light), to_gamma(truth)
    return -10 * math.log10(float(np.square(light - truth).mean()))


def _photograph(name: str) -> np.ndarray:
    image = getattr(skimage.data, name)()[..., :3]
    return np.ascontiguousarray(image, np.float32) / np.float32(255)


if __name__ == "__main__":
    main()
