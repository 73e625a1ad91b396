"""The sine position codes of the public code's own buffers, for 8x8 windows.

  TORCH_PYTHON benchmarks/vrt_reference/write_position_codes.py --vrt CHECKOUT \\
      --out vrt_spike_jax/models/sine_position_codes.npz

Every width that the public code takes up to 256: multiples of 4. The last digit of
PyTorch's float32 sines and powers depends on the processor's vector instructions: AVX2
and AVX-512 differ in 1 of 4000 numbers (the widths of the official models are alike in
both), plain code in 1 of 140. Write the file on a machine with AVX-512.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

import numpy as np
import public_code
import torch

_LENGTH = 8


def code(network: ModuleType, length: int, width: int) -> np.ndarray:
    """What a row, and a column, adds to its half of the channels, float32."""
    buffer = network.WindowAttention.get_sine_position_encoding(
        None, (length, length), width // 2, normalize=True
    )
    half = width // 2
    grid = buffer[0].numpy().reshape(length, length, width)
    rows = grid[:, 0, :half]
    assert (grid[:, :, :half] == rows[:, None]).all(), width
    assert (grid[:, :, half:] == rows[None]).all(), width
    return rows


def main() -> None:
    """Writes the file, and prints what the digits come from."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vrt", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    network = public_code.load_network(options.vrt)
    widths = range(4, 257, 4)
    codes = {str(width): code(network, _LENGTH, width) for width in widths}
    np.savez_compressed(options.out, **codes)  # type: ignore[arg-type]
    print(f"{len(codes)} widths, {torch.backends.cpu.get_cpu_capability()}")


if __name__ == "__main__":
    main()
