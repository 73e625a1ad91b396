"""What the process of launch.py sets before any library starts: memory, messages."""

import logging
import os
import sys
from pathlib import Path

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
