"""--mode=compile: what a configuration costs, told without data and without a run."""

import re
from pathlib import Path

import jax
import pytest
from flax import linen as nn

import launch
from configs.load import load_config, write_config
from vrt_spike_jax import VARIANTS, compile_report, topology

ROOT = Path(__file__).resolve().parents[1]
CROSS = f"{ROOT}/configs/cross_attn.py"
BASELINE = f"{ROOT}/configs/baseline.py"
SMALL = [
    "--mode=compile",
    "--config.eval.tile=(2, 64, 64)",
    "--config.data.crop_size=64",
]


class Net(nn.Module):
    """A layer with the interface of VRT, which compiles at once."""

    takes_spikes, size_multiple, min_size, min_frames = False, 8, 64, 2

    @nn.compact
    def __call__(self, blur, train=False):
        return nn.Dense(3, name="conv_last")(nn.Dense(8, name="widen")(blur))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Neither the data set nor a checkpoint is needed.
    monkeypatch.setattr(launch, "_data", None)
    monkeypatch.setattr(launch, "_model_and_params", None)


def peaks_of(text):
    """MiB of each program of a report."""
    scale = {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}
    found = re.findall(r"peak +([\d.e+]+) (\w+)", text)
    return [float(number) * scale[unit] for number, unit in found]


@pytest.fixture
def quick_compiler():
    """What counts is what the compiler plans, not how good its code is."""
    option = "jax_disable_most_optimizations"
    jax.config.update(option, True)
    yield
    jax.config.update(option, False)


@pytest.fixture
def small_model(monkeypatch):
    monkeypatch.setattr(launch, "_model", lambda config, max_chunk=None: Net())


@pytest.mark.usefixtures("small_model")
def test_report_of_both_programs_leaves_nothing_behind(capsys, tmp_path):
    assert launch.main([*SMALL, f"--config={BASELINE}:smoke"]) == 0
    shown = capsys.readouterr()
    assert "baseline, recipe smoke" in shown.out
    assert re.search(rf"parameters +{3 * 8 + 8 + 8 * 3 + 3} ", shown.out)
    assert re.search(rf"head +{8 * 3 + 3} .* trained", shown.out)
    assert "forward pass: one tile of 2x64x64" in shown.out
    assert "training step: 1 clips of 2x64x64" in shown.out
    assert shown.out.count("1 compilation(s)") == 2
    assert len(peaks_of(shown.out)) == 2
    assert "compiling the training step" in shown.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick_compiler")
def test_smaller_chunks_take_less_memory_for_the_same_arithmetic(capsys, monkeypatch):
    shallow = {"depths": (1,) * 8, "embed_dims": (8,) * 8, "num_heads": (2,) * 8}
    tiny = {**VARIANTS["tiny"], **shallow, "indep_reconsts": ()}
    monkeypatch.setitem(VARIANTS, "tiny", tiny)
    common = [*SMALL, f"--config={BASELINE}:smoke", "--part=forward"]
    texts = []
    for chunk in (2**14, 2**40):
        assert launch.main([*common, f"--config.model.max_chunk={chunk}"]) == 0
        texts.append(capsys.readouterr().out)
        assert f"max_chunk={chunk}" in texts[-1]
    small, large = (re.search("arithmetic.*", text).group() for text in texts)
    assert small == large
    assert peaks_of(texts[0])[0] < peaks_of(texts[1])[0]


@pytest.mark.usefixtures("small_model")
def test_what_exceeds_the_limit_is_one_sentence_and_code_1(capsys):
    arguments = [*SMALL, f"--config={BASELINE}:smoke", "--part=forward"]
    assert launch.main([*arguments, "--memory_limit=0.0005"]) == 1
    shown = capsys.readouterr()
    assert "exceeds       524.3 KiB" in shown.out
    sentence = shown.err.splitlines()[-1]
    assert sentence.startswith("launch.py: the forward pass needs")
    assert "lower eval.tile or model.max_chunk" in sentence


@pytest.mark.usefixtures("small_model")
def test_topology_tells_the_time_that_the_peaks_of_its_chips_allow(capsys, monkeypatch):
    # What libtpu describes, in whose place the CPU compiles here.
    device = tuple(jax.devices()[:1])
    monkeypatch.setattr(
        compile_report,
        "describe_slice",
        lambda name: topology.Slice(name, topology.CHIPS["v5e"], 1, device),
    )
    arguments = [*SMALL, f"--config={BASELINE}:smoke", "--topology=v5e:1x1"]
    assert launch.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "device        1 x TPU v5e, compiled for and not there" in shown
    assert "forward pass" not in shown
    assert "fits in       16 GiB" in shown
    flops = float(re.search(r"arithmetic +([\d.e+]+) MFLOP,", shown).group(1)) * 1e6
    told = float(re.search(r"arithmetic +([\d.e+-]+) ms", shown).group(1))
    assert told == pytest.approx(1e3 * flops / 197e12, rel=1e-2)
    assert re.search(r"step +at least [\d.e+-]+ ms", shown)


@pytest.mark.usefixtures("small_model")
def test_model_of_a_work_directory_is_read_from_there(capsys, tmp_path):
    write_config(tmp_path / "run" / "config.json", load_config(f"{BASELINE}:smoke"))
    arguments = [*SMALL, "--workdir=run", "--part=forward", "--memory_limit=64"]
    assert launch.main(arguments) == 0
    out = capsys.readouterr().out
    assert "baseline, recipe smoke" in out
    assert "fits in       64 GiB" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--part=trian"], "did you mean 'train'?"),
        (["--memory_limit=0"], "--memory_limit=0 is not a number of GiB above 0"),
        (["--memory_limit=x"], "is not a number of GiB above 0"),
        (["--memory_limit=inf"], "is not a number of GiB above 0"),
        (["--topology=v5e:16x15"], "did you mean 'v5e:16x16'?"),
        (["--topology=v5e:2x4", "--part=forward"], "leave --part=forward out"),
        (
            [
                "--topology=v5e:2x4",
                "--config.data.batch_size=12",
                "--config.data.embedded.train_clips=12",
            ],
            "8 devices",
        ),
        (["--input=x.mp4"], "--input belongs to --mode=restore"),
        (["--mode=train", "--part=forward"], "--part belongs to --mode=compile"),
        (
            [
                "--config.model.variant=009",
                "--config.data.crop_size=64",
                "--part=train",
            ],
            "cannot be trained",
        ),
        (["--config.data.crop_size=60"], "multiple of 8"),
        (["--workdir=none"], "nothing was trained there"),
    ],
)
def test_mistake_is_one_sentence(capsys, arguments, sentence):
    config = f"--config={CROSS}:smoke"
    assert launch.main(["--mode=compile", config, *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("launch.py: error: ")
    assert sentence in line


def test_configuration_must_be_named(capsys):
    assert launch.main(["--mode=compile"]) == 2
    assert "--config is missing" in capsys.readouterr().err
