"""Camera and LiDAR from a board that both see: the pose that explains the LiDAR's points of it.

No first guess is needed. In each sweep, isolated planar patches of the board's size are candidates; two poses of the
board with a candidate each give a transform (Kabsch, on centres and normals), and the one that most poses agree with
names the board in every sweep. Then all its points at once: their distance to the board's plane as the camera sees it,
and the ends of each scan line on the board, which lie on its border (after Verma et al., Automatic extrinsic
calibration between a camera and a 3D lidar using 3D point and plane correspondences, ITSC 2019, which uses centre and
normal only).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.board_patches import BoardShape, LidarBoardSettings, Patch, find_patches, plane_of
from calibration.cannot import CannotCalibrate
from calibration.least_squares import Fit, fit
from calibration.se3 import SE3, FloatArray

MIN_POSES = 4
_RECORD = (
    "5 to 10 poses of the board, 1.5 to 4 m away, left, right, near, far, turned by 30 degrees to either side and "
    "tipped, held at a corner so that its edges are diagonal to the scan lines, nothing within 30 cm of it"
)


class BoardPose(NamedTuple):
    """One pose of the board. cam_SE3_board: as the camera sees it. xyz: (N, 3) the sweep, lidar frame. ring: (N,)."""

    name: str
    cam_SE3_board: SE3  # noqa: N815 - destination first
    xyz: FloatArray
    ring: npt.NDArray[np.int64]


class HeldOut(NamedTuple):
    """What the other poses say of one: mean distance of its points to the camera's plane, metres, and between normals.

    moved_m, moved_deg: by how much the transform changes without it.
    """

    name: str
    plane_m: float
    normal_deg: float
    moved_m: float
    moved_deg: float


class LidarBoard(NamedTuple):
    """cam_SE3_lidar; cov: (6, 6) of a left perturbation, translation first. patches: the board in each pose.

    rough: cam_SE3_lidar from centres and normals only, where the fit began.

    range_offset_m: to be added to the LiDAR's ranges. plane_m: (N,) signed distances of board points to the camera's
    plane, pose_of: (N,) whose. normals_deg: between the LiDAR's plane and the camera's, per pose.
    floor_m: mean distance of the points to the LiDAR's own planes.
    """

    cam_SE3_lidar: SE3  # noqa: N815 - destination first
    rough: SE3
    cov: FloatArray
    range_offset_m: float
    range_offset_sd_m: float
    poses: tuple[BoardPose, ...]
    patches: tuple[Patch, ...]
    plane_m: FloatArray
    pose_of: npt.NDArray[np.int64]
    normals_deg: FloatArray
    floor_m: float
    left_out: tuple[str, ...]

    @property
    def mean_plane_m(self) -> float:
        """Mean distance of the LiDAR's board points to the camera's planes."""
        return float(np.abs(self.plane_m).mean())

    @property
    def mean_normal_deg(self) -> float:
        return float(self.normals_deg.mean())


def calibrate(poses: Sequence[BoardPose], shape: BoardShape, settings: LidarBoardSettings | None = None) -> LidarBoard:
    """Pose of the LiDAR in the camera.

    Raises:
        CannotCalibrate: too few poses, the board is not found in enough sweeps, or the poses are too much alike.
    """
    settings = settings or LidarBoardSettings()
    if len(poses) < MIN_POSES:
        raise CannotCalibrate(f"{len(poses)} poses of the board, at least {MIN_POSES} are needed", _RECORD)
    candidates = [find_patches(pose.xyz, shape, settings) for pose in poses]
    rough, chosen = _consensus(poses, candidates, shape)
    if len(chosen) < MIN_POSES:
        seen = sum(bool(c) for c in candidates)
        raise CannotCalibrate(
            f"a plane of the board's size is in {seen} of {len(poses)} sweeps, and {len(chosen)} of them agree with "
            f"the camera on where it moved; at least {MIN_POSES} must",
            _RECORD,
        )
    used = [poses[i] for i in chosen]
    patches = [candidates[i][k] for i, k in chosen.items()]
    start = rough
    for _ in range(2):  # once more with the points that the better pose finds
        patches = [_grown(pose, start, shape, settings) or p for pose, p in zip(used, patches, strict=True)]
        found, start = _solve(used, patches, start, shape, settings)
    cov = found.widened(_groups(used, patches))
    sd = np.degrees(np.sqrt(np.diag(cov)[3:6]))
    if not (sd < 2.0).all():
        raise CannotCalibrate(
            f"the rotation is known only to {', '.join(f'{s:.1f}' for s in sd)} degrees about camera x, y, z: the "
            "board was held too much alike",
            _RECORD,
        )
    left_out = tuple(pose.name for i, pose in enumerate(poses) if i not in chosen)
    return _result(found, cov, start, rough, used, patches, left_out)


def leave_one_out(found: LidarBoard, shape: BoardShape, settings: LidarBoardSettings | None = None) -> list[HeldOut]:
    """Each pose judged by the fit to all others; its points are those that the fit to all has found."""
    settings = settings or LidarBoardSettings()
    out = []
    for i, pose in enumerate(found.poses):
        others = [k for k in range(len(found.poses)) if k != i]
        of_others = [found.poses[k] for k in others], [found.patches[k] for k in others]
        fitted, cam_SE3_lidar = _solve(*of_others, found.cam_SE3_lidar, shape, settings)
        distances, normal_deg, _ = _misfit(pose, found.patches[i], cam_SE3_lidar, float(fitted.x[6]))
        moved = (cam_SE3_lidar @ found.cam_SE3_lidar.inverse()).log()
        moved_m = float(np.linalg.norm(cam_SE3_lidar.translation - found.cam_SE3_lidar.translation))
        moved_deg = float(np.degrees(np.linalg.norm(moved[3:])))
        out.append(HeldOut(pose.name, float(np.abs(distances).mean()), normal_deg, moved_m, moved_deg))
    return out


def misfit_of(found: LidarBoard, cam_SE3_lidar: SE3) -> tuple[float, float]:
    """Mean distance to the camera's planes, metres, and between normals, degrees, with another transform."""
    each = [_misfit(pose, patch, cam_SE3_lidar, 0.0) for pose, patch in zip(found.poses, found.patches, strict=True)]
    return float(np.abs(np.concatenate([d for d, _, _ in each])).mean()), float(np.mean([n for _, n, _ in each]))


