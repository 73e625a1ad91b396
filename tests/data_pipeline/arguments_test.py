"""What the command lines share: values, paths, and one sentence for every error."""

import argparse
from pathlib import Path

import pytest

from data_pipeline.arguments import read_paths, sentence_of, true_or_false


def test_an_error_of_the_system_names_the_file_and_what_to_check(
    tmp_path: Path,
) -> None:
    path = tmp_path / "none.dat"
    with pytest.raises(OSError) as caught:
        path.open()
    sentence = sentence_of(caught.value)
    assert sentence.startswith(f"{path} cannot be read or written (no such file or")
    assert "Errno" not in sentence and sentence.endswith("this user may.")


def test_our_own_sentences_stay_as_they_are() -> None:
    for error in (FileNotFoundError("There is none."), ValueError("It is wrong.")):
        assert sentence_of(error) == str(error)


def test_the_home_directory_takes_the_place_of_its_sign(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    options = argparse.Namespace(input="~/films", output=None, verify="a/~")
    read_paths(options, ("input", "output", "verify"))
    assert vars(options) == {"input": "/home/me/films", "output": None, "verify": "a/~"}
    with pytest.raises(ValueError, match="input is empty; give it a value"):
        read_paths(argparse.Namespace(input=""), ("input",))


def test_true_and_false_and_nothing_else() -> None:
    assert true_or_false("true") and not true_or_false("false")
    with pytest.raises(argparse.ArgumentTypeError, match="'yes' is neither"):
        true_or_false("yes")
