"""A file that was cut off anywhere is known by the sizes it states."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from data_pipeline.video_containers import missing_bytes
from data_pipeline.video_files import read_video

KINDS = [
    ("a.mkv", "matroska", "libx264", {}),
    ("a.webm", "webm", "libvpx", {}),
    ("a.avi", "avi", "mpeg4", {}),
    ("a.mp4", "mp4", "libx264", {"movflags": "faststart"}),
    ("a.mov", "mov", "libx264", {}),
]


def encode(path: Path, container: str, codec: str, options: dict[str, str]) -> None:
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", format=container, options=options) as file:
        stream = file.add_stream(codec, Fraction(25))
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(30):
            noise = rng.integers(0, 256, (64, 64, 3), np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        file.mux(stream.encode())


@pytest.mark.parametrize(("name", "container", "codec", "options"), KINDS)
def test_a_file_cut_anywhere_is_refused(
    tmp_path: Path, name: str, container: str, codec: str, options: dict[str, str]
) -> None:
    path = tmp_path / name
    encode(path, container, codec, options)
    assert missing_bytes(path) == 0
    assert len(read_video(path)[0]) == 30
    whole = path.read_bytes()
    for kept in (len(whole) - 7, len(whole) * 3 // 5):
        path.write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=r"was cut off: the last|is it complete"):
            read_video(path)
    path.write_bytes(whole + b"what another program appended")
    assert missing_bytes(path) == 0


def test_a_file_that_states_no_size_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    encode(path, "matroska", "libx264", {"live": "1"})
    assert missing_bytes(path) == 0
    (tmp_path / "a.mpg").write_bytes(b"\x00\x00\x01\xba")
    assert missing_bytes(tmp_path / "a.mpg") == 0
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert missing_bytes(tmp_path / "empty.mp4") == 0
