"""The RGB camera: 8-bit pictures of the light that it collected."""

import dataclasses
import math

import numpy as np

from data_pipeline.choices import unknown_name
from data_pipeline.transfer import GAMMA, INTEGRATED, to_gamma, to_linear


@dataclasses.dataclass(frozen=True)
class RgbCamera:
    """How a camera makes 8-bit pictures of the light that it collected.

    A picture is clip(gain * light + noise): what is above white is lost (saturation).
    Gain and noise act on the light as it was integrated, before it is gamma-coded.
    """

    transfer: str = "gamma"  # the space it integrates in, one of INTEGRATED
    gain: float = 1.0  # times as bright as the light; what gets above white saturates
    # Standard deviation of what a pixel is misread by, in 255ths of white. Cameras are
    # between 0.02 and 3.7 of them (Brooks et al., CVPR 2019, fitted to the photographs
    # of the Darmstadt Noise Dataset: ln s^2 = 2.18 ln k + 1.2, k from 0.0001 to 0.012).
    read_noise: float = 0.0

    def __post_init__(self) -> None:
        """Raises a ValueError that names what cannot be."""
        if self.transfer not in INTEGRATED:
            raise ValueError(unknown_name("transfer", self.transfer, INTEGRATED))
        if not 0 < self.gain < math.inf:
            raise ValueError(f"rgb_gain must be a positive number, got {self.gain}.")
        if not 0 <= self.read_noise < math.inf:
            raise ValueError(
                f"read_noise must be 0 or a positive number, got {self.read_noise}."
            )

    def collect(self, coded: np.ndarray) -> np.ndarray:
        """Turns gamma-coded light, float32 from 0 to 1, into what is integrated."""
        return coded if self.transfer == "gamma" else to_linear(coded)

    def picture(
        self, collected: np.ndarray, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Returns the uint8 picture of collected light, with noise from `rng`."""
        seen = collected
        if self.gain != 1:
            seen = np.float32(self.gain) * seen
        if rng is not None and self.read_noise:
            noise = rng.standard_normal(seen.shape, np.float32)
            seen = seen + np.float32(self.read_noise / 255) * noise
        return quantise(seen if self.transfer == "gamma" else to_gamma(seen))

    @property
    def blur_kind(self) -> str:
        """What a record says of its blurred frames."""
        if self.transfer == "gamma":
            kind = "mean of gamma-coded light, 8 bits"
        else:
            kind = (
                f"blur_gamma: mean of linear light (gamma {GAMMA}), gamma-coded, 8 bits"
            )
        if self.gain != 1:
            kind += f", gain {self.gain:g}"
        if self.read_noise:
            kind += f", read noise {self.read_noise:g}/255"
        return kind


def quantise(light: np.ndarray) -> np.ndarray:
    """Rounds light in [0, 1] to uint8."""
    return np.rint(np.clip(light, 0.0, 1.0) * 255.0).astype(np.uint8)
