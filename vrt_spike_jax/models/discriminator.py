"""A discriminator over clips: for every patch of a clip, whether it looks sharp."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

# Pixels from one patch to the next, each way: three convolutions of stride 2.
PATCH_STRIDE = 8
_SLOPE = 0.2  # of the activation below 0


class ClipDiscriminator(nn.Module):
    """Five convolutions over (time, height, width), from a clip to one value a patch.

    A patch is 54x54 pixels in 9 frames; what lies outside the clip is black and counts
    as 0, so that any number of frames is taken, and crops smaller than a patch are too.

    Source: the patch discriminator of Isola et al., "Image-to-Image Translation with
    Conditional Adversarial Networks", CVPR 2017, with convolutions in time. It has no
    normalisation of features, which would tie the clips of a batch together, and no
    spectral normalisation: the R1 penalty already bounds its slope where it matters,
    at the sharp clips, while the power iteration keeps vectors between the steps that
    belong neither to the parameters nor to their optimizer.

    `width`: channels behind the first convolution; the next ones have 2, 4 and 8 times
    as many.
    """

    width: int = 32
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, clips: Float[Array, "..."]) -> Float[Array, "b t y x"]:
        """Values of patches, high where they look sharp, in float32 or better.

        Args:
          clips: (B, T, H, W, 3), RGB in [0, 1], neither rounded nor clipped.

        Returns:
          (B, T, H / 8, W / 8), rounded down.

        Raises:
          ValueError: they are no RGB clips, or smaller than 8x8 pixels.
        """
        shape = clips.shape
        is_clip = clips.ndim == 5 and shape[-1] == 3 and 0 not in shape
        if not is_clip or min(shape[2:4]) < PATCH_STRIDE:
            raise ValueError(
                "the discriminator takes clips (batch, frames, height, width, 3), RGB, "
                f"of at least {PATCH_STRIDE}x{PATCH_STRIDE} pixels; got {shape}."
            )
        x = (2 * clips - 1).astype(self.dtype)
        for index, factor in enumerate((1, 2, 4), start=1):
            # As many taps as two strides: every pixel counts in as many of the sums, so
            # that the gradient of the pixels has no grid.
            x = self._convolution(f"conv{index}", factor * self.width, (3, 4, 4), 2)(x)
            x = nn.leaky_relu(x, _SLOPE)
        x = self._convolution("conv4", 8 * self.width, (3, 3, 3), 1)(x)
        x = nn.leaky_relu(x, _SLOPE)
        # bfloat16 tells no two values apart that differ by less than 0.4 %.
        exact = jnp.promote_types(self.dtype, jnp.float32)
        return self._convolution("value", 1, (1, 3, 3), 1, dtype=exact)(x)[..., 0]

    def _convolution(
        self,
        name: str,
        features: int,
        kernel: tuple[int, int, int],
        stride: int,
        *,
        dtype: DTypeLike | None = None,
    ) -> nn.Conv:
        return nn.Conv(
            features,
            kernel,
            strides=(1, stride, stride),
            padding=[(kernel[0] // 2, kernel[0] // 2), (1, 1), (1, 1)],
            kernel_init=nn.initializers.he_normal(),
            dtype=self.dtype if dtype is None else dtype,
            param_dtype=self.param_dtype,
            name=name,
        )
