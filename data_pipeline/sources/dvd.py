"""DVD (Su et al., CVPR 2017) as footage: its videos of 240 frames per second.

    ROOT/original_high_fps_videos/720p_240fps_1.mov, IMG_0001.MOV, ..

as DeepVideoDeblurring_Dataset_Original_High_FPS_Videos.zip unpacks: .mov, .mp4 and .m4v
in either case, several sizes. The ten sequences that its authors tested on are the test
split here (DeepVideoDeblurring #2), all others train. Phones write another rate into
such files than they recorded at; here it is taken to be 240.

Blur, sharp frames and spikes are all made from these frames, in the transfer that the
settings say. The pictures of quantitative_datasets (SEQUENCE/{input,GT}/NNNNN.jpg) are
not taken: they are 30 a second, and where they lie in the videos is not published.

The defaults: 1920 spike frames per second and exposures of 49 (7 frames and what lies
between them), one every 8 frames, 30 per second, as DVD's own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_pipeline.records import Record
from data_pipeline.sources import footage_sets, video_folder
from data_pipeline.sources.footage_sets import Footage, FootageClip
from data_pipeline.sources.public_set import PublicSet
from data_pipeline.video_files import VIDEOS, VideoReader

SETTINGS = footage_sets.SETTINGS
DEFAULTS: dict[str, Any] = {
    **footage_sets.DEFAULTS,
    "spikes_per_frame": 8,
    "exposure": 49,
    "period": 64,
}
TEST = (
    "720p_240fps_2",
    "IMG_0003",
    "IMG_0021",
    "IMG_0030",
    "IMG_0031",
    "IMG_0032",
    "IMG_0033",
    "IMG_0037",
    "IMG_0039",
    "IMG_0049",
)
_FRAMES_PER_SECOND = 240
_FOLDER = "original_high_fps_videos"
_LAYOUT = f"DVD has {_FOLDER}/SEQUENCE.mov (.mp4, .m4v)."


def find_clips(
    root: Path, split: str, settings: Mapping[str, Any]
) -> list[FootageClip]:
    """Lists the clips of a split, video by video, each of which is read once.

    Raises:
        FileNotFoundError: a folder is missing, or holds no video of the split.
        ValueError: a video cannot be read or is too short, or two have one name.
    """
    settings = check_dvd_settings(settings)
    videos = _videos(root / _FOLDER)
    own = [name for name in videos if (name in TEST) == (split == "test")]
    if not own:
        wanted = ", ".join(TEST) if split == "test" else "that is not of the test split"
        raise FileNotFoundError(
            f"{root / _FOLDER} holds no {split} video ({wanted}). {_LAYOUT}"
        )
    chosen = footage_sets.without_left_out(own, settings, videos)
    video, num_frames = footage_sets.video_settings(settings), settings["num_frames"]
    footage = [
        Footage(name, videos[name], VideoReader(videos[name]).shape)
        for name in tqdm(chosen, desc=f"Reading {split}", unit="video", delay=2)
    ]
    footage_sets.require_long_enough(
        ((sequence, video) for sequence in footage), num_frames
    )
    return [
        clip
        for sequence in footage
        for clip in footage_sets.cut_clips(sequence, video, num_frames)
    ]


def make_clip(clip: FootageClip, settings: Mapping[str, Any]) -> Record:
    """Makes the record of a clip.

    Raises:
        ValueError: a frame cannot be read.
    """
    settings = check_dvd_settings(settings)
    return footage_sets.simulate(
        clip,
        footage_sets.video_settings(settings),
        settings["num_frames"],
        fps=_FRAMES_PER_SECOND,
        data_set="DVD",
        licence="none stated (DVD, Su et al. 2017)",
    )


def check_dvd_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    return footage_sets.check_footage_settings(settings, SETTINGS)


def _videos(folder: Path) -> dict[str, Path]:
    """Sequence -> its video."""
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}. {_LAYOUT}")
    videos: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        # Archives made on a Mac hold a file ._NAME beside each one.
        if path.suffix.lower() not in VIDEOS or path.name.startswith("."):
            continue
        if path.stem in videos:
            raise ValueError(
                f"{videos[path.stem]} and {path} are both called {path.stem}; keep the "
                "one that is meant."
            )
        videos[path.stem] = path
    return videos


DVD = PublicSet(
    f"1.{video_folder.VERSION}",
    SETTINGS,
    DEFAULTS,
    find_clips,
    make_clip,
    check=check_dvd_settings,
    finds_split=True,
)
