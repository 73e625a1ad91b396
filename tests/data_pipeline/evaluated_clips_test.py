"""Clips without sharp frames in an evaluation."""

from collections.abc import Sequence

import numpy as np
import pytest

from data_pipeline.evaluated_clips import EvaluatedClips, MissingSharpError


class _Clips(Sequence):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict:
        if index == 1:
            raise MissingSharpError("real", np.zeros((2, 8, 8, 3), np.uint8))
        if index == 2:
            raise ValueError("damaged")
        return {"name": "simulated", "sharp": np.zeros((2, 8, 8, 3), np.float32)}


def test_a_clip_without_sharp_frames_is_its_name_and_blur() -> None:
    clips = EvaluatedClips(_Clips())
    assert len(clips) == 3
    assert "sharp" in clips[0]
    assert set(clips[1]) == {"name", "blur"}
    assert clips[1]["name"] == "real"
    with pytest.raises(ValueError, match="damaged"):
        clips[2]


def test_elsewhere_it_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="^Clip real has no sharp frames to evaluate"):
        _Clips()[1]
