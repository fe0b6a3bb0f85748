"""Camera and LiDAR from driving: the rotation under which the LiDAR's points lie best on many pictures.

From a start that is off by a degree or so, and never farther than the search's reach. The LiDAR's place is kept: it
moves pixels much less than the rotation does, and what its uncertainty does to the rotation is part of the covariance.

How sure: how far the peak of the score moves as one sector of the view after another is left out, and as one cue after
another counts half. Sectors are taken, not frames, since the frames of a few seconds show the same things and err
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import msgspec
import numpy as np
from scipy.optimize import minimize

from calibration.cannot import CannotCalibrate
from calibration.lidar_camera_score import Frame, Lens, Scorer, ScoreSettings
from calibration.se3 import SE3, FloatArray

_RECORD = (
    "at least ten frames in daylight of a street with poles, parked cars and lane markings on both sides, "
    "the car moving slowly; and a start that is within a degree or so"
)
_STENCIL_DEG = 0.12
_OTHER_STARTS = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]) / np.sqrt(3)


class LidarCameraSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """score: of a pose. min_frames, min_jumps: fewer do not tell. place_m: 1-sigma of the LiDAR's place in the camera.

    max_sd_deg: rotation about an axis that is known worse is doubted. agree_deg: most searches from several starts must
    end within this of the best. min_clear: share by which the best pose must stand out (see `Driving.clear`).
    """

    score: ScoreSettings = ScoreSettings()
    min_frames: int = 5
    min_jumps: int = 500
    place_m: float = 0.03
    max_sd_deg: float = 0.25
    agree_deg: float = 0.15
    min_clear: float = 0.2


class Driving(NamedTuple):
    """cam_SE3_lidar, start; cov: (6, 6) of a left perturbation, translation first.

    turn: (3,) rad, found on top of the start, camera axes. cues: (3,) at the solution, at_start: there. own: (3, 3) the
    turn that each cue alone would choose, row by row. without: (S, 3) turns with one sector left out.
    apart_deg: how far five rough searches ended from the best one. clear: by how much the score here exceeds the
    best one half a degree and more away, as a share of how much it exceeds the median there.
    doubts: why it is not to be trusted; empty where it is.
    """

    cam_SE3_lidar: SE3  # noqa: N815 - destination first
    start: SE3
    cov: FloatArray
    turn: FloatArray
    cues: FloatArray
    at_start: FloatArray
    own: FloatArray
    without: FloatArray
    apart_deg: FloatArray
    clear: float
    doubts: tuple[str, ...]

    @property
    def sd_deg(self) -> FloatArray:
        """(3,) about the camera's axes."""
        return np.asarray(np.degrees(np.sqrt(np.diag(self.cov)[3:])))


def calibrate(frames: Sequence[Frame], lens: Lens, start: SE3, settings: LidarCameraSettings | None = None) -> Driving:
    """Rotation of the LiDAR in the camera; start: ``cam_SE3_lidar``. Look at `Driving.doubts` before using it.

    Raises:
        CannotCalibrate: too few frames, or too little to be seen in them.
    """
    settings = settings or LidarCameraSettings()
    if len(frames) < settings.min_frames:
        raise CannotCalibrate(f"{len(frames)} frames, at least {settings.min_frames} are needed", _RECORD)
    scorer = Scorer(frames, lens, start, settings.score)
    jumps = scorer.counts[0]
    if jumps < settings.min_jumps:
        raise CannotCalibrate(
            f"{jumps} LiDAR points at jumps of depth lie well inside the pictures, at least {settings.min_jumps} must",
            _RECORD,
        )
    away = np.radians(0.5 * settings.score.reach_deg) * _OTHER_STARTS
    levels = range(len(settings.score.widths_deg))
    rough = np.array([search(scorer, turn, levels[:-1]) for turn in (np.zeros(3), *away)])
    best = max(rough, key=lambda turn: scorer.score(turn, -1))
    apart_deg = np.degrees(np.linalg.norm(rough - best, axis=1))
    return _judged(scorer, search(scorer, best, levels[-1:]), apart_deg, settings)


def search(scorer: Scorer, start: FloatArray, levels: Sequence[int]) -> FloatArray:
    """(3,) rad: the best turn from ``start`` on, level by level, within the reach (Nelder and Mead, 1965)."""
    reach = np.radians(scorer.settings.reach_deg)
    turn = start
    for level in levels:
        width = scorer.settings.widths_deg[level]
        first = np.vstack([turn, turn + np.radians(max(width, 0.1)) * np.eye(3)])

        def cost(x: FloatArray, level: int = level) -> float:
            beyond = float(np.linalg.norm(x)) - reach
            return -scorer.score(x, level) if beyond <= 0 else 1.0 + beyond

        options = {"initial_simplex": first, "xatol": np.radians(width / 16), "fatol": 1e-5, "maxfev": 100}
        turn = np.asarray(minimize(cost, turn, method="Nelder-Mead", options=options).x, dtype=np.float64)
    return turn


