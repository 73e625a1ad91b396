"""The manifest names every byte of a data set, and finds each that changed."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.prepare import main
from data_pipeline.spike_deblur import (
    build,
    embedded_source,
    manifest_checksum,
    open_split,
    shards,
    verify,
)
from data_pipeline.spike_deblur.example import to_example


@pytest.fixture
def built(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A data set of several shards."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 300_000)
    return Path(build(tmp_path, embedded_source(settings)))


def test_it_says_what_the_data_set_is(built: Path, settings: dict[str, Any]) -> None:
    manifest = json.loads((built / "manifest.json").read_text())
    source = embedded_source(settings)
    assert manifest["format"] == built.name
    assert manifest["source"] == "embedded"
    assert manifest["version"] == source.version
    assert manifest["settings"] == source.settings
    for split, count in source.counts.items():
        found = manifest["splits"][split]["shards"]
        clips = [clip for shard in found for clip in shard["clips"]]
        assert [clip["index"] for clip in clips] == list(range(count))
        for clip, record in zip(clips, open_split(built, split), strict=True):
            assert clip["name"] == record["name"]
            assert clip["sha256"] == hashlib.sha256(to_example(record)).hexdigest()
        for shard in found:
            data = (built / shard["file"]).read_bytes()
            assert shard["bytes"] == len(data)
            assert shard["sha256"] == hashlib.sha256(data).hexdigest()
    assert len(manifest["splits"]["train"]["shards"]) > 1


def test_its_checksum_names_the_data(
    built: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    checksum = manifest_checksum(built)
    text = (built / "manifest.json").read_bytes()
    assert checksum == hashlib.sha256(text).hexdigest()
    assert verify(built) == checksum
    again = build(tmp_path / "again", embedded_source(settings), workers=1)
    assert manifest_checksum(again) == checksum
    other = build(tmp_path, embedded_source(settings | {"seed": 4}), workers=1)
    assert manifest_checksum(other) != checksum


@pytest.mark.parametrize("place", [0.3, 0.9])
def test_one_flipped_bit_is_found_with_its_clip(
    built: Path, capsys: pytest.CaptureFixture[str], place: float
) -> None:
    manifest = json.loads((built / "manifest.json").read_text())
    shard = manifest["splits"]["train"]["shards"][1]
    path = built / shard["file"]
    record = open_split(built, "train")[shard["clips"][0]["index"]]
    data = bytearray(path.read_bytes())
    # In the middle of the spikes of the first clip, or in the padding at the end.
    spikes = record["spikes"].tobytes()[:64]
    position = data.index(spikes) if place < 0.5 else len(data) - 10
    data[position] ^= 4
    path.write_bytes(data)
    assert main([f"--verify={built}"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"{path} differs from the manifest" in shown.err
    clip = shard["clips"][0]
    where = f"first in clip {clip['index']} of train ({clip['name']})"
    assert (where in shown.err) == (place < 0.5)


def test_verify_prints_the_checksum_or_one_sentence(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"--verify={built}"]) == 0
    assert capsys.readouterr().out == f"{manifest_checksum(built)}  {built}\n"
    (shard, *_) = sorted(built.glob("*test*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert main([f"--verify={built}"]) == 2
    assert f"{shard} has" in capsys.readouterr().err
    assert main([f"--verify={tmp_path}"]) == 2
    assert "holds no finished data set" in capsys.readouterr().err
    assert main([f"--verify={built}", "--source=embedded"]) == 2
    assert "takes no --source" in capsys.readouterr().err
