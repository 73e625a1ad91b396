"""What the process of launch.py is set to, says of itself, and makes of its errors."""

import contextlib
import linecache
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from configs import distributed

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("configs", "data_pipeline", "vrt_spike_jax")

# Large pages, none mapped apart, none given back, one heap for all threads.
_MALLOC_SETTINGS = ("hugetlb=1", "mmap_max=0", f"trim_threshold={2**40}", "arena_max=1")


def keep_memory() -> None:
    """Starts this command anew with memory kept, on Linux without accelerator.

    XLA asks for fresh memory in every step on a CPU, and the page faults of it make a
    training step half as long again. Large pages that are never given back have none.
    glibc reads the settings when a process begins.
    """
    devices = ("/dev/nvidiactl", "/dev/kfd", "/dev/accel0", "/dev/vfio/0")
    if sys.platform != "linux" or any(map(os.path.exists, devices)):
        return
    if "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = ":".join(
            f"glibc.malloc.{setting}" for setting in _MALLOC_SETTINGS
        )
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def quiet() -> None:
    """Keeps the notices of the libraries from burying the lines for the user."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    cache = Path("~/.cache/vrt_spike_jax/compiled").expanduser()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))


def expect_no_tpu() -> None:
    """Keeps libtpu, where it is installed to compile, from looking for TPUs.

    It asks a cloud for them as soon as JAX is imported, and complains of none. And it
    keeps all other processes from TPUs, of which a compilation needs none.
    """
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")


class Terminated(KeyboardInterrupt):
    """SIGTERM came where there is nothing to be saved first."""


def exit_code_of(command: Callable[[], int]) -> int:
    """Runs a command; its errors become one sentence and a code, save for bugs.

    The codes: 2, it cannot work so; 75, start it again, as a scheduler does; 130, it
    was interrupted. A process that is one of several ends at once where it fails.

    Args:
      command: returns its exit code.
    """
    quiet()
    try:
        with _sigterm_raises():
            return command()
    except BaseException as error:
        found = _verdict(error)
        if found is not None:
            code, sentence = found
            print(sentence, file=sys.stderr)
        elif distributed.is_joined():
            code = 1
            traceback.print_exc()
        else:
            raise
    distributed.leave(code)
    return code


def end(code: int) -> NoReturn:
    """Ends the process; one that failed waits for none of its threads.

    Those of a checkpoint that could not be written would wait for minutes for more.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if code and not distributed.is_joined():
        os._exit(code)
    sys.exit(code)


def _verdict(error: BaseException) -> tuple[int, str] | None:
    """Exit code and sentence of an error; None of a bug."""
    if isinstance(error, Terminated):
        told = "told to stop by SIGTERM; the same command goes on from what is saved."
        return distributed.TRY_AGAIN, f"launch.py: {told}"
    if isinstance(error, KeyboardInterrupt):
        return 130, (
            "launch.py: stopped; the same command continues a training or evaluation."
        )
    if distributed.is_lost_peer(error):
        return distributed.TRY_AGAIN, distributed.LOST
    if isinstance(error, ValueError | OSError | FloatingPointError) and is_for_the_user(
        error
    ):
        return 2, f"launch.py: error: {error}"
    return None


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM interrupts, so that what is open is closed; not beside other threads."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def again(lost: Any) -> None:
        if isinstance(lost.exc_value, Terminated):
            _send_again()
        else:
            told(lost)

    before, told = signal.signal(signal.SIGTERM, stop), sys.unraisablehook
    sys.unraisablehook = again
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.unraisablehook = told


def _send_again() -> None:
    """Python drops what is raised in a destructor; the signal comes after its end."""
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()


def print_recipe(path: str, recipe: str) -> None:
    """Says which recipe the hardware chose, where the user chose none.

    Args:
      path: of the configuration, as on the command line.
      recipe: that it was loaded for.
    """
    if ":" not in path and recipe == "tiny":
        print_once(
            "No GPU or TPU found, so this is the recipe 'tiny', which a laptop trains "
            f"in minutes; the full one is --config={path}:deblur."
        )


def print_versions() -> None:
    """Prints the versions of the libraries that decide results, and the devices."""
    from importlib.metadata import version

    import jax

    names = ("jax", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets")
    print_once("versions    " + ", ".join(f"{name} {version(name)}" for name in names))
    devices = f"devices     {jax.device_count()} x {jax.devices()[0].device_kind}"
    count = jax.process_count()
    print_once(devices + (f" in {count} processes" if count > 1 else ""))


def print_once(text: str) -> None:
    """Prints in the first process of a run alone."""
    import jax

    if jax.process_index() == 0:
        print(text, flush=True)


def is_for_the_user(error: Exception) -> bool:
    """Whether an error is a sentence of ours; all others are bugs, shown in full."""
    if not isinstance(error, ValueError):
        return True
    frame = traceback.extract_tb(error.__traceback__)[-1]
    path = Path(frame.filename).resolve()  # the way may lead through a link
    ours = path == _ROOT / "launch.py" or any(
        path.is_relative_to(_ROOT / name) for name in _PACKAGES
    )
    return ours and "raise " in linecache.getline(frame.filename, frame.lineno or 0)


def leave_accelerators() -> None:
    """Keeps this process on the CPU, so that those it starts have the accelerators."""
    import jax

    jax.config.update("jax_platforms", "cpu")
