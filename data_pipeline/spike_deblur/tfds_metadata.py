"""What makes a directory of shards a data set that TFDS opens."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data_pipeline.records import ARRAYS, NUMBERS, TEXTS
from data_pipeline.spike_deblur.example import HAS_SHARP, SHAPES
from data_pipeline.spike_deblur.layout import FILENAME_TEMPLATE, NAME, VERSION


def write_tfds_metadata(
    directory: Path,
    config_name: str,
    shards: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Writes dataset_info.json and features.json.

    Args:
        directory: of the data set.
        config_name: of the TFDS configuration.
        shards: split -> the facts of its shards (shards.write_shard).
    """
    info = tfds.core.DatasetInfo(
        builder=tfds.core.DatasetIdentity(
            name=NAME,
            version=tfds.core.Version(VERSION),
            data_dir=str(directory),
            module_name="",
            config_name=config_name,
        ),
        description="Clip records of VRT-Spike-JAX (data_pipeline/records.py).",
        features=_features(),
        disable_shuffling=True,  # clip i of the source is record i
    )
    info.set_file_format("array_record")
    template = tfds.core.ShardedFileTemplate(
        data_dir=str(directory),
        template=FILENAME_TEMPLATE,
        dataset_name=NAME,
        filetype_suffix="array_record",
    )
    splits = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[len(facts["clips"]) for facts in of_split],
            num_bytes=sum(facts["bytes"] for facts in of_split),
            filename_template=template.replace(split=split),
        )
        for split, of_split in shards.items()
    ]
    info.set_splits(tfds.core.SplitDict(splits))
    info.write_to_directory(str(directory))


def _features() -> tfds.features.FeaturesDict:
    features: dict[str, Any] = {
        # Raw bytes: TFDS otherwise writes each number of an array as an int64.
        name: tfds.features.Tensor(
            shape=SHAPES[name], dtype=dtype, encoding=tfds.features.Encoding.BYTES
        )
        for name, (dtype, _) in ARRAYS.items()
    }
    features |= {
        name: tfds.features.Scalar(dtype=dtype) for name, dtype in NUMBERS.items()
    }
    features |= {name: tfds.features.Text() for name in TEXTS}
    features[HAS_SHARP] = tfds.features.Scalar(dtype=np.bool_)
    return tfds.features.FeaturesDict(features)
