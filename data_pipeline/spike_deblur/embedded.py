"""The embedded data set: built once from the photographs that scikit-image brings."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from data_pipeline.sources import embedded
from data_pipeline.spike_deblur.builder import build
from data_pipeline.spike_deblur.source import Source


def prepare_embedded(data_dir: str, settings: Mapping[str, Any]) -> str:
    """Builds the embedded data set unless it is there, and returns its directory.

    The name of the directory contains a hash of the settings, and it appears only
    when it is complete. Shows a progress bar on standard error while it builds.

    Args:
        data_dir: where data sets are kept.
        settings: as in `sources.embedded.SETTINGS`.

    Raises:
        ValueError: a setting is missing, unknown or out of its range.
    """
    return build(data_dir, embedded_source(settings))


def embedded_source(settings: Mapping[str, Any]) -> Source:
    """Returns the embedded data set as a source.

    Raises:
        ValueError: a setting is missing, unknown or out of its range.
    """
    checked = embedded.check_embedded_settings(settings)
    return Source(
        name="embedded",
        version=embedded.VERSION,
        settings=checked,
        counts={split: checked[f"{split}_clips"] for split in embedded.PHOTOGRAPHS},
        make=partial(embedded.make_clip, checked),
    )
