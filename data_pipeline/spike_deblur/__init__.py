"""The data set of clip records, built and read; TFDS opens it too."""

from data_pipeline.spike_deblur.builder import build
from data_pipeline.spike_deblur.embedded import embedded_source, prepare_embedded
from data_pipeline.spike_deblur.manifest import manifest_checksum, verify
from data_pipeline.spike_deblur.reader import open_split
from data_pipeline.spike_deblur.source import Source

__all__ = [
    "Source",
    "build",
    "embedded_source",
    "manifest_checksum",
    "open_split",
    "prepare_embedded",
    "verify",
]
