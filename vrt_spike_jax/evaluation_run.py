"""An evaluation from its settings to its files: results.json, clips.csv, frames.csv."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vrt_spike_jax.agreement import together
from vrt_spike_jax.atomic_file import replacing
from vrt_spike_jax.evaluate import (
    PROTOCOL,
    Show,
    require_clips,
    require_evaluable,
    score_clip,
)
from vrt_spike_jax.feature_files import load_lpips
from vrt_spike_jax.feature_weights import PUBLISHED, PUBLISHED_LPIPS
from vrt_spike_jax.metrics import LPIPSWeights
from vrt_spike_jax.metrics.by_name import (
    METRICS,
    Reference,
    measure,
    metrics_named,
    require_measurable,
)
from vrt_spike_jax.metrics.lpips import feature_network
from vrt_spike_jax.preemption import take_back_sigterm
from vrt_spike_jax.restorer import Restorer
from vrt_spike_jax.scores import (
    ClipScores,
    Row,
    clips_csv,
    format_table,
    frames_csv,
    metrics_of,
    plain_number,
    rows_of,
)
from vrt_spike_jax.shared_clips import EVALUATION, forget, score_clips
from vrt_spike_jax.train_log import MetricWriter

# The one method of a comparison without a model.
PREDICTION = "prediction"
PAIRS_PROTOCOL = (
    "8-bit RGB pictures as they are, all frames, no border cut, mean over the frames "
    "of all clips; each metric as in 'protocols'"
)


def lpips_weights(settings: Any) -> dict[str, LPIPSWeights]:
    """Reads the weights of LPIPS that the chosen metrics need, by network.

    Args:
      settings: `eval` of a configuration, with 'metrics', 'lpips_alex' and 'lpips_vgg'.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: an unknown metric, files that are not named, are damaged or hold other
        weights, or PyTorch is not installed, which reads them.
    """
    metrics = metrics_named(settings.metrics)
    files = {"alex": settings.lpips_alex, "vgg": settings.lpips_vgg}
    found = {}
    for name, metric in metrics.items():
        net = metric.lpips
        if not net or net in found:
            continue
        backbone = PUBLISHED[type(feature_network(net))]
        linear = PUBLISHED_LPIPS[net]
        if len(files[net]) != 2:
            raise ValueError(
                f"the metric {name} needs the published weights, which nothing can "
                f"stand in for: fetch {backbone.url} and {linear.url}, and pass "
                f"--config.eval.lpips_{net}=\"('{backbone.file}','{linear.file}')\"."
            )
        paths = [Path(path).expanduser() for path in files[net]]
        try:
            found[net] = load_lpips(net, *paths)
        except ModuleNotFoundError as error:
            raise ValueError(f"the metric {name}: {error}") from error
    return found


def evaluate_run(
    config: Any,
    folder: str | Path,
    *,
    model: Restorer,
    params: Any,
    test_clips: Sequence[Any],
    step: int,
    data_sets: Sequence[Mapping[str, str]] = (),
    writer: MetricWriter | None = None,
) -> None:
    """Evaluates a model on whole held-out clips; writes the files, prints the table.

    Several processes call it together and share the clips. The same call continues
    what was cut, clip by clip; with other parameters, settings or data it begins anew.

    Args:
      config: a run configuration, checked.
      folder: gets results.json, clips.csv and frames.csv; seen by all processes.
      model: as for `restore_video`.
      params: its parameters, the same in each process.
      test_clips: each as for `score_clip`, read by index when its turn comes.
      step: training steps of the parameters.
      data_sets: 'directory' and 'manifest_checksum' of what the clips are of.
      writer: gets the means as scalars, such as for TensorBoard.

    Raises:
      FileNotFoundError, ValueError: as `lpips_weights`, `require_evaluable` and
        `score_clip`, no clip has sharp frames, or another process failed.
    """
    folder = Path(folder).resolve()
    take_back_sigterm()  # what is cut here continues
    with together(EVALUATION):
        require_clips(test_clips)
        require_evaluable(model)
        lpips = lpips_weights(config.eval)
    tiles = {
        "tile": tuple(config.eval.tile),
        "overlap": tuple(config.eval.overlap),
        "tiling": config.eval.tiling,
    }

    def score(clip: Mapping[str, Any], show: Show) -> ClipScores:
        return score_clip(
            model,
            params,
            clip,
            metrics=config.eval.metrics,
            tiles=tiles,
            lpips=lpips,
            show=show,
        )

    state = {
        "step": step,
        "parameters": _checksum(params),
        "config": config.to_dict(),
        "data": {"sets": list(data_sets), "clips": len(test_clips)},
        "versions": versions(),
    }
    clips = score_clips(folder, test_clips, score, state=state)
    with together(EVALUATION):
        if clips:
            rows = _write(
                folder,
                clips,
                protocol=PROTOCOL,
                data={"sets": list(data_sets)},
                config=config.to_dict(),
                step=step,
            )
            if writer is not None:
                _log(writer, rows, step)
    forget(folder)


def compare_run(
    settings: Any,
    folder: str | Path,
    *,
    pairs: Sequence[Any],
    data: Mapping[str, Any],
) -> None:
    """Compares pictures with sharp ones, without a model; writes the same files.

    Metrics of moving pixels are left out, since pictures do not say how long the
    shutter was open.

    Args:
      settings: `eval` of a configuration, checked.
      folder: as for `evaluate_run`.
      pairs: mappings of 'name', 'frames' (names), and 'prediction' and 'sharp' (T, H,
        W, 3) uint8 RGB.
      data: what tells these pictures from others.

    Raises:
      FileNotFoundError, ValueError: as `lpips_weights`, a clip has too few or too
        small frames for a metric, the folder has the results of another comparison or
        of a model, or another process failed.
    """
    folder = Path(folder).resolve()
    with together(EVALUATION):
        _require_own_results(folder / "results.json", data)
        lpips = lpips_weights(settings)
    metrics = {
        name: metric
        for name, metric in metrics_named(settings.metrics).items()
        if not metric.of_moving
    }

    def score(pair: Mapping[str, Any], show: Show) -> ClipScores:
        require_measurable(metrics, pair["name"], pair["sharp"].shape)
        reference = Reference(pair["sharp"], lpips=lpips)
        found = measure(metrics, pair["prediction"], reference)
        values = {name: list_.tolist() for name, list_ in found.items()}
        return ClipScores(pair["name"], pair["frames"], {PREDICTION: values})

    config = {"eval": settings.to_dict()}
    state = {"config": config, "data": dict(data), "versions": versions()}
    clips = score_clips(folder, pairs, score, state=state)
    with together(EVALUATION):
        if clips:
            _write(
                folder,
                clips,
                protocol=PAIRS_PROTOCOL,
                data=data,
                config=config,
                step=None,
            )
    forget(folder)


def _require_own_results(path: Path, data: Mapping[str, Any]) -> None:
    """Refuses to overwrite results, unless they are of the same two sources."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["data"]
        sources = found.get("prediction"), found.get("sharp")
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError, AttributeError):
        sources = None, None  # damaged: what it is of is not known
    if sources == (data["prediction"], data["sharp"]):
        return
    what = "something else"
    if None not in sources:
        what = f"{sources[0]} compared with {sources[1]}"
    raise ValueError(
        f"{path} has the results of {what}, not of {data['prediction']} compared with "
        f"{data['sharp']}; pass --output=FOLDER to write to another folder."
    )


