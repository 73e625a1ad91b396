"""The TFDS data set of clip records."""

from data_pipeline.spike_deblur.builder import SpikeDeblur, build, open_split
from data_pipeline.spike_deblur.embedded import embedded_source, prepare_embedded
from data_pipeline.spike_deblur.source import Source

__all__ = [
    "Source",
    "SpikeDeblur",
    "build",
    "embedded_source",
    "open_split",
    "prepare_embedded",
]
