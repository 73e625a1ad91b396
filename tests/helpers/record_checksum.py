"""One number for every byte of a clip record."""

import hashlib
from typing import Any

import numpy as np


def record_checksum(record: dict[str, Any]) -> str:
    """Returns the SHA-256 of the names and bytes of all fields."""
    digest = hashlib.sha256()
    for name in sorted(record):
        value = record[name]
        is_text = isinstance(value, str)
        digest.update(name.encode())
        digest.update(value.encode() if is_text else np.asarray(value).tobytes())
    return digest.hexdigest()
