"""GoPro's sequences: which of the 240 frames per second each blur is the mean of.

A sequence GOPRxxxx_yy_zz has a blurred frame for every yy frames of its footage, and
the sharp one is the middle of them (DeepDeblur_release #59). Its footage in
GOPRO_Large_all lacks the first zz frames: the first sharp frame is frame yy // 2 - zz
there, counted from 0. That is how the 33 published sequences line up, by a search for
equal pictures in public code and by DeepDeblur_release #66 (GOPR0384_11_05: frame 0).
"""

import dataclasses
import re

FRAMES_PER_SECOND = 240
_NAME = re.compile(r"GOPR\d+_(\d+)_(\d+)")


@dataclasses.dataclass(frozen=True)
class GoproSequence:
    """What the name of a sequence says.

    Attributes:
        name: GOPRxxxx_yy_zz.
        blurred: yy, frames of the footage in a blur, odd.
        missing: zz, frames of the first blur that the footage lacks.
    """

    name: str
    blurred: int
    missing: int

    def middle(self, blur: int) -> int:
        """The frame of the footage that is the sharp one of a blur, from 0 on."""
        return blur * self.blurred + self.blurred // 2 - self.missing

    def period(self, spikes_per_frame: int) -> int:
        """Spike frames from one blur to the next."""
        return self.blurred * spikes_per_frame

    def exposure(self, spikes_per_frame: int) -> int:
        """Spike frames of a blur around those of its sharp frame, an odd number.

        Each frame stands for the time until half-way to its neighbours. One spike
        frame less where that is an even number: the middle is then a spike frame.
        """
        period = self.period(spikes_per_frame)
        return period - (period % 2 == 0)


def sequence_of(name: str) -> GoproSequence:
    """Reads the name of a sequence.

    Raises:
        ValueError: it is not GOPRxxxx_yy_zz, or yy is even or not above zz.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"The sequence {name} is not named GOPRxxxx_yy_zz, yy being the frames of "
            "a blur; only GoPro's own sequences can be read."
        )
    blurred, missing = int(match[1]), int(match[2])
    if blurred % 2 == 0:
        raise ValueError(
            f"The sequence {name} says that {blurred} frames make a blur; of an even "
            "number it is not known which one is sharp (GoPro's are 7, 11 and 13)."
        )
    if missing >= blurred:
        raise ValueError(
            f"The sequence {name} says that {missing} frames are missing of a blur of "
            f"{blurred}; only GoPro's own sequences can be read."
        )
    return GoproSequence(name, blurred, missing)