def _consensus(
    poses: Sequence[BoardPose], candidates: Sequence[Sequence[Patch]], shape: BoardShape
) -> tuple[SE3, dict[int, int]]:
    """The transform that most poses agree with, and by pose the candidate that is the board."""
    plate = np.array([[*shape.centre, 0.0]])
    centres = [(pose.cam_SE3_board @ plate)[0] for pose in poses]
    normals = [pose.cam_SE3_board.rotation[:, 2] for pose in poses]
    normals = [-n if n @ c > 0 else n for n, c in zip(normals, centres, strict=True)]
    best: dict[int, int] = {}
    best_cost, best_pose = np.inf, SE3.identity()
    for i, j in combinations(range(len(poses)), 2):
        for a in range(len(candidates[i])):
            for b in range(len(candidates[j])):
                p, q = candidates[i][a], candidates[j][b]
                apart = np.linalg.norm(centres[i] - centres[j]) - np.linalg.norm(p.centre - q.centre)
                if abs(apart) > 0.15:
                    continue
                guess = _kabsch([p, q], [centres[i], centres[j]], [normals[i], normals[j]])
                agree: dict[int, int] = {}
                cost = 0.0
                for n, patches in enumerate(candidates):
                    costs = [
                        float(np.linalg.norm((guess @ c.centre[None])[0] - centres[n]))
                        + 0.5 * float(np.arccos(np.clip(guess.rotate(c.normal) @ normals[n], -1, 1)))
                        for c in patches
                    ]
                    if costs and min(costs) < 0.25:
                        agree[n] = int(np.argmin(costs))
                    cost += min([*costs, 0.25])
                if cost < best_cost:
                    best, best_cost, best_pose = agree, cost, guess
    if len(best) >= 3:
        chosen = [candidates[n][k] for n, k in best.items()]
        best_pose = _kabsch(chosen, [centres[n] for n in best], [normals[n] for n in best])
    return best_pose, best


def _kabsch(patches: Sequence[Patch], centres: Sequence[FloatArray], normals: Sequence[FloatArray]) -> SE3:
    """``cam_SE3_lidar`` from pairs of centres and of normals (a metre of distance counts as much as a radian)."""
    from_ = np.array([p.centre for p in patches])
    to = np.array(centres)
    spread_from, spread_to = from_ - from_.mean(axis=0), to - to.mean(axis=0)
    source = np.concatenate([spread_from, [p.normal for p in patches]])
    target = np.concatenate([spread_to, normals])
    u, _, vt = np.linalg.svd(target.T @ source)
    rotation = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    return SE3(rotation, to.mean(axis=0) - rotation @ from_.mean(axis=0))


def _grown(pose: BoardPose, cam_SE3_lidar: SE3, shape: BoardShape, settings: LidarBoardSettings) -> Patch | None:
    """The points that lie on the plate as the camera sees it, or a little beyond its border."""
    board_SE3_lidar = pose.cam_SE3_board.inverse() @ cam_SE3_lidar
    on_board = board_SE3_lidar @ pose.xyz
    index = np.flatnonzero((np.abs(on_board[:, 2]) < 1.5 * settings.plane_m) & (shape.outside(on_board) < 0.04))
    if len(index) < settings.min_points:
        return None
    centre, normal = plane_of(pose.xyz[index], settings.plane_m)
    keep = index[np.abs((pose.xyz[index] - centre) @ normal) < settings.plane_m]
    return Patch(keep, centre, -normal if normal @ centre > 0 else normal)