def _write(
    folder: Path,
    clips: Sequence[ClipScores],
    *,
    protocol: str,
    data: Mapping[str, Any],
    config: Mapping[str, Any],
    step: int | None,
) -> list[Row]:
    """Writes all files, prints the table, and returns its rows."""
    rows = rows_of(clips)
    if not rows:
        raise ValueError(
            f"none of the {len(clips)} clips has sharp frames to compare with; take a "
            "data set that has, or restore videos instead."
        )
    without = [clip.name for clip in clips if not clip.values]
    _write_text(folder / "frames.csv", frames_csv(clips))
    _write_text(folder / "clips.csv", clips_csv(rows))
    write_results(
        folder / "results.json",
        rows,
        protocol=protocol,
        protocols={name: METRICS[name].protocol for name in metrics_of(clips)},
        data=dict(data)
        | describe_clips(rows)
        | ({"without_sharp": without} if without else {}),
        config=config,
        step=step,
    )
    print(format_table(rows))
    if without:
        print(f"{len(without)} of {len(clips)} clips have no sharp frames: left out")
    print(f"{folder}/results.json, clips.csv and frames.csv are written")
    return rows


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_results(
    path: str | Path,
    rows: Sequence[Row],
    *,
    protocol: str,
    protocols: Mapping[str, str],
    data: Mapping[str, Any],
    config: Mapping[str, Any],
    step: int | None,
) -> None:
    """Writes results.json, whole or not at all.

    An infinite value, the PSNR of identical frames, is written as the string "inf",
    since JSON has no infinity; Python's float() reads it back.

    Args:
      path: of the file.
      rows: of `rows_of`.
      protocol: how the numbers were made.
      protocols: what each metric is of.
      data: what they were made on.
      config: the resolved configuration.
      step: training steps of the evaluated parameters; None without a model.
    """
    results = {
        "rows": rows,
        "protocol": protocol,
        "protocols": protocols,
        "data": data,
        "config": config,
        "step": step,
        "versions": versions(),
    }
    text = json.dumps(_plain(results), indent=2, allow_nan=False)
    _write_text(Path(path), text + "\n")


def describe_clips(rows: Sequence[Row]) -> dict[str, Any]:
    """The names of the clips that were measured, and their number of frames."""
    clips = rows[0]["per_clip"]
    return {
        "clips": [clip["name"] for clip in clips],
        "frames": sum(clip["frames"] for clip in clips),
    }


def versions() -> dict[str, str]:
    """The versions of what decides the numbers, and the device."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "device": f"{device.platform}: {device.device_kind}",
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return plain_number(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _checksum(params: Any) -> str:
    """The sha256 of all parameters: two trainings may have one step and one config."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        found.update(jax.tree_util.keystr(path).encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


def _log(writer: MetricWriter, rows: Sequence[Row], step: int) -> None:
    scores = {
        f"eval/{row['method']}/{name}": row[name]
        for row in rows
        for name in row["over_clips"]
        if row[name] is not None
    }
    writer.write_scalars(step, scores)
    writer.flush()
