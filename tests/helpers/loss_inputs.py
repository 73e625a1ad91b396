"""What the losses of the table take beside a prediction, made up and seeded."""

import jax
import jax.numpy as jnp
import numpy as np

from random_features import random_torchvision_state_dict
from vrt_spike_jax.feature_weights import convert_features
from vrt_spike_jax.losses.perceptual import network
from vrt_spike_jax.models.discriminator import ClipDiscriminator

LAYERS = (("conv1_2", 0.5), ("conv2_1", 1.0))
# Of each loss a configuration that uses all of it.
OPTIONS = {
    "charbonnier": {"epsilon": 1e-3},
    "perceptual": {"layers": LAYERS},
    "temporal": {"relative": True},
    "frequency": {"boost": 2.0},
    "focal_frequency": {"alpha": 1.0, "boost": 1.0},
    "spike_rate": {"tfp_window": 9},
    "adversarial": {"form": "relativistic", "width": 2, "dtype": "float32"},
}


def random_vgg19():
    """Random parameters of VGG-19 as deep as LAYERS."""
    features = network(LAYERS)
    return convert_features(random_torchvision_state_dict(features), features)


def random_discriminator():
    """Random parameters of the discriminator of OPTIONS."""
    module = ClipDiscriminator(OPTIONS["adversarial"]["width"])
    clip = jnp.zeros((1, 1, 8, 8, 3), jnp.float32)
    return jax.jit(module.init)(jax.random.key(0), clip)["params"]


def clip_inputs(size=24, *, seed=0, spike_scale=1) -> dict[str, np.ndarray]:
    """A batch of one clip of two frames with every field, float64, without networks."""
    rng = np.random.default_rng(seed)
    frames, small = (1, 2, size, size, 3), size // spike_scale
    motion = rng.uniform(0.2, 0.8, (1, 1, 1, 1, 2)) * np.ones((1, 1, size, size, 1))
    rates = rng.uniform(0.05, 0.6, (2, 1, 2, small, small))
    return {
        "sharp": rng.uniform(0.1, 0.9, frames),
        "blur": rng.uniform(0.1, 0.9, frames),
        "flow_forward": motion,
        "flow_backward": -motion,
        "rate_short": rates[0],
        "rate_long": rates[1],
        "is_linear": np.ones(1),
    }
