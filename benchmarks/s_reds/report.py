"""A trained model on spikes, blur and truth made by someone else: S-REDS.

  python -m benchmarks.s_reds.report --data=../shared/data/s_reds --workdir=DIR [..]

Each NAME.dat of the folder (250x400, spikes of rendered REDS footage, 0.6 spikes a
spike frame at white) has the sharp grey picture of spike frame 150 beside it. The
blurred picture is the mean over all spike frames, TFP; it is given to the model three
times, as RGB, and the grey of what it restores is compared with the picture. Rows are
PSNR [dB] of that, of TFP with its best window, of TFI and of the closed form; and of
the model and the closed form with the 49 spike frames around the middle as exposure,
which is as long as those of the embedded data set.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import launch
from configs.load import read_config
from data_pipeline.representations import tfi, tfp
from data_pipeline.spike_camera import grey
from data_pipeline.spike_dat import read_dat
from vrt_spike_jax import restore_video
from vrt_spike_jax.evaluate import closed_form

HEIGHT, WIDTH, MIDDLE, WHITE = 250, 400, 150, 0.6
WINDOWS = (5, 9, 21, 41, 97)
EXPOSURES = ("all", 49)


def psnr(found: np.ndarray, truth: np.ndarray) -> float:
    """PSNR in dB of grey values in [0, 1], clipped and not rounded."""
    error = np.square(np.clip(found, 0, 1) - truth).mean()
    return float(-10 * np.log10(error))


def exposure_of(spikes: np.ndarray, length: int | str) -> tuple[int, int]:
    """Start and end of an exposure around the middle, or of all there is."""
    if length == "all":
        return 0, len(spikes)
    return MIDDLE - int(length) // 2, MIDDLE + int(length) // 2 + 1


def blurred(spikes: np.ndarray, length: int | str) -> np.ndarray:
    """The picture (H, W) that an exposure sees, in [0, 1]."""
    start, end = exposure_of(spikes, length)
    return np.clip(spikes[start:end].mean(0, dtype=np.float32) / WHITE, 0, 1)


def restored(workdir: Path, spikes: np.ndarray, length: int | str) -> np.ndarray:
    """The grey (H, W) of what a trained model makes of one exposure."""
    config = read_config(workdir / "config.json")
    model, params = launch._model_and_params(config, workdir)
    start, end = exposure_of(spikes, length)
    spike_input = launch._spike_input(config, workdir)
    room = min(start, len(spikes) - end)  # beside all of the stream there is none
    spike_input = dataclasses.replace(spike_input, margin=min(spike_input.margin, room))
    frame = np.repeat(blurred(spikes, length)[None, ..., None], 3, axis=-1)
    channels = spike_input.of_clip(
        spikes, np.array([[start, end]], np.float64), blur=frame, transfer="gamma"
    )
    found: Any = restore_video(
        model,
        params,
        frame,
        channels,
        tile=tuple(config.eval.tile),
        overlap=tuple(config.eval.overlap),
    )
    return grey(np.asarray(found)[0])


def rows_of(path: Path, workdirs: list[Path]) -> dict[str, float]:
    """PSNR by method for one recording."""
    spikes = read_dat(path, HEIGHT, WIDTH)
    truth = cv2.imread(str(path.with_suffix(".png")), cv2.IMREAD_GRAYSCALE) / 255
    rows = {"blurred: TFP of all": psnr(blurred(spikes, "all"), truth)}
    windows = {n: psnr(tfp(spikes, MIDDLE, n) / WHITE, truth) for n in WINDOWS}
    best = max(windows, key=lambda window: windows[window])
    rows[f"TFP, best of {len(WINDOWS)} windows"] = windows[best]
    rows["TFI"] = psnr(tfi(spikes, MIDDLE) / WHITE, truth)
    for length in EXPOSURES:
        start, end = exposure_of(spikes, length)
        long = spikes[start:end].mean(0, dtype=np.float32)[None]
        picture = np.repeat(blurred(spikes, length)[None, ..., None], 3, axis=-1)
        short = tfp(spikes, MIDDLE, 25)[None]
        found = np.asarray(closed_form(picture, short, long))
        rows[f"closed form, 25 of {length}"] = psnr(grey(found[0]), truth)
        for workdir in workdirs:
            found = restored(workdir, spikes, length)
            rows[f"{workdir.name}, {length} spike frames"] = psnr(found, truth)
    return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workdir", type=Path, action="append", required=True)
    options = parser.parse_args()
    paths = sorted(options.data.glob("*.dat"))
    found = {path.stem: rows_of(path, options.workdir) for path in paths}
    names = list(found)
    print("| PSNR [dB] | " + " | ".join(names) + " |")
    print("| --- |" + " ---: |" * len(names))
    methods = dict.fromkeys(method for rows in found.values() for method in rows)
    for method in methods:
        cells = [f"{found[name].get(method, float('nan')):.2f}" for name in names]
        print(f"| {method} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
