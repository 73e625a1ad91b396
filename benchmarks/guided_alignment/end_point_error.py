"""End-point error of the flows that a trained model aligns its frames by.

  python -m benchmarks.guided_alignment.end_point_error --workdir=DIR [--workdir=DIR ..]

On the held-out clips of the embedded data set, where the motion between the sharp
instants is known: the mean distance, in pixels, of each flow from the true one, over
all pixels whose true flow is known, and over those of them that move more than 8
pixels. Rows are no motion, and for each work directory SpyNet's flow on its blurred
frames and the flow that its spikes make of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

import launch
from configs.load import read_config
from data_pipeline import run_data
from data_pipeline.sources.true_flow import clip_flows
from vrt_spike_jax.models.alignment import FlowPair
from vrt_spike_jax.models.vrt import flows_of
from vrt_spike_jax.models.vrt_spike import aligned_flows

FAST = 8.0  # pixels from frame to frame


class Errors(NamedTuple):
    """Distances of a flow from the true one, in pixels."""

    all: np.ndarray
    fast: np.ndarray


def end_point_errors(flow: FlowPair, true: np.ndarray, known: np.ndarray) -> Errors:
    """Compares the flows of one clip, backward pairs first.

    Args:
      flow: of one clip, (1, T - 1, H, W, 2) each way.
      true: (2 * (T - 1), H, W, 2).
      known: where the true flow is known, (2 * (T - 1), H, W).
    """
    found = np.concatenate([flow.backward[0], flow.forward[0]])
    distance = np.linalg.norm(found - true, axis=-1)
    fast = known & (np.linalg.norm(true, axis=-1) > FAST)
    return Errors(distance[known], distance[fast])


def measure(workdir: Path, clips: int | None) -> Iterator[tuple[str, Errors]]:
    """Yields the row and the errors of each flow on each held-out clip."""
    config = read_config(workdir / "config.json")
    if config.data.sets:
        raise SystemExit(f"{workdir} was trained on other clips than the embedded.")
    model, params = launch._model_and_params(config, workdir)
    spike_input = launch._spike_input(config, workdir)
    held_out = run_data.held_out_clips(config, spike_input, launch._data(config))
    settings = config.data.embedded.to_dict()
    settings["spike_scale"] = config.data.spike_scale
    for number in tqdm(range(len(held_out))[:clips], desc=workdir.name, unit="clip"):
        clip = held_out[number]
        # Named split-index-photograph.
        index = int(str(clip["name"]).split("-")[1])
        flows = clip_flows(settings, "test", index)
        true = np.stack([flow.flow for flow in flows])
        known = np.stack([flow.known for flow in flows])
        for row, flow in _flows(model, params, clip, config):
            yield row, end_point_errors(flow, true, known)


def _flows(
    model: Any, params: Any, clip: Any, config: Any
) -> Iterator[tuple[str, FlowPair]]:
    blur = jnp.asarray(clip["blur"])[None]
    shape = (1, blur.shape[1] - 1, *blur.shape[2:4], 2)
    yield "no motion", FlowPair(jnp.zeros(shape), jnp.zeros(shape))
    if not model.takes_spikes:
        yield f"SpyNet, {config.name}", flows_of(model, params, blur)[0]
        return
    spynet, aligned = aligned_flows(
        model, params, blur, jnp.asarray(clip["spikes"])[None]
    )
    if config.model.alignment != "spikes":
        yield f"SpyNet, {config.name}", spynet
    if config.model.alignment != "spynet":
        yield f"spikes, {config.name}", aligned


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=Path, action="append", required=True)
    parser.add_argument("--clips", type=int, help="all where it is left out")
    options = parser.parse_args()
    rows: dict[str, list[Errors]] = {}
    for workdir in options.workdir:
        for row, errors in measure(workdir, options.clips):
            rows.setdefault(row, []).append(errors)
    width = max(map(len, rows))
    print(f"{'flow':{width}}  error [px]  over {FAST:g} px")
    for row, found in rows.items():
        every, fast = (np.concatenate(x).mean() for x in zip(*found, strict=True))
        print(f"{row:{width}}  {every:10.2f}  {fast:9.2f}")


if __name__ == "__main__":
    main()
