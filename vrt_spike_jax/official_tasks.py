"""The manifest of the official VRT: its nine tasks, their files and their tiles."""

from __future__ import annotations

import dataclasses
import re

RELEASE_URL = "https://github.com/JingyunLiang/VRT/releases/download/v0.0"
# The optical flow alone, with which the official trainings start.
SPYNET_FILE = "spynet_sintel_final-3d2a1287.pth"
SPYNET_URL = f"{RELEASE_URL}/{SPYNET_FILE}"


@dataclasses.dataclass(frozen=True)
class OfficialTask:
    """One published model.

    The arguments of its constructor are VARIANTS[number]. `tile` and `overlap` are what
    the official README restores its test videos with: frames, height and width of the
    input, where 0 stands for all of them at once.
    """

    number: str
    name: str  # the official one, which is also the file's
    purpose: str
    parameters: int
    tile: tuple[int, int, int]
    overlap: tuple[int, int, int]
    colour: str  # of the published PSNR and SSIM: RGB, or Y of BT.601

    @property
    def file(self) -> str:
        """Name of the published file."""
        return f"{self.name}.pth"

    @property
    def url(self) -> str:
        """Where the file is published."""
        return f"{RELEASE_URL}/{self.file}"


_OVERLAP = (2, 20, 20)
TASKS: dict[str, OfficialTask] = {
    task.number: task
    for task in (
        OfficialTask(
            "001",
            "001_VRT_videosr_bi_REDS_6frames",
            "x4 super-resolution of bicubic frames, trained on 6 frames",
            30_676_435,
            (40, 128, 128),
            _OVERLAP,
            "RGB",
        ),
        OfficialTask(
            "002",
            "002_VRT_videosr_bi_REDS_16frames",
            "x4 super-resolution of bicubic frames, trained on 16 frames",
            35_134_783,
            (40, 128, 128),
            _OVERLAP,
            "RGB",
        ),
        OfficialTask(
            "003",
            "003_VRT_videosr_bi_Vimeo_7frames",
            "x4 super-resolution of bicubic frames, trained on Vimeo",
            32_577_991,
            (32, 128, 128),
            _OVERLAP,
            "Y",
        ),
        OfficialTask(
            "004",
            "004_VRT_videosr_bd_Vimeo_7frames",
            "x4 super-resolution of blurred and subsampled frames, trained on Vimeo",
            32_577_991,
            (32, 128, 128),
            _OVERLAP,
            "Y",
        ),
        OfficialTask(
            "005",
            "005_VRT_videodeblurring_DVD",
            "deblurring, trained on DVD",
            18_320_007,
            (12, 256, 256),
            _OVERLAP,
            "RGB",
        ),
        OfficialTask(
            "006",
            "006_VRT_videodeblurring_GoPro",
            "deblurring, trained on GoPro",
            18_320_007,
            (18, 192, 192),
            _OVERLAP,
            "RGB",
        ),
        OfficialTask(
            "007",
            "007_VRT_videodeblurring_REDS",
            "deblurring, trained on REDS",
            18_320_007,
            (12, 256, 256),
            _OVERLAP,
            "RGB",
        ),
        OfficialTask(
            "008",
            "008_VRT_videodenoising_DAVIS",
            "denoising at a known noise level, sigma 0 to 50 of 255",
            18_320_871,
            (12, 256, 256),
            _OVERLAP,
            "RGB",
        ),
        OfficialTask(
            "009",
            "009_VRT_videofi_Vimeo_4frames",
            "interpolation of the frame in the middle of four",
            9_943_387,
            (0, 256, 256),
            (0, 20, 20),
            "RGB",
        ),
    )
}


def numbers_in(file_name: str) -> set[str]:
    """Numbers of official tasks that a file name carries."""
    return set(re.findall(r"(?<!\d)\d{3}(?!\d)", file_name)) & TASKS.keys()


def task_names(numbers: list[str]) -> str:
    """The official names of some tasks, for a sentence."""
    return " or ".join(TASKS[number].name for number in sorted(numbers))
