"""What every test runs under: the platform, strict JAX, checked shapes and types."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Read by JAX when it is imported, and inherited by the processes that tests start.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
_COMPILATION_CACHE = tempfile.mkdtemp(prefix="vrt_spike_jax_cache_")
atexit.register(shutil.rmtree, _COMPILATION_CACHE, ignore_errors=True)
os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILATION_CACHE
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import hypothesis  # noqa: E402  (after the variables above)
import jax  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

# A silent broadcast of a (h, w) over a (c, h, w) is a bug more often than a wish.
jax.config.update("jax_numpy_rank_promotion", "raise")
# Every annotated shape and type of the package is checked here, and only here. What
# tells its users what is wrong with an argument annotates it loosely, so that its own
# sentence comes first.
install_import_hook("vrt_spike_jax", "beartype.beartype")
# The same examples in every run, and no example fails for a machine that is busy.
hypothesis.settings.register_profile(
    "repository", deadline=None, derandomize=True, database=None
)
hypothesis.settings.load_profile("repository")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; skips the test without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"reference data not found: {folder} is not a folder")
    return folder
