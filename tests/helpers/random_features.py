"""Seeded weights of the feature networks, under their official names."""

import numpy as np


def random_torchvision_state_dict(network, *, seed=0) -> dict[str, np.ndarray]:
    """Weights that keep the size of the signal through all layers."""
    rng = np.random.default_rng(seed)
    found = {}
    for official, shape in network.official_layout().values():
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        weight = rng.standard_normal(shape, np.float32) * np.float32(deviation)
        found[f"{official}.weight"] = weight
        found[f"{official}.bias"] = rng.uniform(-0.1, 0.1, shape[0]).astype(np.float32)
    return found


def random_linear_state_dict(channels, *, seed=1) -> dict[str, np.ndarray]:
    """Weights of the linear layers of LPIPS: not negative, as the published ones."""
    rng = np.random.default_rng(seed)
    return {
        f"lin{i}.model.1.weight": rng.random((1, count, 1, 1)).astype(np.float32)
        for i, count in enumerate(channels.values())
    }