def _judged(scorer: Scorer, turn: FloatArray, apart_deg: FloatArray, settings: LidarCameraSettings) -> Driving:
    offsets = np.radians(_STENCIL_DEG) * np.array(list(product((-1.0, 0.0, 1.0), repeat=3)))
    parts = [scorer.parts(turn + offset, -1) for offset in offsets]
    total = peak(offsets, [float(scorer.weight @ p.cues()) for p in parts])
    sectors = scorer.settings.sectors
    without = np.array(
        [peak(offsets, [float(scorer.weight @ p.without(s).cues()) for p in parts]).at for s in range(sectors)]
    )
    lighter = np.array([peak(offsets, [float(w @ p.cues()) for p in parts]).at for w in _halved(scorer.weight)])
    own = np.array([peak(offsets, [p.cues()[c] for p in parts]).at for c in range(3)])
    by_place = _by_place(scorer, turn, offsets, total.curvature, settings.place_m)
    rotation = _jackknife(without) + 4.0 * _jackknife(lighter) + by_place
    clear = _clear(scorer, turn)
    full = np.zeros((6, 6))
    full[:3, :3] = np.eye(3) * settings.place_m**2
    full[3:, 3:] = rotation if np.isfinite(rotation).all() else np.eye(3) * np.pi**2
    sd = np.degrees(np.sqrt(np.diag(full)[3:]))
    doubts = []
    if not total.is_peak:
        doubts.append("the score has no peak there")
    if (sd > settings.max_sd_deg).any():
        doubts.append(f"rotation known only to {', '.join(f'{s:.2f}' for s in sd)} degrees about camera x, y, z")
    agree = int((apart_deg <= settings.agree_deg).sum())
    if 2 * agree < len(apart_deg):
        doubts.append(
            f"{agree} of {len(apart_deg)} searches end there, the others up to {apart_deg.max():.2f} degrees off"
        )
    if np.degrees(np.linalg.norm(turn)) > 0.9 * scorer.settings.reach_deg:
        doubts.append(f"the best pose lies at the border of the search, {scorer.settings.reach_deg:g} degrees")
    if clear < settings.min_clear:
        doubts.append(f"poses far away score nearly as well: it stands out by {clear:.0%}")
    rotated = SE3.exp(np.concatenate([np.zeros(3), turn])).rotation
    return Driving(
        cam_SE3_lidar=SE3(rotated @ scorer.start.rotation, scorer.start.translation),
        start=scorer.start,
        cov=full,
        turn=turn,
        cues=scorer.parts(turn, -1).cues(),
        at_start=scorer.parts(np.zeros(3), -1).cues(),
        own=turn + own,
        without=turn + without,
        apart_deg=apart_deg,
        clear=clear,
        doubts=tuple(doubts),
    )


def _halved(weight: FloatArray) -> list[FloatArray]:
    """The weights with one cue after another at half: without it altogether there may be no peak left."""
    return [np.where(np.arange(len(weight)) == cue, 0.5 * weight, weight) for cue in range(len(weight))]


def _jackknife(answers: FloatArray) -> FloatArray:
    """(3, 3) covariance from answers (G, 3) with one group after another left out (Efron, 1982, eq. 3.13)."""
    if not np.isfinite(answers).all():
        return np.full((3, 3), np.inf)
    spread = answers - answers.mean(axis=0)
    return np.asarray((len(answers) - 1) / len(answers) * spread.T @ spread)


class Peak(NamedTuple):
    """at: (3,) from the middle, NaN where there is none. is_peak: it is one, and not far outside the offsets."""

    at: FloatArray
    curvature: FloatArray
    is_peak: bool


def peak(offsets: FloatArray, values: Sequence[float]) -> Peak:
    """Of the quadratic through values at offsets (N, 3), by least squares; not farther than twice the offsets reach."""
    x = offsets
    columns = [np.ones(len(x)), *x.T, *(x[:, i] * x[:, j] for i in range(3) for j in range(i, 3))]
    scale = np.abs(x).max()
    fitted = np.linalg.lstsq(np.stack(columns, axis=1), np.array(values), rcond=None)[0]
    slope = fitted[1:4]
    H = np.zeros((3, 3))
    H[np.triu_indices(3)] = fitted[4:]
    H = H + H.T
    eigen = np.linalg.eigvalsh(H)
    if eigen[-1] >= 0:
        return Peak(np.full(3, np.nan), H, False)
    at = -np.linalg.solve(H, slope)
    far = np.linalg.norm(at) / (3 * scale)
    return Peak(at / max(far, 1.0), H, bool(far <= 1.0))


def _by_place(
    scorer: Scorer, turn: FloatArray, offsets: FloatArray, curvature: FloatArray, place_m: float
) -> FloatArray:
    """(3, 3) what an unknown place does to the turn: it moves by -H^-1 C per metre, C the mixed derivative."""
    if np.linalg.eigvalsh(curvature)[-1] >= 0:
        return np.full((3, 3), np.inf)
    step = np.abs(offsets).max()
    mixed = np.zeros((3, 3))
    for axis in range(3):
        shift = np.eye(3)[axis] * place_m
        for other in range(3):
            turned = np.eye(3)[other] * step
            s = [
                scorer.weight @ scorer.parts(turn + a * turned, -1, b * shift).cues()
                for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))
            ]
            mixed[other, axis] = (s[0] - s[1] - s[2] + s[3]) / (4 * step * place_m)
    moves = -np.linalg.solve(curvature, mixed)
    return np.asarray(place_m**2 * moves @ moves.T)


def _clear(scorer: Scorer, turn: FloatArray) -> float:
    """See `Driving.clear`; 60 poses, drawn the same way each time."""
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(60, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = np.radians(rng.uniform(0.5, scorer.settings.reach_deg, 60))
    far = np.array([scorer.score(turn + axis * angle, -1) for axis, angle in zip(axes, angles, strict=True)])
    here = scorer.score(turn, -1)
    return float((here - far.max()) / max(here - np.median(far), 1e-12))
