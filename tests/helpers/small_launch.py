"""launch.py with a model of two layers in the place of VRT, which compiles at once.

A program of its own, for tests that kill it.
"""

import sys

from flax import linen as nn

import launch
from configs import process


class Net(nn.Module):
    """Two layers with the interface of VRT."""

    takes_spikes, size_multiple, min_size, min_frames = False, 8, 64, 2

    @nn.compact
    def __call__(self, blur, *, train=False):
        return nn.Dense(3, name="conv_last")(nn.Dense(8, name="widen")(blur))


if __name__ == "__main__":
    process.keep_memory()
    launch._model = lambda config, max_chunk=None: Net()
    sys.exit(launch.main(sys.argv[1:]))
