"""An error about a name lists the valid ones and points to the nearest."""

import pytest

from data_pipeline.choices import unknown_name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("bgrr", " Did you mean 'bggr'?"),
        ("RGGB", " Did you mean 'rggb'?"),
        ("sps10", " Did you mean 'SPS10'?"),
        ("night", ""),
    ],
)
def test_the_nearest_name_is_told_whatever_its_capitals(name: str, hint: str) -> None:
    sentence = unknown_name("cfa", name, ("rggb", "bggr", "SPS10"))
    assert sentence == f"Unknown cfa {name!r}.{hint} Valid: rggb, bggr, SPS10."
