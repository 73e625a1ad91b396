"""The table of an ablation: means and spreads over the seeds, as CSV, text, picture."""

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vrt_spike_jax.ablation import Outcome
from vrt_spike_jax.atomic_file import replacing
from vrt_spike_jax.metrics.by_name import MAIN, METRICS

_METHODS = ("blurred", "closed_form")  # that are not trained, and have no spread
_TITLES = {  # where they are not those of an evaluation
    "psnr_moving": "moving: PSNR [dB]",
    "ssim_moving": "moving: SSIM",
    "gain_psnr": "gain [dB]",
    "gain_psnr_moving": "moving: gain [dB]",
}
_NO_GAINS = ("ssim", "ssim_moving", "e_warp_sharp")  # the last is the same for all

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean of some values and their standard deviation, of the sample (n - 1)."""

    mean: float
    deviation: float | None  # None of a single value

    def text(self, digits: int, *, signed: bool = False) -> str:
        """Such as '28.31 ± 0.12'."""
        mean = f"{self.mean:+.{digits}f}" if signed else f"{self.mean:.{digits}f}"
        if self.deviation is None:
            return mean
        return f"{mean} ± {self.deviation:.{digits}f}"


def spread(values: Iterable[float]) -> Spread | None:
    """The spread of values; None where there are none."""
    found = [float(value) for value in values]
    if not found:
        return None
    mean = math.fsum(found) / len(found)
    if len(found) == 1:
        return Spread(mean, None)
    squares = math.fsum((value - mean) ** 2 for value in found)
    return Spread(mean, math.sqrt(squares / (len(found) - 1)))


def measured_metrics(outcomes: Sequence[Outcome]) -> list[str]:
    """The metrics of a table: MAIN, and what else the trainings were evaluated with."""
    found = {
        name
        for outcome in outcomes
        if outcome.results is not None
        for row in outcome.results["rows"]
        for name in row
    }
    return [*MAIN, *(name for name in METRICS if name in found and name not in MAIN)]


def ablation_rows(outcomes: Sequence[Outcome], *, baseline: str) -> list[Row]:
    """One row for each method and variant: the blurred input, closed form, variants.

    Args:
      outcomes: of all trainings, those that failed among them.
      baseline: the variant that gains are over, where it is there.

    Returns:
      Rows of 'method', 'runs' (finished), 'failures' (a sentence each), 'parameters',
      'seconds_per_step', and a Spread or None under each of `measured_metrics` and
      'gain_METRIC': its difference to that of the baseline of the same seed.

    Raises:
      ValueError: trainings were evaluated on different clips, or differently, and
        cannot be compared.
    """
    finished = [outcome for outcome in outcomes if outcome.results is not None]
    metrics = measured_metrics(finished)
    rows: list[Row] = []
    if finished:
        rows = [_untrained(method, finished, metrics) for method in _METHODS]
    variants = dict.fromkeys(o.training.variant for o in outcomes)
    bases = {o.training.seed: o for o in finished if o.training.variant == baseline}
    for variant in variants:
        own = [o for o in outcomes if o.training.variant == variant]
        done = [o for o in own if o.results is not None]
        row = {
            "method": variant,
            "runs": len(done),
            "failures": [
                f"seed {o.training.seed}: {o.failure}" for o in own if o.failure
            ],
            "parameters": own[0].training.parameters,
            "seconds_per_step": spread(
                o.seconds_per_step for o in done if o.seconds_per_step is not None
            ),
        }
        for metric in metrics:
            scores = [_score(o, "model", metric) for o in done]
            row[metric] = spread(value for value in scores if value is not None)
        for metric in _with_gain(metrics):
            pairs = [
                (_score(o, "model", metric), _score(base, "model", metric))
                for o in done
                if (base := bases.get(o.training.seed)) and variant != baseline
            ]
            row[f"gain_{metric}"] = spread(
                a - b for a, b in pairs if a is not None and b is not None
            )
        rows.append(row)
    return rows


def write_ablation(
    folder: str | Path, outcomes: Sequence[Outcome], *, config: Any
) -> str:
    """Writes ablation.csv, ablation.md and ablation.png; returns the table as text.

    Args:
      folder: is made where it is missing.
      outcomes: of all trainings.
      config: of the ablation: the budget of its trainings, and `ablation.baseline`,
        the variant that gains are over, where it is there.

    Raises:
      ValueError: as `ablation_rows`.
    """
    baseline = config.ablation.baseline
    rows = ablation_rows(outcomes, baseline=baseline)
    table = markdown_table(rows)
    folder = Path(folder)
    with replacing(folder / "ablation.csv") as path:
        path.write_text(_csv(rows), encoding="utf-8")
    with replacing(folder / "ablation.md") as path:
        path.write_text(
            _document(rows, outcomes, table, _budget(config), baseline),
            encoding="utf-8",
        )
    if any(o.results is not None for o in outcomes):
        with replacing(folder / "ablation.png") as path:
            _draw(path, rows, outcomes)
    return table


def markdown_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table that can also be read as it is."""
    columns = [key for key in _columns(rows) if any(row.get(key) for row in rows)]
    lines = [["method", *map(_title, columns), "parameters", "s / step"]]
    for row in rows:
        cells = [row["method"]]
        for key in columns:
            digits = METRICS[key.removeprefix("gain_")].digits
            value = row.get(key)
            cells.append(
                value.text(digits, signed=key.startswith("gain")) if value else ""
            )
        parameters, seconds = row.get("parameters"), row.get("seconds_per_step")
        cells += [
            f"{parameters:,}" if parameters else "",
            seconds.text(2) if seconds else "",
        ]
        if row.get("failures") and not row["runs"]:
            cells[1] = "failed"
        elif row.get("failures"):
            cells[0] += f" ({len(row['failures'])} failed)"
        lines.append(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
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


def _budget(config: Any) -> str:
    """One line on what every training of an ablation is given."""
    data, steps = config.data, config.train.steps
    size = f"{data.num_frames}x{data.crop_size}x{data.crop_size}"
    return (
        f"Each training: {config.model.variant}, {steps} steps of {data.batch_size} "
        f"clips of {size}, learning rate {config.optimizer.learning_rate:g}, "
        f"{config.model.dtype}."
    )


def _with_gain(metrics: Iterable[str]) -> list[str]:
    return [metric for metric in metrics if metric not in _NO_GAINS]


def _columns(rows: Sequence[Row]) -> list[str]:
    """What is measured, then what is gained, as keys of the rows."""
    metrics = [key for key in (rows[0] if rows else ()) if key in METRICS]
    return [*metrics, *(f"gain_{metric}" for metric in _with_gain(metrics))]


def _title(column: str) -> str:
    metric = column.removeprefix("gain_")
    suffix = "" if column == metric else ": gain"
    return _TITLES.get(column, METRICS[metric].title + suffix)


def _untrained(method: str, finished: Sequence[Outcome], metrics: Sequence[str]) -> Row:
    row: Row = {"method": method, "runs": 0}
    for metric in metrics:
        scores = [_score(outcome, method, metric) for outcome in finished]
        for outcome, value in zip(finished, scores, strict=True):
            if _differ(value, scores[0]):
                names = finished[0].training.name, outcome.training.name
                raise ValueError(
                    f"{names[0]} and {names[1]} measured another {metric} of "
                    f"{method!r}, {scores[0]} and {value}, so they were not evaluated "
                    "on the same clips in the same way; remove the work directories of "
                    "the older ones and run the ablation again."
                )
        row[metric] = None if scores[0] is None else Spread(scores[0], None)
    return row


def _differ(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is not second
    # Other devices round otherwise.
    return first != second and not math.isclose(first, second, rel_tol=1e-4)


def _score(outcome: Outcome, method: str, metric: str) -> float | None:
    if outcome.results is None:
        return None
    for row in outcome.results["rows"]:
        if row["method"] == method:
            value = row.get(metric)
            return None if value is None else float(value)
    return None


def _csv(rows: Sequence[Row]) -> str:
    spreads = (*_columns(rows), "seconds_per_step")
    names = ["method", "runs", "failed", "parameters"]
    for key in spreads:
        names += [key, f"{key}_std"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "failures"])
    for row in rows:
        failures = row.get("failures", [])
        cells = [row["method"], row["runs"], len(failures), row.get("parameters", "")]
        for key in spreads:
            value = row.get(key)
            cells += ["", ""] if value is None else [value.mean, value.deviation]
        writer.writerow([*cells, "; ".join(failures)])
    return text.getvalue()


def _document(
    rows: Sequence[Row],
    outcomes: Sequence[Outcome],
    table: str,
    budget: str,
    baseline: str,
) -> str:
    finished = [o for o in outcomes if o.results is not None]
    parts = ["# Ablation", budget, table]
    if finished:
        results = finished[0].results or {}
        versions = results["versions"]
        parts.append(
            f"Mean ± standard deviation over the seeds; gains are over the {baseline} "
            f"of the same seed. {results['protocol']}. jax {versions['jax']}, "
            f"{versions['device']}."
        )
    failures = [f"- {row['method']}, {text}" for row in rows for text in _of(row)]
    if failures:
        parts.append("## Failed\n\n" + "\n".join(failures))
    metrics = _with_gain(measured_metrics(finished))
    lines = [f"| training | {' | '.join(map(_title, metrics))} |"]
    lines.append("| --- |" + " ---: |" * len(metrics))
    for outcome in finished:
        scores = {m: _score(outcome, "model", m) for m in metrics}
        cells = [
            "" if value is None else f"{value:.{METRICS[metric].digits}f}"
            for metric, value in scores.items()
        ]
        lines.append(f"| {outcome.training.name} | {' | '.join(cells)} |")
    parts.append("## Each training\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _of(row: Row) -> list[str]:
    failures: list[str] = row.get("failures", [])
    return failures


def _draw(path: Path, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
    columns = [key for key in _columns(rows) if key in METRICS]
    metrics = [m for m in _with_gain(columns) if any(row[m] for row in rows)]
    variants = [row for row in rows if row["method"] not in _METHODS]
    with matplotlib.rc_context({"font.size": 9, "savefig.dpi": 110}):
        size = (1.8 + 4.2 * len(metrics), 1.3 + 0.34 * len(variants))
        figure = Figure(size, layout="constrained")
        axes = np.ravel(figure.subplots(1, len(metrics), sharey=True)).tolist()
        for axis, metric in zip(axes, metrics, strict=True):
            _draw_metric(axis, metric, rows, outcomes)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        figure.savefig(path, format="png")


def _draw_metric(
    axis: Axes, metric: str, rows: Sequence[Row], outcomes: Sequence[Outcome]
) -> None:
    """A line a variant: its mean, its spread and each seed; what is untrained below."""
    styles = {"blurred": (":", "0.5"), "closed_form": ("--", "tab:orange")}
    variants = [row for row in rows if row["method"] not in _METHODS]
    for row in rows:
        if row["method"] in styles and row[metric]:
            line, colour = styles[row["method"]]
            axis.axvline(
                row[metric].mean, linestyle=line, color=colour, label=row["method"]
            )
    for place, row in enumerate(variants):
        if not row[metric]:
            axis.text(
                0.02, place, "failed", transform=axis.get_yaxis_transform(), va="center"
            )
            continue
        scores = [
            _score(o, "model", metric)
            for o in outcomes
            if o.training.variant == row["method"]
        ]
        seeds = [score for score in scores if score is not None]
        first = "seeds" if place == 0 else None
        below = [place + 0.2] * len(seeds)
        axis.plot(seeds, below, "|", color="0.2", markersize=7, label=first)
        axis.errorbar(
            row[metric].mean,
            place,
            xerr=row[metric].deviation or 0.0,
            fmt="o",
            color="tab:blue",
            capsize=3,
            label="mean, standard deviation" if place == 0 else None,
        )
    axis.set_yticks(range(len(variants)), [row["method"] for row in variants])
    axis.set_ylim(len(variants) - 0.5, -0.5)
    axis.set_xlabel(_title(metric))
    axis.locator_params(axis="x", nbins=4)  # numbers with many digits stay apart
    axis.grid(axis="x", alpha=0.3)
