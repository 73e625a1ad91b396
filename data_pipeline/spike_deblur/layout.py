"""Where a data set lies: the names of its directory and of the files in it.

DATA_DIR/spike_deblur/SOURCE-HASH/2.0.0/       the finished data set
    manifest.json                              what it is, with checksums
    spike_deblur-train-00000.array_record      the first shard of its clips
    dataset_info.json, features.json           what TFDS reads it by
    software.json                              the versions that made it
DATA_DIR/spike_deblur/SOURCE-HASH/incomplete/  one that is being built
    build.lock                                 held by the build
    state.json                                 what its clips were made by
    clips/train-00000000                       a finished clip that is in no shard
    shards/train-00000.json                    what is in a finished shard
"""

from pathlib import Path

from data_pipeline.spike_deblur.source import Source

# Raised whenever equal records would give other files. 2.0.0: shards of their own size,
# not compressed, with a manifest.
VERSION = "2.0.0"
NAME = "spike_deblur"
FILENAME_TEMPLATE = "{DATASET}-{SPLIT}-{SHARD_INDEX}.{FILEFORMAT}"
MANIFEST = "manifest.json"
SOFTWARE = "software.json"
LOCK = "build.lock"
STATE = "state.json"
CLIPS = "clips"
SHARDS = "shards"


def finished_directory(data_dir: str | Path, source: Source) -> Path:
    """Returns where the finished data set is."""
    return Path(data_dir) / NAME / source.config_name / VERSION


def unfinished_directory(finished: Path) -> Path:
    """Returns where the data set is while it is being built."""
    return finished.parent / "incomplete"


def clip_file(unfinished: Path, split: str, index: int) -> Path:
    """Returns the file of a finished clip that is in no shard yet."""
    return unfinished / CLIPS / f"{split}-{index:08d}"


def shard_file(directory: Path, split: str, number: int) -> Path:
    """Returns the file of a shard, finished data set or not."""
    return directory / f"{NAME}-{split}-{number:05d}.array_record"


def facts_file(unfinished: Path, split: str, number: int) -> Path:
    """Returns the file that says what is in a finished shard."""
    return unfinished / SHARDS / f"{split}-{number:05d}.json"
