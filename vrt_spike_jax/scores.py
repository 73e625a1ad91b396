"""What was measured of each clip: as JSON, as means, as CSV and as a table."""

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vrt_spike_jax.metrics import Averages
from vrt_spike_jax.metrics.by_name import MAIN, METRICS

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class ClipScores:
    """The values of one clip's frames.

    Attributes:
      name: of the clip.
      frames: what each frame is called: its number, or the name of its picture.
      values: by method and metric, a value a frame; NaN for a frame without one. Empty
        for a clip without sharp frames.
    """

    name: str
    frames: Sequence[str]
    values: Mapping[str, Mapping[str, Sequence[float]]]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as JSON has them: 'inf' for infinity, None for NaN."""
        return {
            "name": self.name,
            "frames": list(self.frames),
            "values": {
                method: {
                    metric: [plain_number(value) for value in values]
                    for metric, values in metrics.items()
                }
                for method, metrics in self.values.items()
            },
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "ClipScores":
        """The scores that `to_json` made plain, to the last bit."""
        values = {
            method: {
                metric: [math.nan if v is None else float(v) for v in values]
                for metric, values in metrics.items()
            }
            for method, metrics in found["values"].items()
        }
        return cls(found["name"], list(found["frames"]), values)


def plain_number(value: float) -> float | str | None:
    """A number as JSON has it: 'inf' or '-inf' as a string, None for NaN."""
    value = float(value)
    if math.isnan(value):
        return None
    return str(value) if math.isinf(value) else value


def rows_of(clips: Sequence[ClipScores]) -> list[Row]:
    """A row for each method, with the means of all clips that have sharp frames.

    Args:
      clips: of one evaluation.

    Returns:
      Mappings of 'method'; each metric's mean over the frames of all clips, None where
      no frame has a value; 'over_clips', a mapping of the same as the mean over the
      means of the clips; and 'per_clip', a list of 'name', 'frames' and each metric's
      mean, with 'METRIC_frames', how many have a value, where that may be fewer.
      A metric that a clip lacks is left out.
    """
    measured = [clip for clip in clips if clip.values]
    return [_row(method, measured) for method in methods_of(measured)]


def methods_of(clips: Sequence[ClipScores]) -> list[str]:
    """The methods that were measured, in their order."""
    return list(dict.fromkeys(method for clip in clips for method in clip.values))


def metrics_of(clips: Sequence[ClipScores]) -> list[str]:
    """The metrics that all clips with sharp frames have, in their order."""
    found = [metrics for clip in clips for metrics in clip.values.values()]
    names = dict.fromkeys(name for metrics in found for name in metrics)
    return [name for name in names if all(name in metrics for metrics in found)]


def _row(method: str, clips: Sequence[ClipScores]) -> Row:
    row: Row = {"method": method}
    over_clips: Row = {}
    per_clip: list[Row] = [
        {"name": clip.name, "frames": len(clip.frames)} for clip in clips
    ]
    for metric in metrics_of(clips):
        averages = Averages()
        for number, clip in enumerate(clips):
            averages = averages.add(str(number), clip.values[method][metric])
            per_clip[number][metric] = _known(averages.of_clip(str(number)))
            if METRICS[metric].partial:
                count = averages.counts[str(number)]
                per_clip[number][f"{metric}_frames"] = count
        row[metric] = _known(averages.over_frames())
        over_clips[metric] = _known(averages.over_clips())
    return row | {"over_clips": over_clips, "per_clip": per_clip}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def frames_csv(clips: Sequence[ClipScores]) -> str:
    """CSV: method, clip, frame, and each metric; empty where a frame has no value."""
    metrics = metrics_of(clips)
    return _csv(
        ["method", "clip", "frame", *metrics],
        (
            [method, clip.name, frame]
            + [_known(clip.values[method][metric][index]) for metric in metrics]
            for method in methods_of(clips)
            for clip in clips
            if clip.values
            for index, frame in enumerate(clip.frames)
        ),
    )


def clips_csv(rows: Sequence[Row]) -> str:
    """CSV: method, clip, frames, and each metric's mean over the clip's frames."""
    names = list(rows[0]["per_clip"][0])[1:]
    return _csv(
        ["method", "clip", *names],
        (
            [row["method"], clip["name"], *(clip[name] for name in names)]
            for row in rows
            for clip in row["per_clip"]
        ),
    )


def _csv(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return text.getvalue()


def format_table(rows: Sequence[Row]) -> str:
    """PSNR and SSIM as an aligned table, with what each gains over the blurred input.

    What is called METHOD AT is compared with the same instant as 'blurred AT' is.
    Other metrics stand in a second table below. A cell without a value is blank.
    """
    baselines = {row["method"]: row for row in rows if "blurred" in row["method"]}
    columns = [name for name in MAIN if any(row.get(name) is not None for row in rows)]
    lines = [["method"]]
    for name in columns:
        lines[0] += [METRICS[name].title, *(["gain"] if baselines else [])]
    for row in rows:
        cells = [str(row["method"])]
        _, *at = row["method"].split(" ")
        blurred = baselines.get(" ".join(["blurred", *at]))
        for name in columns:
            cells.append(_cell(row, name))
            if baselines:
                cells.append(_gain_cell(row, blurred, name))
        lines.append(cells)
    text = _aligned(lines)
    others = [name for name in METRICS if name not in MAIN and name in rows[0]]
    if others:
        lines = [["method", *(METRICS[name].title for name in others)]]
        for row in rows:
            lines.append([str(row["method"]), *(_cell(row, name) for name in others)])
        text += "\n\n" + _aligned(lines)
    return text


def _cell(row: Row, name: str) -> str:
    value = row[name]
    return "" if value is None else f"{value:.{METRICS[name].digits}f}"


def _gain_cell(row: Row, blurred: Row | None, name: str) -> str:
    if blurred is None or row is blurred or None in (row[name], blurred[name]):
        return ""
    gain = row[name] - blurred[name]
    return f"{gain:+.{METRICS[name].digits}f}" if math.isfinite(gain) else ""


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
