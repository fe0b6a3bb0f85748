"""Statistics of simulated sensors laid over those of recorded ones: does the median lie within the recorded spread?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nodes.simulator.realism.measure import (
    INTENSITY_EDGES,
    RANGE_EDGES,
    SPECTRUM_EDGES,
    Array,
    CameraStatistics,
    LidarStatistics,
    RadarStatistics,
)

_OBJECT_EDGES = np.array([0.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 65.0, 80.0])
_FEW = 3  # samples below which a bin says nothing
_QUANTILES = (0.05, 0.5, 0.95)


class Curve(NamedTuple):
    """One statistic by bins. x: (B,) middle of each. real, simulated: (3, B) 5 %, median and 95 %, NaN where there are
    too few samples. logarithmic: how it is drawn."""

    name: str
    x_label: str
    y_label: str
    x: Array
    real: Array
    simulated: Array
    logarithmic: bool = False

    @property
    def within(self) -> float:
        """Share of the bins in which the simulated median lies within the recorded 5 to 95 %; NaN for none."""
        both = np.isfinite(self.real[1]) & np.isfinite(self.simulated[1])
        inside = (self.simulated[1] >= self.real[0]) & (self.simulated[1] <= self.real[2])
        return float(inside[both].mean()) if both.any() else float("nan")


def lidar_curves(real: LidarStatistics, simulated: LidarStatistics) -> list[Curve]:
    return [
        _by_range("returns on a car", "returns", real.car_points, simulated.car_points, logarithmic=True),
        _by_range(
            "intensity of a car",
            "median intensity",
            np.c_[real.car_points[:, 0], real.car_intensity],
            np.c_[simulated.car_points[:, 0], simulated.car_intensity],
        ),
        _bins("intensity", "intensity", "share of returns", INTENSITY_EDGES, real.intensity, simulated.intensity),
        _bins("range", "m", "share of returns", RANGE_EDGES, real.ranges, simulated.ranges),
        _scalars("returns in a sweep", [(real.returns, simulated.returns)], ["returns"]),
        _scalars("roughness of the ground", [(real.flatness, simulated.flatness)], ["m"]),
    ]


def radar_curves(real: RadarStatistics, simulated: RadarStatistics) -> list[Curve]:
    return [
        _by_range("returns of a vehicle", "returns", real.object_points, simulated.object_points),
        _bins("range", "m", "share of returns", RANGE_EDGES, real.ranges, simulated.ranges),
        _scalars("returns in a cycle", [(real.returns, simulated.returns)], ["returns"]),
        _scalars("Doppler noise", [(np.abs(real.doppler), np.abs(simulated.doppler))], ["m/s, size of the residual"]),
        _by_range("strength", "dB over the weakest", real.snr, simulated.snr),
    ]


def camera_curves(real: CameraStatistics, simulated: CameraStatistics) -> list[Curve]:
    levels = [(getattr(real, name), getattr(simulated, name)) for name in ("brightness", "contrast", "saturation")]
    return [
        _scalars("levels", levels, ["brightness", "contrast", "saturation"]),
        _scalars("noise", [(real.noise, simulated.noise)], ["grey levels"]),
        _bins(
            "spectrum",
            "cycles per pixel",
            "log10 power",
            SPECTRUM_EDGES,
            real.spectrum,
            simulated.spectrum,
        ),
    ]


def _by_range(name: str, y_label: str, real: Array, simulated: Array, logarithmic: bool = False) -> Curve:
    middle = 0.5 * (_OBJECT_EDGES[1:] + _OBJECT_EDGES[:-1])
    curves = [_quantiles_by_range(table) for table in (real, simulated)]
    return Curve(name, "m", y_label, middle, curves[0], curves[1], logarithmic)


def _quantiles_by_range(table: Array) -> Array:
    out = np.full((3, len(_OBJECT_EDGES) - 1), np.nan)
    place = np.digitize(table[:, 0], _OBJECT_EDGES) - 1
    for b in range(out.shape[1]):
        values = table[(place == b) & np.isfinite(table[:, 1]), 1]
        if len(values) >= _FEW:
            out[:, b] = np.quantile(values, _QUANTILES)
    return out


def _bins(name: str, x_label: str, y_label: str, edges: Array, real: Array, simulated: Array) -> Curve:
    middle = 0.5 * (edges[1:] + edges[:-1])
    of_real, of_simulated = (np.quantile(rows, _QUANTILES, axis=0) for rows in (real, simulated))
    return Curve(name, x_label, y_label, middle, of_real, of_simulated)


def _scalars(name: str, pairs: Sequence[tuple[Array, Array]], labels: list[str]) -> Curve:
    """Numbers that have no bins, side by side."""
    columns = [np.stack([_quantiles(values) for values in side], axis=1) for side in zip(*pairs, strict=True)]
    return Curve(name, ", ".join(labels), "", np.arange(len(pairs), dtype=np.float64), columns[0], columns[1])


def _quantiles(values: Array) -> Array:
    known = values[np.isfinite(values)]
    return np.asarray(np.quantile(known, _QUANTILES)) if len(known) >= _FEW else np.full(3, np.nan)
