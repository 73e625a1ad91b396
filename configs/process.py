"""What the process of launch.py is set to, says of itself, and makes of its errors."""

import linecache
import logging
import os
import sys
import traceback
from pathlib import Path

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


def join_processes() -> None:
    """Joins the other processes of a run on several machines.

    Raises:
      ValueError: there are none that JAX finds.
    """
    import jax

    try:
        jax.distributed.initialize()
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"--distributed found no other processes to join ({error}); start each on "
            "a cluster that JAX knows, such as Slurm or a TPU pod, or leave it out."
        ) from error


def print_versions() -> None:
    """Prints the versions of the libraries that decide results, and the devices."""
    from importlib.metadata import version

    import jax

    names = ("jax", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets")
    print("versions    " + ", ".join(f"{name} {version(name)}" for name in names))
    print(f"devices     {jax.device_count()} x {jax.devices()[0].device_kind}")


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
