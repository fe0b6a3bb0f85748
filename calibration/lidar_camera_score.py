"""How well a LiDAR's points lie on pictures, for one pose after another: edges on edges, and shared information.

Three cues, each cheap to evaluate once a picture has been prepared:
- points at jumps of depth lie on edges of the picture (Levinson and Thrun, Automatic online calibration of cameras and
  lidars, RSS 2013), read from a map of gradients that is blurred less and less as the search narrows;
- points at steps of reflectance lie there too;
- reflectance and grey value tell of each other: mutual information over joint entropy, 1 minus the normalised
  information distance of Li et al., The similarity metric, 2004, eq. IV.2.

Only points that stay on the picture under every pose of the search are used: the denominator is fixed, so that no pose
gains by pushing points over the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from calibration.camera import CameraModel, Pinhole
from calibration.lidar_edges import sweep_edges
from calibration.se3 import SE3, FloatArray

Grey = npt.NDArray[np.uint8]

_LEVELS = 24  # of reflectance and of grey value
_BLUR_DEG = 0.05


class ScoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """reach_deg: rotations of the search stay within this of the start. widths_deg: blur of the edges, coarse to fine.

    step, information: weight of those cues; that of jumps is 1. sectors: of azimuth, which err on their own.
    focal_px: pictures are made smaller until their focal length is at most this. thin: every so many points are used
    for information.
    """

    reach_deg: float = 2.0
    widths_deg: tuple[float, ...] = (0.5, 0.2, 0.08)
    step: float = 0.5
    information: float = 3.0
    sectors: int = 8
    focal_px: float = 1000.0
    thin: int = 3


class Frame(NamedTuple):
    """grey: (H, W) uint8. xyz: (N, 3) lidar frame as it was when the picture was taken. intensity: (N,) 0..1.

    ring: (N,), all alike where unknown.
    """

    grey: Grey
    xyz: FloatArray
    intensity: FloatArray
    ring: npt.NDArray[np.int64]


class Lens(NamedTuple):
    """camera: for pictures of width x height, pixels."""

    camera: CameraModel
    width: int
    height: int


class _Points(NamedTuple):
    """rows: of all points of the frame. weight: for the mean. sector: (K,)."""

    rows: slice
    weight: FloatArray
    sector: npt.NDArray[np.int64]


class _Prepared(NamedTuple):
    """columns: (3, N) lidar frame, jumps, then steps, then spread. place: (K,) row of the counts, by sector and level.

    edges: (H, W) for each of the widths. levels: (H, W) of grey.
    """

    columns: npt.NDArray[np.float32]
    jumps: _Points
    steps: _Points
    spread: slice
    place: npt.NDArray[np.int64]
    edges: tuple[npt.NDArray[np.float32], ...]
    levels: npt.NDArray[np.float32]


class Parts(NamedTuple):
    """What each sector gives to the score. jumps, steps: (S, 2) weighted sum and weight. joint: (S, L, L) counts."""

    jumps: FloatArray
    steps: FloatArray
    joint: FloatArray

    def without(self, sector: int) -> Parts:
        return Parts(*(np.delete(part, sector, axis=0) for part in self))

    def cues(self) -> FloatArray:
        """(3,) jumps, steps, information."""
        means = [part[:, 0].sum() / max(part[:, 1].sum(), 1e-9) for part in (self.jumps, self.steps)]
        return np.array([*means, _information(self.joint.sum(axis=0))])


class Scorer:
    """Frames prepared once, to be scored under many poses.

    Args:
        frames: pictures of the size of ``lens``.
        start: ``cam_SE3_lidar``; poses are given as rotations of the camera's axes on top of it.
    """

    def __init__(self, frames: Sequence[Frame], lens: Lens, start: SE3, settings: ScoreSettings | None = None) -> None:
        self.settings = settings or ScoreSettings()
        scale = min(1.0, self.settings.focal_px / lens.camera.fx)
        given = lens.camera.scaled(scale)
        self._size = round(lens.width * scale), round(lens.height * scale)
        self._camera = Pinhole(fx=given.fx, fy=given.fy, cx=given.cx, cy=given.cy)
        undistorting = None if given == self._camera else _undistorting(given, self._camera, self._size)
        self.start = start
        small = [_resized(frame.grey, self._size, undistorting) for frame in frames]
        values = np.concatenate([grey[::5, ::5].ravel() for grey in small]) if small else np.zeros(1)
        self._borders = np.quantile(values, np.linspace(0, 1, _LEVELS + 1)[1:-1])
        self._frames = [self._prepared(frame, grey) for frame, grey in zip(frames, small, strict=True)]
        self.weight = np.array([1.0, self.settings.step, self.settings.information])

    @property
    def counts(self) -> tuple[int, int, int]:
        """Points at jumps, at steps, and for information, over all frames."""
        return (
            sum(len(frame.jumps.weight) for frame in self._frames),
            sum(len(frame.steps.weight) for frame in self._frames),
            sum(len(frame.place) for frame in self._frames),
        )

    def parts(self, turn: FloatArray, level: int, shift: FloatArray | None = None) -> Parts:
        """turn: (3,) rad, rotation vector in camera axes on top of the start. level: of `widths_deg`.

        shift: (3,) m, camera axes.
        """
        pose = SE3.exp(np.concatenate([np.zeros(3), turn]))
        moved = SE3(pose.rotation @ self.start.rotation, self.start.translation + (0 if shift is None else shift))
        S = self.settings.sectors
        sums = np.zeros((2, S, 2))
        joint = np.zeros(S * _LEVELS * _LEVELS)
        for frame in self._frames:
            u, v = self._pixels(moved, frame.columns)
            for out, points in zip(sums, (frame.jumps, frame.steps), strict=True):
                value = _read(frame.edges[level], u[points.rows], v[points.rows])
                out[:, 0] += np.bincount(points.sector, points.weight * value, S)
                out[:, 1] += np.bincount(points.sector, points.weight, S)
            grey = np.clip(_read(frame.levels, u[frame.spread], v[frame.spread]), 0, _LEVELS - 1.001)
            low = grey.astype(np.int64)
            share = grey - low  # of the level above: shared by two, so that the score is smooth
            joint += np.bincount(frame.place + low, 1 - share, len(joint))
            joint += np.bincount(frame.place + low + 1, share, len(joint))
        return Parts(sums[0], sums[1], joint.reshape(S, _LEVELS, _LEVELS))

    def score(self, turn: FloatArray, level: int) -> float:
        return float(self.weight @ self.parts(turn, level).cues())

    def _prepared(self, frame: Frame, grey: Grey) -> _Prepared:
        keep = np.flatnonzero(self._stays(self.start @ frame.xyz))
        xyz = np.asarray(frame.xyz[keep], dtype=np.float64)
        intensity, ring = frame.intensity[keep], frame.ring[keep]
        edges = sweep_edges(xyz, intensity, ring)
        azimuth = np.arctan2(xyz[:, 1], xyz[:, 0])
        middle = np.angle(np.exp(1j * azimuth).mean()) if len(xyz) else 0.0
        sector = _ranked(np.angle(np.exp(1j * (azimuth - middle))), self.settings.sectors)
        few = np.arange(0, len(xyz), self.settings.thin)
        level = _ranked(intensity, _LEVELS)[few]
        first, second = len(edges.jump), len(edges.jump) + len(edges.step)
        rows = np.concatenate([edges.jump, edges.step, few])
        return _Prepared(
            np.ascontiguousarray(xyz[rows].T, dtype=np.float32),
            _Points(slice(0, first), edges.height, sector[edges.jump]),
            _Points(slice(first, second), np.ones(len(edges.step)), sector[edges.step]),
            slice(second, len(rows)),
            (sector[few] * _LEVELS + level) * _LEVELS,
            self._edge_maps(grey),
            self._grey_levels(grey),
        )

    def _stays(self, points_cam: FloatArray) -> npt.NDArray[np.bool_]:
        pixels, valid = self._camera.project(points_cam)
        width, height = self._size
        border = np.tan(np.radians(self.settings.reach_deg)) * self._camera.fx
        with np.errstate(invalid="ignore"):
            inside = (np.abs(pixels[:, 0] - width / 2) < width / 2 - border) & (
                np.abs(pixels[:, 1] - height / 2) < height / 2 - border
            )
        return np.asarray(valid & inside & (points_cam[:, 2] > 1.0))

    def _edge_maps(self, grey: Grey) -> tuple[npt.NDArray[np.float32], ...]:
        """Length of the gradient against what is usual around it, 0..1, blurred by each of the widths."""
        focal = self._camera.fx
        smooth = cv2.GaussianBlur(grey, (0, 0), max(0.8, focal / 1500)).astype(np.float32)
        slope = np.hypot(*(cv2.Scharr(smooth, cv2.CV_32F, *of) / 16 for of in ((1, 0), (0, 1))))
        around = 2 * int(focal * 0.025) + 1
        strong = np.minimum(slope / (cv2.blur(slope, (around, around)) + 2.0), 4.0) / 4.0
        widths = (np.radians(width) * focal for width in self.settings.widths_deg)
        return tuple(np.asarray(cv2.GaussianBlur(strong, (0, 0), max(px, 0.4)), dtype=np.float32) for px in widths)

    def _grey_levels(self, grey: Grey) -> npt.NDArray[np.float32]:
        """0.._LEVELS - 1, continuous, equally full over all pictures."""
        smooth = cv2.GaussianBlur(grey, (0, 0), max(np.radians(_BLUR_DEG) * self._camera.fx, 0.4))
        table = np.interp(np.arange(256), self._borders, np.arange(len(self._borders)) + 0.5)
        return np.asarray(table.astype(np.float32)[smooth])

    def _pixels(self, pose: SE3, columns: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], ...]:
        """u and v, (N,), of points (3, N)."""
        K = self._camera.matrix
        u, v, depth = (K @ pose.rotation).astype(np.float32) @ columns + (K @ pose.translation).astype(np.float32)[
            :, None
        ]
        return u / depth, v / depth


def _read(of: npt.NDArray[np.float32], u: npt.NDArray[np.float32], v: npt.NDArray[np.float32]) -> FloatArray:
    """(N,) between pixels; at the border beyond it."""
    if not len(u):
        return np.zeros(0)
    value = cv2.remap(of, u[:, None], v[:, None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(value.ravel(), dtype=np.float64)


def _undistorting(camera: CameraModel, ideal: Pinhole, size: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Where each pixel of a camera without distortion is in the picture: u and v (H, W)."""
    v, u = np.mgrid[: size[1], : size[0]]
    pixels, valid = camera.project(ideal.unproject(np.stack([u.ravel(), v.ravel()], axis=-1).astype(np.float64)))
    pixels[~valid] = -1e4
    return pixels[:, 0].reshape(u.shape), pixels[:, 1].reshape(u.shape)


def _resized(grey: Grey, size: tuple[int, int], undistorting: tuple[FloatArray, FloatArray] | None) -> Grey:
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    if undistorting is not None:
        u, v = (np.asarray(of, dtype=np.float32) for of in undistorting)
        small = cv2.remap(small, u, v, cv2.INTER_LINEAR)
    return np.asarray(small, dtype=np.uint8)


def _ranked(values: FloatArray, levels: int) -> npt.NDArray[np.int64]:
    """(N,) 0..levels - 1, equally many in each."""
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.argsort(values, kind="stable")] = np.arange(len(values))
    return rank * levels // max(len(values), 1)


def _information(joint: FloatArray) -> float:
    """Mutual information over joint entropy of counts (L, L)."""
    p = joint / max(joint.sum(), 1e-12)

    def entropy(q: FloatArray) -> float:
        q = q[q > 0]
        return float(-(q * np.log(q)).sum())

    both = entropy(p)
    return (entropy(p.sum(axis=0)) + entropy(p.sum(axis=1)) - both) / both if both > 0 else 0.0
