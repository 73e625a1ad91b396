"""What the command lines of prepare and view have in common."""

import argparse
import os
from collections.abc import Iterable
from typing import NoReturn


class SentenceParser(argparse.ArgumentParser):
    """A parser whose errors are exceptions with one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raises a ValueError with the message and where to read more."""
        raise ValueError(f"{message.rstrip('.')}; see --help.")


def true_or_false(text: str) -> bool:
    """Reads the value of an option that is on or off.

    Raises:
        argparse.ArgumentTypeError: it is neither true nor false.
    """
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


def sentence_of(error: BaseException) -> str:
    """Returns the sentence of an error, also of one that the system raised itself."""
    if isinstance(error, OSError) and error.errno and error.filename:
        reason = (error.strerror or "").lower()
        return (
            f"{error.filename} cannot be read or written ({reason}); check that it is "
            "there, and that this user may."
        )
    return str(error)


def read_paths(options: argparse.Namespace, names: Iterable[str]) -> None:
    """Puts the home directory in place of the ~ of the options of these names.

    A shell does that for a path of its own, and leaves the ~ of --input=~/footage to
    the program.

    Raises:
        ValueError: one is given without a value.
    """
    for name in names:
        value = getattr(options, name)
        if value == "":
            raise ValueError(f"{name} is empty; give it a value.")
        setattr(options, name, value and os.path.expanduser(value))
