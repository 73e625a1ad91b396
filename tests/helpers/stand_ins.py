"""Models without weights, with the shapes of a task, for tests of what is around."""

import flax.linen as nn
import jax.numpy as jnp


class Restore(nn.Module):
    """Gives scale * frames + offset, and takes spikes if told to."""

    takes_spikes: bool = False
    scale: float = 1.0
    offset: float = 0.0
    size_multiple: int = 8
    min_size: int = 16
    min_frames: int = 2

    def __call__(self, frames, spikes=None, *, spike_gain=None):
        return frames[..., :3] * self.scale + self.offset


class Enlarge(Restore):
    """Repeats every pixel four times each way."""

    upscale: int = 4

    def __call__(self, frames):
        return jnp.repeat(jnp.repeat(frames, 4, 2), 4, 3)


class Between(Restore):
    """The mean of the two frames in the middle of four."""

    pa_frames: int = 0
    img_size: tuple[int, int, int] = (4, 64, 64)

    def __call__(self, frames):
        return frames[:, 1:3].mean(1, keepdims=True)


class Denoise(Restore):
    """As Restore, and has a channel for the noise level."""

    nonblind_denoising: bool = True


class NoiseLevel(Denoise):
    """Gives the noise level that it is told, as a picture."""

    def __call__(self, frames):
        return jnp.broadcast_to(frames[..., 3:], frames[..., :3].shape)


class TwoLayers(nn.Module):
    """Trains, with the interface of VRTSpike: a layer of its own name, then 'mix'."""

    first: str
    width: int
    takes_spikes: bool = True
    size_multiple: int = 8
    min_size: int = 64
    min_frames: int = 2

    @nn.compact
    def __call__(self, blur, spikes, *, train=False, spike_gain=None):
        light = jnp.mean(spikes, axis=2)[..., None]
        inputs = jnp.concatenate([blur, light], axis=-1)
        return nn.Dense(3, name="mix")(nn.Dense(self.width, name=self.first)(inputs))