def _ends(pose: BoardPose, patch: Patch) -> npt.NDArray[np.int64]:
    """Points at the two ends of each scan line on the board."""
    ends: list[int] = []
    xyz, ring = pose.xyz[patch.rows], pose.ring[patch.rows]
    for number in np.unique(ring):
        on_line = np.flatnonzero(ring == number)
        if len(on_line) >= 5:
            along = np.linalg.svd(xyz[on_line] - xyz[on_line].mean(axis=0), full_matrices=False)[2][0]
            order = np.argsort(xyz[on_line] @ along)
            ends += [int(on_line[order[0]]), int(on_line[order[-1]])]
    return patch.rows[np.array(ends, dtype=np.int64)]


def _solve(
    poses: Sequence[BoardPose],
    patches: Sequence[Patch],
    start: SE3,
    shape: BoardShape,
    settings: LidarBoardSettings,
) -> tuple[Fit, SE3]:
    """x: left perturbation of ``cam_SE3_lidar`` (6), range offset, metres."""
    ends = [_ends(pose, patch) for pose, patch in zip(poses, patches, strict=True)]

    def residuals(x: FloatArray) -> FloatArray:
        cam_SE3_lidar = SE3.exp(x[:6]) @ start
        out = []
        for pose, patch, end in zip(poses, patches, ends, strict=True):
            board_SE3_lidar = pose.cam_SE3_board.inverse() @ cam_SE3_lidar
            out.append((board_SE3_lidar @ _longer(pose.xyz[patch.rows], x[6]))[:, 2] / settings.noise_m)
            out.append(shape.outside(board_SE3_lidar @ _longer(pose.xyz[end], x[6])) / settings.border_m)
        out.append(x[6:] / 0.03)  # a LiDAR is not off by more
        return np.concatenate(out)

    found = fit(residuals, np.zeros(7), 2.0)
    return found, SE3.exp(found.x[:6]) @ start


def _longer(xyz: FloatArray, metres: float) -> FloatArray:
    return np.asarray(xyz * (1.0 + metres / np.linalg.norm(xyz, axis=1, keepdims=True)))


def _groups(poses: Sequence[BoardPose], patches: Sequence[Patch]) -> npt.NDArray[np.int64]:
    """Which pose each residual of `_solve` belongs to; the last is the prior."""
    counts = [len(p.rows) + len(_ends(pose, p)) for pose, p in zip(poses, patches, strict=True)]
    return np.append(np.repeat(np.arange(len(poses)), counts), 0)


def _misfit(
    pose: BoardPose, patch: Patch, cam_SE3_lidar: SE3, range_offset_m: float
) -> tuple[FloatArray, float, FloatArray]:
    """Signed distances to the camera's plane, angle of the normals, degrees, distances to the LiDAR's own plane."""
    xyz = _longer(pose.xyz[patch.rows], range_offset_m)
    centre = xyz.mean(axis=0)
    normal = np.linalg.svd(xyz - centre, full_matrices=False)[2][2]
    cosine = abs(float(cam_SE3_lidar.rotate(normal) @ pose.cam_SE3_board.rotation[:, 2]))
    to_camera = ((pose.cam_SE3_board.inverse() @ cam_SE3_lidar) @ xyz)[:, 2]
    return to_camera, float(np.degrees(np.arccos(min(cosine, 1.0)))), np.abs((xyz - centre) @ normal)


def _result(
    found: Fit,
    cov: FloatArray,
    cam_SE3_lidar: SE3,
    rough: SE3,
    poses: Sequence[BoardPose],
    patches: Sequence[Patch],
    left_out: tuple[str, ...],
) -> LidarBoard:
    offset = float(found.x[6])
    each = [_misfit(pose, patch, cam_SE3_lidar, offset) for pose, patch in zip(poses, patches, strict=True)]
    return LidarBoard(
        cam_SE3_lidar=cam_SE3_lidar,
        rough=rough,
        cov=cov[:6, :6],
        range_offset_m=offset,
        range_offset_sd_m=float(np.sqrt(cov[6, 6])),
        poses=tuple(poses),
        patches=tuple(patches),
        plane_m=np.concatenate([distances for distances, _, _ in each]),
        pose_of=np.repeat(np.arange(len(poses)), [len(distances) for distances, _, _ in each]),
        normals_deg=np.array([normal_deg for _, normal_deg, _ in each]),
        floor_m=float(np.concatenate([floor for _, _, floor in each]).mean()),
        left_out=left_out,
    )
