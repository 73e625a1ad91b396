"""A sample of a record, cut out, with all that its draws vary."""

import dataclasses
import functools

import numpy as np

from data_pipeline import augment
from data_pipeline import jitter as jitters
from data_pipeline.orientation import Orientation, unpack_oriented
from data_pipeline.representations import Binning
from data_pipeline.voxel_tables import fill_from_packed, fill_voxel_grids


@dataclasses.dataclass(frozen=True)
class Cut:
    """Where a sample is taken from, and how it is turned."""

    crop: augment.Crop
    orientation: Orientation
    is_reversed: bool  # in time
    level: float  # factor of the frames' values, less than 1 in less light
    threshold: float  # factor by which that of the camera is raised, or light fails
    phase: np.ndarray | None  # of the raised one, (T, h, w) in [0, 1), oriented

    @property
    def exposure(self) -> np.ndarray:
        """(T, 2) float64, start and end among the L spike frames of each window."""
        if not self.is_reversed:
            return self.crop.exposure
        return jitters.reverse_exposure(self.crop.exposure, self.crop.spikes.shape[1])

    @property
    def instant(self) -> np.ndarray:
        """(T,) float32 that the sharp frames show, relative to their exposures."""
        if not self.is_reversed:
            return self.crop.instant
        return -self.crop.instant[::-1]

    @functools.cached_property
    def spikes(self) -> np.ndarray:
        """(T, L, h, w) uint8 of 0 and 1, oriented, in the direction of time."""
        width = self.crop.spikes.shape[2]  # a crop is as wide as it is high
        spikes = unpack_oriented(self.crop.spikes, width, self.orientation)
        if self.phase is not None:
            spikes = jitters.raise_threshold(spikes, self.threshold, self.phase)
        return spikes[::-1, ::-1] if self.is_reversed else spikes

    def fill_grids(self, grids: np.ndarray, *, binning: Binning = "hard") -> None:
        """Writes the voxel grids (T, K, h, w) of the exposures."""
        if self.phase is not None or grids.shape[-1] % 2:
            fill_voxel_grids(self.spikes, self.exposure, grids, binning=binning)
            return
        packed = self.crop.spikes
        fill_from_packed(
            packed[::-1, ::-1] if self.is_reversed else packed,
            self.exposure,
            grids,
            orientation=self.orientation,
            binning=binning,
        )
