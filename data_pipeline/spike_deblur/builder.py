"""The TFDS builder that writes clip records as ArrayRecord files, and their reader."""

import contextlib
import dataclasses
import fcntl
import io
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from tqdm import tqdm

from data_pipeline.atomic import require_writable
from data_pipeline.records import ARRAYS, NUMBERS, TEXTS, Record
from data_pipeline.spike_deblur.source import SPLITS, Source, check_source

# On disk only: TFDS cannot read back an array of varying shape without any element (nor
# with fewer bytes than it has axes).
_HAS_SHARP = "has_sharp"
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "blur": (None, None, None, 3),
    "sharp": (None, None, None, 3),
    "spikes": (None, None, None),
    "exposure": (None, 2),
    "sharp_time": (None,),
    "rgb_from_spike": (3, 3),
}


@dataclasses.dataclass
class SourceConfig(tfds.core.BuilderConfig):
    """A TFDS configuration that carries its source."""

    source: Source | None = None


class SpikeDeblur(tfds.core.GeneratorBasedBuilder):
    """Blurred video, sharp video and the spikes recorded beside them."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.1.0": "Clips may lack sharp frames."}
    # TFDS finds this by itself, but only with a package that it does not declare.
    code_path = epath.Path(__file__)

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any] = {
            # Raw bytes: TFDS otherwise writes each number of an array as an int64.
            name: tfds.features.Tensor(
                shape=_SHAPES[name], dtype=dtype, encoding=tfds.features.Encoding.BYTES
            )
            for name, (dtype, _) in ARRAYS.items()
        }
        features |= {
            name: tfds.features.Scalar(dtype=dtype) for name, dtype in NUMBERS.items()
        }
        features |= {name: tfds.features.Text() for name in TEXTS}
        features[_HAS_SHARP] = tfds.features.Scalar(dtype=np.bool_)
        return tfds.core.DatasetInfo(
            builder=self,
            description="Clip records of VRT-Spike-JAX (data_pipeline/records.py).",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,  # clip i of the source is record i
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[Any]]:
        """Writes the manifest and returns the generators of the splits."""
        del dl_manager  # nothing is downloaded
        source = self._source()
        # TFDS builds in a temporary directory that it renames when all is written;
        # the manifest goes the same way.
        manifest = {
            "source": source.name,
            "version": source.version,
            "settings": dict(source.settings),
            "clips": dict(source.counts),
        }
        path = Path(str(self.data_path)) / "settings.json"
        path.write_text(json.dumps(manifest, indent=2) + "\n")
        progress = tqdm(
            total=sum(source.counts.values()),
            desc=f"Building {source.config_name}",
            unit="clip",
        )
        return {split: self._generate_examples(split, progress) for split in SPLITS}

    def _generate_examples(
        self, split: str, progress: "tqdm[Any]"
    ) -> Iterator[tuple[int, Record]]:
        source = self._source()
        for index in range(source.counts[split]):
            yield index, _to_disk(source.make(split, index))
            progress.update()
        if split == SPLITS[-1]:
            progress.close()

    def _source(self) -> Source:
        source = self.builder_config.source
        if source is None:
            raise ValueError("SpikeDeblur needs a configuration with a source.")
        return source


def build(data_dir: str | Path, source: Source) -> str:
    """Builds a data set unless it is there, and returns its directory.

    A build that was killed leaves a directory that is never read and that the next
    build removes; builds of the same data set wait for each other.

    Raises:
        ValueError: a split would be empty.
        NotADirectoryError, PermissionError: nothing can be written to `data_dir`.
    """
    check_source(source)
    root = Path(data_dir)
    config = SourceConfig(
        name=source.config_name, version=SpikeDeblur.VERSION, source=source
    )
    with _quiet_tfds():
        builder = SpikeDeblur(
            data_dir=str(root), config=config, file_format="array_record"
        )
    directory = Path(str(builder.data_path))
    if not directory.exists():
        require_writable(directory.parent)
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _locked(directory.parent / "build.lock"):
            for leftover in directory.parent.glob("*incomplete*"):
                shutil.rmtree(leftover)
            if not directory.exists():
                # TFDS wants the folder though there is nothing to download.
                downloads = directory.parent / "downloads.incomplete"
                with _quiet_tfds():
                    builder.download_and_prepare(
                        download_dir=str(downloads),
                        download_config=tfds.download.DownloadConfig(
                            try_download_gcs=False
                        ),
                    )
                shutil.rmtree(downloads, ignore_errors=True)
    return str(directory)


def open_split(directory: str | Path, split: str) -> Sequence[Record]:
    """Opens a split of a built data set for random access by index.

    Raises:
        FileNotFoundError: there is no finished data set in the directory.
        ValueError: it has no such split.
    """
    root = Path(directory)
    if not (root / "dataset_info.json").is_file():
        raise FileNotFoundError(
            f"{root} holds no finished data set; build one with "
            "python -m data_pipeline.prepare."
        )
    if split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}. Valid: {', '.join(SPLITS)}.")
    label = f"{root} ({split})"
    try:
        builder = tfds.builder_from_directory(str(root))
        return _Records(builder.as_data_source(split=split), label)
    except Exception as error:
        raise ValueError(_unreadable(label, error)) from error


class _Records(Sequence[Record]):
    """The records of a split, as `records.py` has them."""

    def __init__(self, data_source: Sequence[dict[str, Any]], label: str) -> None:
        self._data_source = data_source
        self._label = label

    def __len__(self) -> int:
        return len(self._data_source)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"{self._label} has {len(self)} clips, not {index}.")
        try:
            stored = dict(self._data_source[int(index)])
        except Exception as error:
            raise ValueError(
                _unreadable(f"Clip {index} of {self._label}", error)
            ) from error
        return _from_disk(stored)


def _unreadable(what: str, error: Exception) -> str:
    return f"{what} cannot be read ({error}); delete the directory and build it again."


def _to_disk(record: Record) -> dict[str, Any]:
    has_sharp = len(record["sharp"]) > 0
    sharp = record["sharp"] if has_sharp else np.zeros((1, 2, 2, 3), np.uint8)
    return record | {"sharp": sharp, _HAS_SHARP: has_sharp}


def _from_disk(stored: dict[str, Any]) -> Record:
    record = dict(stored)
    if not record.pop(_HAS_SHARP):
        record["sharp"] = np.zeros((0, *record["blur"].shape[1:]), np.uint8)
    for name in TEXTS:
        if isinstance(record[name], bytes):
            record[name] = record[name].decode()
    for name, dtype in NUMBERS.items():
        record[name] = np.asarray(record[name]).astype(dtype)[()]
    return record


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """Keeps back what TFDS says of downloads and configurations: there are none."""
    tfds.disable_progress_bar()  # its bars count files and shards, not clips
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds a lock that the system lets go of however the process ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
