"""How well a trained model holds where the spikes are off: measured, written, drawn."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vrt_spike_jax.atomic_file import replacing
from vrt_spike_jax.evaluate import METHODS, PROTOCOL, evaluate
from vrt_spike_jax.restorer import Restorer

NAME = "robustness"
NONE = "none"  # the kind of the case that the others are compared with
# Amounts of these are factors, and 1 is no change; of all others 0 is.
FACTORS = ("threshold", "light")
_METRICS = ("psnr", "ssim", "psnr_moving", "ssim_moving")
_LABELS = {
    "threshold": "threshold, times",
    "light": "light on the spikes, times",
    "misaligned_pixels": "spike pixels off",
    "misaligned_frames": "spike frames late",
    "dropped_spikes": "share of spikes dropped",
}
_STYLES = {"blurred": ("0.5", ":"), "closed_form": ("tab:orange", "--")}

Row = dict[str, Any]


class Case(NamedTuple):
    """One way that the spikes are off, and the clips that they are off in."""

    kind: str
    amount: float
    clips: Sequence[Mapping[str, Any]]  # as for `evaluate`

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return self.kind if self.kind == NONE else f"{self.kind} {self.amount:g}"


def measure_robustness(
    folder: str | Path,
    cases: Sequence[Case],
    *,
    model: Restorer,
    params: Any,
    config: Any,
    step: int,
) -> str:
    """Evaluates a model in every case; writes robustness.csv, .md and .png.

    What is measured is kept in robustness.json case by case, so that the same call
    continues where it was cut. It begins anew where the model was trained further.

    Args:
      folder: is made where it is missing.
      cases: with one whose kind is NONE.
      model: as for `evaluate`.
      params: its parameters.
      config: a run configuration, checked.
      step: training steps of the parameters.

    Returns:
      The table as text.

    Raises:
      ValueError: no case is NONE, or as `evaluate`.
    """
    if not any(case.kind == NONE for case in cases):
        raise ValueError(f"robustness needs a case of the kind {NONE!r} to compare.")
    folder = Path(folder)
    path = folder / f"{NAME}.json"
    state = {
        "step": step,
        "config": json.loads(json.dumps(config.to_dict())),
        "protocol": PROTOCOL,
    }
    measured = _measured(path, state)
    for number, case in enumerate(cases, 1):
        if case.name in measured:
            continue
        print(f"{number}/{len(cases)}  {case.name}", flush=True)
        rows = evaluate(
            model,
            params,
            case.clips,
            tile=tuple(config.eval.tile),
            overlap=tuple(config.eval.overlap),
            tiling=config.eval.tiling,
            progress=True,
        )
        keys = ("method", *_METRICS)
        measured[case.name] = [{key: row.get(key) for key in keys} for row in rows]
        with replacing(path) as temporary:
            text = json.dumps({**state, "cases": measured}, indent=2)
            temporary.write_text(text + "\n", encoding="utf-8")
    rows = _rows(cases, measured)
    with replacing(folder / f"{NAME}.csv") as temporary:
        temporary.write_text(_csv(rows), encoding="utf-8")
    table = markdown_table(rows)
    with replacing(folder / f"{NAME}.md") as temporary:
        temporary.write_text(
            f"# Robustness\n\n{config.name}, recipe {config.recipe}, {step} steps. The "
            "frames stay as they are; the spikes alone are off. In brackets: what that "
            f"changes. {PROTOCOL}.\n\n{table}\n",
            encoding="utf-8",
        )
    with replacing(folder / f"{NAME}.png") as temporary:
        _draw(temporary, rows)
    return table


def markdown_table(rows: Sequence[Row]) -> str:
    """A line a case: PSNR of each method, and of the model what the case changes."""
    metrics = [m for m in _METRICS if any(row[m] is not None for row in rows)]
    psnrs = [metric for metric in metrics if metric.startswith("psnr")]
    heads = ["spikes"]
    for metric in psnrs:
        kind = "moving: " if metric.endswith("moving") else ""
        heads += [f"{kind}{method} [dB]" for method in METHODS]
    heads.append("SSIM")
    cases: dict[str, dict[str, Row]] = {}
    for row in rows:
        cases.setdefault(row["case"], {})[row["method"]] = row
    lines = [heads]
    for case, methods in cases.items():
        cells = [case]
        for metric in psnrs:
            for method in METHODS:
                row = methods[method]
                cells.append(_cell(row[metric], row[f"{metric}_change"]))
        cells.append(f"{methods['model']['ssim']:.4f}")
        lines.append(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    lines.insert(1, ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])])
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    )


def _cell(value: float | None, change: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if not change else f"{value:.2f} ({change:+.2f})"


def _measured(path: Path, state: Mapping[str, Any]) -> dict[str, list[Row]]:
    """What was measured of the same parameters in the same way."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    cases: dict[str, list[Row]] = found.pop("cases", {})
    if found != state:
        print(f"{path} is of another step or other settings: measuring anew")
        return {}
    print(f"{len(cases)} cases were measured before")
    return cases


def _rows(
    cases: Sequence[Case], measured: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[Row]:
    base = {row["method"]: row for row in measured[NONE]}
    rows = []
    for case in cases:
        for found in measured[case.name]:
            row: Row = {"case": case.name, "kind": case.kind, "amount": case.amount}
            row |= found
            for metric in _METRICS:
                value, before = found[metric], base[found["method"]][metric]
                known = value is not None and before is not None
                row[f"{metric}_change"] = value - before if known else None
            rows.append(row)
    return rows


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _draw(path: Path, rows: Sequence[Row]) -> None:
    """A panel a kind: PSNR of each method over the amount."""
    kinds = [k for k in dict.fromkeys(row["kind"] for row in rows) if k != NONE]
    has_moving = any(row["psnr_moving"] is not None for row in rows)
    metric = "psnr_moving" if has_moving else "psnr"
    with matplotlib.rc_context({"font.size": 9, "savefig.dpi": 110}):
        figure = Figure((2.7 * len(kinds) + 0.6, 3.4), layout="constrained")
        axes = np.ravel(figure.subplots(1, len(kinds), sharey=True)).tolist()
        for axis, kind in zip(axes, kinds, strict=True):
            _draw_kind(axis, kind, metric, rows)
        label = "PSNR of moving pixels [dB]" if has_moving else "PSNR [dB]"
        axes[0].set_ylabel(label)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        figure.savefig(path, format="png")


def _draw_kind(axis: Axes, kind: str, metric: str, rows: Sequence[Row]) -> None:
    neutral = 1.0 if kind in FACTORS else 0.0
    for method in METHODS:
        points = [
            (neutral if row["kind"] == NONE else row["amount"], row[metric])
            for row in rows
            if row["method"] == method and row["kind"] in (kind, NONE)
        ]
        colour, line = _STYLES.get(method, ("tab:blue", "-"))
        axis.plot(
            *zip(*sorted(points), strict=True),
            color=colour,
            linestyle=line,
            marker="o",
            markersize=3,
            label=method,
        )
    amounts = sorted({row["amount"] for row in rows if row["kind"] == kind} | {neutral})
    if kind in FACTORS:
        axis.set_xscale("log", base=2)
    axis.set_xticks(amounts, [f"{amount:g}" for amount in amounts])
    axis.minorticks_off()
    axis.set_xlabel(_LABELS.get(kind, kind))
    axis.grid(alpha=0.3)
