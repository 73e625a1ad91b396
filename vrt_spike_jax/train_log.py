"""What a training run tells: the progress line, metrics.jsonl and scalars."""

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import jax

from vrt_spike_jax.atomic_file import replacing


@runtime_checkable
class MetricWriter(Protocol):
    """Where scalars and pictures go; the writers of clu.metric_writers fit."""

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Takes numbers by name, such as 'train/loss'."""

    def write_images(self, step: int, images: Mapping[str, Any]) -> None:
        """Takes uint8 pictures (n,h,w,3) by name."""

    def flush(self) -> None:
        """Returns when everything taken so far is written."""


class TrainLog:
    """Takes the metrics of every step, checks them, and tells about some of them."""

    def __init__(
        self,
        path: Path,
        writer: MetricWriter,
        *,
        first_step: int,
        last_step: int,
        log_every: int,
        clips_per_step: int,
    ) -> None:
        """Opens metrics.jsonl behind the line of the last step that is kept.

        Args:
          path: of metrics.jsonl; steps after `first_step` are cut off, since they will
            be trained again.
          writer: gets the same numbers.
          first_step: steps trained before this log.
          last_step: of the run, for the time left.
          log_every: steps from one line of metrics.jsonl to the next.
          clips_per_step: in all processes together.
        """
        self._writer = writer
        self._last = last_step
        self._log_every = log_every
        self._clips = clips_per_step
        self._is_main = jax.process_index() == 0
        self._file = None
        if self._is_main:
            truncate_metrics(path, first_step)
            self._file = path.open("a", encoding="utf-8")
        self._clock: tuple[int, float] | None = None
        self._shown = 0.0
        self._in_line = False

    def record(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        """Waits for the metrics of a step and tells about them where it is due.

        Raises:
          FloatingPointError: a loss or its gradient is not finite, of the model or of
            the discriminator.
        """
        values = {name: float(x) for name, x in jax.device_get(dict(metrics)).items()}
        now = time.monotonic()
        _require_finite(step, values)
        begins = self._clock is None
        if self._clock is None:
            self._clock = step, now  # the first step includes the compilation
        first, start = self._clock
        rate = (step - first) / (now - start) if step > first else math.nan
        due = step % self._log_every == 0 or step == self._last
        if due:
            self._write(step, values)
        self._show(step, values, rate, now, due or begins)

    def begin_stage(self, text: str) -> None:
        """Tells that another program runs from here on, whose speed is its own."""
        self._clock = None
        self.tell(text)

    def tell(self, text: str) -> None:
        """Writes a line of its own between those of the steps."""
        if self._is_main:
            start = "\n" if self._in_line else ""
            sys.stderr.write(f"{start}{text}\n")
            sys.stderr.flush()
            self._in_line = False

    def __enter__(self) -> "TrainLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._in_line:
            sys.stderr.write("\n")  # what follows, such as an error, has its own line
        self._writer.flush()

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        if self._file is None:
            return
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        self._writer.write_scalars(
            step, {f"train/{name}": value for name, value in values.items()}
        )

    def _show(
        self,
        step: int,
        values: Mapping[str, float],
        rate: float,
        now: float,
        due: bool,
    ) -> None:
        if not self._is_main:
            return
        on_terminal = sys.stderr.isatty()
        last = step == self._last
        if on_terminal and now - self._shown < 0.2 and not last:
            return
        if not on_terminal and not due:
            return
        self._shown = now
        line = f"step {step}/{self._last}  loss {values['loss']:.4f}"
        line += f"  psnr {values['psnr']:.2f} dB"
        if math.isfinite(rate):
            left = duration((self._last - step) / rate)
            line += f"  {rate:.2f} steps/s  {rate * self._clips:.2f} clips/s"
            line += f"  {left} left"
        start, end = ("\r\033[K", "\n" if last else "") if on_terminal else ("", "\n")
        sys.stderr.write(f"{start}{line}{end}")
        sys.stderr.flush()
        self._in_line = not end


def _require_finite(step: int, values: Mapping[str, float]) -> None:
    players = {
        "": ("the loss", "optimizer.learning_rate or grad_clip_norm"),
        "discriminator/": (
            "the loss of the discriminator",
            "loss.adversarial.learning_rate",
        ),
    }
    for prefix, (what, remedy) in players.items():
        if f"{prefix}loss" not in values:
            continue  # trained without a discriminator
        found = [values[prefix + name] for name in ("loss", "grad_norm")]
        if not all(map(math.isfinite, found)):
            raise FloatingPointError(
                f"training stopped: at step {step} {what} is {found[0]} and the norm "
                f"of its gradient {found[1]}; the checkpoints from before that step "
                f"are kept. Train in another --workdir with a lower --config.{remedy}"
            )


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as in 1:02:03."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{whole % 60:02d}"


def truncate_metrics(path: Path, last_step: int) -> None:
    """Drops the lines of metrics.jsonl after `last_step`, and one that was cut off."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            step = json.loads(line)["step"]
        except ValueError:
            continue  # the line that was being written when the run was killed
        if step <= last_step:
            kept.append(line + "\n")
    with replacing(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")
