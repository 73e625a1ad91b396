"""What prepare builds from: each source as records that are made by their index."""

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_pipeline.prepare_options import PUBLIC_SETS, chosen
from data_pipeline.records import Record
from data_pipeline.sources import (
    embedded,
    public_set,
    spikes,
    video_clips,
    video_folder,
)
from data_pipeline.sources.public_set import ClipFiles, PublicSet, left_out_note
from data_pipeline.spike_deblur import Source, embedded_source
from data_pipeline.stream_check import check_streams
from data_pipeline.video_files import VideoReader, list_pictures


def find_source(options: argparse.Namespace) -> tuple[Source, str]:
    """Returns the source that the options name, and what its user should know of it.

    Raises:
        FileNotFoundError: the input or a file in it is missing.
        ValueError: an option is out of its range, or the input does not fit.
    """
    if options.source == "embedded":
        return _embedded(options), ""
    if options.source in PUBLIC_SETS:
        return _public_set(options)
    if options.source == "spikes":
        return _spikes(options)
    return _video(options)


@dataclasses.dataclass(frozen=True)
class PublicSetClips:
    """Makes the clips of a public data set from their files.

    Attributes:
        data_set: the data set.
        splits: split -> the files of its clips.
        settings: as the data set takes them.
    """

    data_set: PublicSet
    splits: Mapping[str, Sequence[ClipFiles]]
    settings: Mapping[str, Any]

    def __call__(self, split: str, index: int) -> Record:
        """Makes a clip."""
        return self.data_set.make(self.splits[split][index], self.settings)


def _embedded(options: argparse.Namespace) -> Source:
    settings = chosen(options, list(embedded.SETTINGS))
    if settings["test_clips"] is None:
        settings["test_clips"] = 4
    return embedded_source(settings)


def _public_set(options: argparse.Namespace) -> tuple[Source, str]:
    data_set = PUBLIC_SETS[options.source]
    given = {name: getattr(options, name) for name in data_set.settings}
    defaults = {**chosen(options, list(data_set.settings)), **data_set.defaults}
    settings = data_set.checked(
        {n: defaults[n] if v is None else v for n, v in given.items()}
    )
    found = public_set.find_splits(data_set, options.input, settings)
    splits = public_set.split_clips(found, options.test_clips)
    every = [clip for split in public_set.SPLITS for clip in splits[split]]
    streams = data_set.streams(every, settings)
    for size, paths in streams.items():
        check_streams(paths, *size, trust_size=bool(options.trust_size))
    source = Source(
        name=options.source,
        version=data_set.version,
        settings={
            **settings,
            "test_clips": len(splits["test"]),
            "files": public_set.identity(options.input, every),
        },
        counts={split: len(clips) for split, clips in splits.items()},
        make=PublicSetClips(data_set, splits, settings),
    )
    total = sum(1 for _ in Path(options.input).rglob("*.dat"))
    left = total - sum(len(paths) for paths in streams.values())
    note = (
        f"{left} of {total} streams are in no clip; they are fewer or shorter than a "
        "clip takes, or not where the layout and the settings look for them."
    )
    num_clips = sum(len(clips) for clips in found.values())
    return source, _notes(note if left else "", left_out_note(num_clips, splits))


def _spikes(options: argparse.Namespace) -> tuple[Source, str]:
    recordings = spikes.find_recordings(
        options.input,
        {name: getattr(options, option) for option, name in spikes.STORAGE.items()},
        {name: getattr(options, name) for name in spikes.SETTINGS},
    )
    counts = [
        spikes.check_recording(recording, trust_size=bool(options.trust_size))
        for recording in tqdm(recordings, desc="Counting clips", unit="recording")
    ]
    clips, short = spikes.cut_recordings(recordings, counts, options.input)
    splits = public_set.split_clips({"all": clips}, options.test_clips)
    used = {recording.path: recording for recording in recordings}
    source = Source(
        name="spikes",
        version=spikes.VERSION,
        settings={
            "test_clips": len(splits["test"]),
            "recordings": [
                {
                    "file": _identity(recording.path),
                    **recording.storage,
                    **recording.settings,
                }
                for recording in recordings
            ],
        },
        counts={split: len(chosen) for split, chosen in splits.items()},
        make=spikes.RecordingClips(used, splits),
    )
    note = (
        f"{len(short)} of {len(recordings)} recordings are shorter than a clip and in "
        f"none; the first is {short[0]}."
        if short
        else ""
    )
    return source, _notes(note, left_out_note(len(clips), splits))


def _notes(*notes: str) -> str:
    return " ".join(note for note in notes if note)


def _video(options: argparse.Namespace) -> tuple[Source, str]:
    settings = video_folder.check_video_settings(
        chosen(options, list(video_folder.SETTINGS))
    )
    num_frames = chosen(options, ["num_frames"])["num_frames"]
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}.")
    paths = video_folder.find_videos(options.input)
    with tqdm(paths, desc="Counting clips", unit="video") as bar:
        shapes = {path: VideoReader(path).shape for path in bar}
    for path, (_, height, width, _) in shapes.items():
        video_folder.check_footage(path.name, height, width, settings)
    counts = [
        (path, video_folder.count_clips(shape[0], num_frames, settings))
        for path, shape in shapes.items()
    ]
    total = sum(count for _, count in counts)
    if not total:
        longest = max(paths, key=lambda path: shapes[path][0])
        length = shapes[longest][0]
        video_folder.require_footage(longest.name, length, num_frames, settings)
    test_clips = options.test_clips
    if test_clips is None:
        test_clips = max(1, round(total / 10))
    between = video_folder.clips_between(num_frames, settings)
    splits = video_clips.split_clips(counts, test_clips, between=between)
    chosen_clips = {
        split: [index for _, indices in videos for index in indices]
        for split, videos in splits.items()
    }
    source = Source(
        name="video",
        version=video_folder.VERSION,
        settings={
            **settings,
            "num_frames": num_frames,
            "test_clips": test_clips,
            "footage": [_identity(path) for path in paths],
        },
        counts={split: len(indices) for split, indices in chosen_clips.items()},
        make=video_clips.FootageClips(splits, shapes, settings, num_frames),
    )
    short = [path for path, count in counts if not count]
    note = (
        f"{len(short)} of {len(paths)} videos are shorter than a clip and in none; the "
        f"first is {short[0]}."
        if short
        else ""
    )
    return source, _notes(note, left_out_note(total, chosen_clips))


def _identity(path: Path) -> str:
    """Names the state of a video: other footage under the same name is another set."""
    files = list_pictures(path) if path.is_dir() else [path]
    states = [
        (file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files
    ]
    digest = hashlib.sha256(json.dumps(states).encode()).hexdigest()[:12]
    return f"{path.name}-{digest}"
