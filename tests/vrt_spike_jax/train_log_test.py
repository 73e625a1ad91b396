import json
import sys

import jax.numpy as jnp
import pytest

from vrt_spike_jax.train_log import TrainLog, duration, truncate_metrics


class Recorder:
    """Keeps what a metric writer is given."""

    def __init__(self):
        self.scalars = {}

    def write_scalars(self, step, scalars):
        self.scalars[step] = dict(scalars)

    def write_images(self, step, images):
        raise AssertionError("a log has no pictures")

    def flush(self):
        pass


def log_to(path, writer, **changes):
    options = dict(first_step=0, last_step=5, log_every=2, clips_per_step=4)
    return TrainLog(path, writer, **{**options, **changes})


def metrics(loss=0.5, grad_norm=1.0):
    values = {"loss": loss, "psnr": 20.0, "grad_norm": grad_norm, "learning_rate": 0.1}
    return {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}


def steps_in(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_due_steps_and_the_last_are_written(tmp_path, capsys):
    path, writer = tmp_path / "metrics.jsonl", Recorder()
    with log_to(path, writer) as log:
        for step in range(1, 6):
            log.record(step, metrics(loss=0.5 * step))
    assert steps_in(path) == [2, 4, 5]
    assert json.loads(path.read_text().splitlines()[1])["loss"] == 2.0
    assert list(writer.scalars) == [2, 4, 5]
    assert writer.scalars[4]["train/loss"] == 2.0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["1/5", "2/5", "4/5", "5/5"]
    assert lines[-1].startswith("step 5/5  loss 2.5000  psnr 20.00 dB")
    assert all(word in lines[-1] for word in ("steps/s", "clips/s", "0:00 left"))


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
def test_number_that_is_not_finite_stops_and_names_the_step(tmp_path, name):
    with log_to(tmp_path / "metrics.jsonl", Recorder()) as log:
        log.record(1, metrics())
        with pytest.raises(FloatingPointError, match="step 2"):
            log.record(2, metrics(**{name: float("nan")}))
    assert steps_in(tmp_path / "metrics.jsonl") == []


def test_no_step_stands_twice_after_a_resume(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = "".join(json.dumps({"step": step}) + "\n" for step in (2, 4, 6))
    path.write_text(whole + '{"step": 8, "lo')
    truncate_metrics(path, 4)
    assert steps_in(path) == [2, 4]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]
    with log_to(path, Recorder(), first_step=4, last_step=6) as log:
        for step in (5, 6):
            log.record(step, metrics())
    assert steps_in(path) == [2, 4, 6]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0:00"), (59.6, "1:00"), (754.0, "12:34"), (3723.0, "1:02:03")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("steps", [2, 5])
def test_what_follows_on_a_terminal_has_a_line_of_its_own(
    tmp_path, capsys, monkeypatch, steps
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with log_to(tmp_path / "metrics.jsonl", Recorder()) as log:
        for step in range(1, steps + 1):
            log.record(step, metrics())
    shown = capsys.readouterr().err
    assert shown.endswith(" dB\n") or shown.endswith(" left\n")
    assert shown.count("\n") == 1


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
def test_discriminator_that_is_not_finite_stops_too(tmp_path, name):
    told = {f"discriminator/{key}": jnp.asarray(1.0) for key in ("loss", "grad_norm")}
    with log_to(tmp_path / "metrics.jsonl", Recorder()) as log:
        log.record(1, metrics() | told)
        told[f"discriminator/{name}"] = jnp.asarray(float("inf"))
        with pytest.raises(FloatingPointError, match="step 2 the loss of the discrim"):
            log.record(2, metrics() | told)
