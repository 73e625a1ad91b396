"""The manifest of a data set: what it is, clip by clip and file by file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from array_record.python import array_record_module
from tqdm import tqdm

from data_pipeline.atomic import new_file
from data_pipeline.spike_deblur.layout import MANIFEST, VERSION
from data_pipeline.spike_deblur.shards import file_checksum
from data_pipeline.spike_deblur.source import SPLITS, Source

Facts = Mapping[str, Any]  # of a shard, as shards.write_shard returns them


def write_manifest(
    directory: Path, source: Source, shards: Mapping[str, Sequence[Facts]]
) -> None:
    """Writes what the data set is: equal data sets have equal manifests.

    Args:
        directory: of the data set.
        source: of its clips.
        shards: split -> the facts of its shards.
    """
    manifest = {
        "format": VERSION,
        "source": source.name,
        "version": source.version,
        "settings": dict(source.settings),
        "splits": {split: {"shards": list(shards[split])} for split in SPLITS},
    }
    with new_file(directory / MANIFEST) as file:
        file.write_text(json.dumps(manifest, indent=1) + "\n")


def read_manifest(directory: str | Path) -> dict[str, Any]:
    """Reads the manifest of a finished data set.

    Raises:
        FileNotFoundError: there is no finished data set in the directory.
        ValueError: it is of another version, or the manifest cannot be read.
    """
    path = Path(directory) / MANIFEST
    rebuild = "build it again with python -m data_pipeline.prepare."
    if not path.is_file():
        if (path.parent / "dataset_info.json").is_file():
            raise ValueError(
                f"{directory} was built by a version before {VERSION}, which this one "
                f"does not read; {rebuild}"
            )
        raise FileNotFoundError(
            f"{directory} holds no finished data set; build one with "
            "python -m data_pipeline.prepare."
        )
    try:
        manifest = json.loads(path.read_text())
        version = manifest["format"]
        for split in SPLITS:
            for shard in manifest["splits"][split]["shards"]:
                _ = shard["file"], shard["bytes"], shard["sha256"], shard["clips"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"The manifest {path} cannot be read ({error!r}); {rebuild}"
        ) from error
    if version != VERSION:
        raise ValueError(
            f"{directory} is of version {version}, but this one reads {VERSION}; "
            f"{rebuild}"
        )
    return manifest


def manifest_checksum(directory: str | Path) -> str:
    """Returns the sha256 of the manifest, which names the data down to the last byte.

    Raises:
        FileNotFoundError: there is no finished data set in the directory.
        ValueError: it is of another version, or the manifest cannot be read.
    """
    read_manifest(directory)
    return file_checksum(Path(directory) / MANIFEST)


def verify(directory: str | Path) -> str:
    """Checks every byte of a data set against its manifest, with a progress bar.

    Returns:
        The checksum of the manifest.

    Raises:
        FileNotFoundError: there is no finished data set in the directory.
        ValueError: a file is missing or differs; the sentence names the first one, and
            its first clip that differs.
    """
    root = Path(directory)
    shards = [
        (split, shard)
        for split, content in read_manifest(root)["splits"].items()
        for shard in content["shards"]
    ]
    with tqdm(
        total=sum(shard["bytes"] for _, shard in shards),
        desc="Verifying",
        unit="B",
        unit_scale=True,
    ) as progress:
        for split, shard in shards:
            check_size(root, shard)
            if file_checksum(root / shard["file"]) != shard["sha256"]:
                raise ValueError(
                    f"{root / shard['file']} differs from the manifest"
                    f"{_first_difference(root, split, shard)}; delete {root} and build "
                    "it again."
                )
            progress.update(shard["bytes"])
    return manifest_checksum(root)


def check_size(directory: Path, shard: Facts) -> None:
    """Checks that a shard is there, in the size that the manifest states.

    Raises:
        ValueError: it is not.
    """
    path = directory / shard["file"]
    found = path.stat().st_size if path.is_file() else None
    if found != shard["bytes"]:
        state = "is missing" if found is None else f"has {found} bytes"
        raise ValueError(
            f"{path} {state}, but the manifest states {shard['bytes']} bytes; delete "
            f"{directory} and build it again."
        )


def _first_difference(directory: Path, split: str, shard: Facts) -> str:
    """Names the first clip of a shard that differs, as far as they can be read."""
    reader = array_record_module.ArrayRecordReader(str(directory / shard["file"]))
    for position, clip in enumerate(shard["clips"]):
        what = f", first in clip {clip['index']} of {split} ({clip['name']})"
        try:
            (data,) = reader.read([position])
        except RuntimeError:  # ArrayRecord's for all that is damaged or missing
            return f"{what}, which cannot be read"
        if hashlib.sha256(data).hexdigest() != clip["sha256"]:
            return what
    return ", though all its clips agree"
