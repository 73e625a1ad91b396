"""Large numbers with the unit that fits."""

from collections.abc import Sequence


def format_bytes(size: int | float) -> str:
    """A number of bytes with the unit that fits."""
    return _with_unit(size, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))


def format_flops(flops: float) -> str:
    """A number of floating-point operations with the unit that fits."""
    return _with_unit(
        flops, 1000, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP")
    )


def _with_unit(number: int | float, base: int, units: Sequence[str]) -> str:
    power = 0
    while number >= base and power < len(units) - 1:
        number /= base
        power += 1
    return f"{number:.4g} {units[power]}" if power else f"{number:.0f} {units[0]}"
