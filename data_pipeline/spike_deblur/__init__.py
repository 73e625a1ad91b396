"""The TFDS data set of clip records."""

from data_pipeline.spike_deblur.builder import Source, SpikeDeblur, build, open_split
from data_pipeline.spike_deblur.embedded import prepare_embedded

__all__ = ["Source", "SpikeDeblur", "build", "open_split", "prepare_embedded"]
