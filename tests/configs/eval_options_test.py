"""The options and settings of an evaluation, and what is refused of them."""

import re
from pathlib import Path

import pytest

from configs import base, check, command_line
from configs.eval_options import results_folder
from configs.load import override
from vrt_spike_jax.metrics.by_name import MAIN, METRICS


def parse(*arguments: str):
    return command_line.parse(["--mode=eval", *arguments], "")


def checked(*arguments: str) -> None:
    config = override(base.get_config("tiny"), list(arguments))
    check.check(
        config,
        variants={"tiny": 48},
        fusions=("none",),
        stages=(),
        device_count=None,
    )


def test_the_choices_are_the_metrics_that_there_are():
    assert tuple(METRICS) == check.METRICS
    assert base.get_config("tiny").eval.metrics == MAIN


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("metrics=('psnr','ssim','lpip')", "did you mean 'lpips'?"),
        ("metrics=('psnr','tof')", "eval.metrics lacks ssim, which every table has"),
        ("metrics=('psnr','ssim',3)", "eval.metrics holds 3; it must hold names"),
        ("lpips_alex=('alex.pth',)", "it must be two files"),
    ],
)
def test_settings_that_cannot_work_are_one_sentence(value, sentence):
    with pytest.raises(ValueError) as caught:
        checked(f"--config.eval.{value}")
    assert sentence in str(caught.value)


def test_every_metric_is_taken():
    checked(f"--config.eval.metrics={tuple(METRICS)!r}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--prediction=a"], "--prediction is compared with --sharp, which is missing"),
        (["--sharp=a"], "--sharp is compared with --prediction, which is missing"),
        (["--prediction=a", "--sharp=b", "--workdir=w"], "leave --workdir out"),
        (["--prediction=a", "--sharp=b", "--data=d"], "leave --data out"),
        (
            ["--prediction=a", "--sharp=b", "--config.data.dir=d"],
            "--config.data.dir=d has no effect on --prediction",
        ),
        (["--workdir=w", "--step=newest"], "--step=newest is not a number of steps"),
        (["--workdir=w", "--data="], "--data is empty"),
        (["--workdir=w", "--input=x"], "--input belongs to --mode=restore"),
        ([], "--config is missing"),
    ],
)
def test_options_that_do_not_go_together_are_one_sentence(arguments, sentence):
    with pytest.raises(ValueError) as caught:
        parse(*arguments)
    assert sentence in str(caught.value)


def test_data_takes_the_place_of_the_trainings():
    options = parse("--workdir=w", "--data=one/1.0.0", "--data=b", "--step=40")
    assert options.step == 40
    config = override(base.get_config("tiny"), options.overrides)
    assert config.data.sets == (("one/1.0.0", 1.0), ("b", 1.0))


def test_options_of_an_evaluation_are_of_no_other_mode():
    with pytest.raises(ValueError, match="--data belongs to --mode=eval"):
        command_line.parse(["--config=c", "--data=d"], "")
    with pytest.raises(ValueError, match="--output belongs to --mode=restore"):
        command_line.parse(["--config=c", "--output=d"], "")


def test_step_is_of_every_mode_that_reads_a_checkpoint():
    for mode in ("robustness", "export --output=d", "restore --input=a --output=b.mp4"):
        arguments = f"--workdir=w --step=40 --mode={mode}".split()
        assert command_line.parse(arguments, "").step == 40
    modes = re.escape("--step belongs to --mode=eval|restore|robustness|export")
    with pytest.raises(ValueError, match=modes):
        command_line.parse(["--config=c", "--step=40"], "")


def test_results_go_where_they_overwrite_no_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workdir = Path("/runs/one")
    assert results_folder(parse("--workdir=w"), workdir) == workdir
    other = parse("--workdir=w", "--data=sets/gopro-1a2b/2.0.0", "--data=x/dvd-3c/2.0")
    assert results_folder(other, workdir) == workdir / "eval" / "gopro-1a2b+dvd-3c"
    named = parse("--workdir=w", "--output=here")
    assert results_folder(named, workdir) == tmp_path / "here"
    compared = parse("--prediction=out/restored.mp4", "--sharp=sharp.mp4")
    assert results_folder(compared) == tmp_path / "runs" / "eval_restored"
    for version in ("x4.2", "x4.3"):  # of a folder all is name, and nothing suffix
        (tmp_path / "out" / version).mkdir(parents=True)
        compared = parse(f"--prediction=out/{version}", "--sharp=sharp")
        assert results_folder(compared) == tmp_path / "runs" / f"eval_{version}"


def test_an_older_step_does_not_take_the_place_of_the_trainings_results():
    workdir = Path("/runs/one")
    older = parse("--workdir=w", "--step=40")
    assert results_folder(older, workdir, newest=60) == workdir / "eval" / "step_40"
    assert results_folder(older, workdir, newest=40) == workdir
    other = parse("--workdir=w", "--step=40", "--data=sets/dvd-3c/2.0.0")
    below = workdir / "eval" / "dvd-3c"
    assert results_folder(other, workdir, newest=60) == below / "step_40"
    assert results_folder(other, workdir, newest=40) == below
