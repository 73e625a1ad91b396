"""A process that makes clips for workers.py: requests come in, and answers go out.

It is started as a program of its own, so that it imports neither the program that
builds nor TensorFlow. It ends with its standard input, that is with the build.
"""

import os
import pickle
import signal
import sys
import traceback

from data_pipeline.spike_deblur.clip_files import finish_clip


def main() -> None:
    """Answers each (split, index) with None or with the error that it met."""
    # The build decides what an interrupt from the keyboard means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    source, unfinished = pickle.load(requests)
    while True:
        try:
            split, index = pickle.load(requests)
        except EOFError:
            return
        answer: Exception | None = None
        try:
            finish_clip(source, unfinished, split, index)
        except (ValueError, OSError) as error:
            # Errors of libraries may not survive the way to another process.
            own = type(error).__module__ != "builtins"
            kind = ValueError if isinstance(error, ValueError) else OSError
            answer = kind(str(error)) if own else error
        except Exception as error:
            traceback.print_exc()
            answer = RuntimeError(f"Clip {index} of {split} failed: {error!r}")
        try:
            answers.write(pickle.dumps(answer))
        except BrokenPipeError:
            return  # the build was killed meanwhile


if __name__ == "__main__":
    main()
