"""Intrinsics from views of a board: one robust bundle over the camera and the pose of every view.

Where to begin is found the same way for all models: each of a row of focal lengths turns the pixels into rays, a planar
pose is solved for every view, and the focal length whose poses reproject best starts the bundle (soft-L1, SciPy).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from calibration.camera import CameraModel, KannalaBrandt, Pinhole, Rational
from calibration.cannot import CannotCalibrate
from calibration.intrinsics.board import View
from calibration.least_squares import Fit, fit, rms
from calibration.se3 import SE3, FloatArray

ModelName: TypeAlias = Literal["pinhole", "rational", "kannala_brandt"]
MODELS: dict[ModelName, type[CameraModel]] = {"pinhole": Pinhole, "rational": Rational, "kannala_brandt": KannalaBrandt}

MIN_VIEWS = 4
_FOCAL_LENGTHS = np.geomspace(0.25, 4.0, 17)  # of the image width: 127 to 14 degrees across
_FAR_PX = 1e3  # residual of a point that the model does not see
_WEAKEST = 0.03  # sd of the focal length as a share of it
_FARTHEST = 0.15  # sd of the principal point as a share of the image's width


class IntrinsicsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """noise_px: a corner that is off by more than twice this loses influence.

    wrong_view_px: a view whose rms is beyond this is left out and named; its corners are those of something else.
    """

    noise_px: float = 0.25
    wrong_view_px: float = 3.0


class Intrinsics(NamedTuple):
    """What came out. camera: the model. names: of its parameters. cov: theirs (P, P), in their order.

    poses: ``cam_SE3_board``, one per view. residuals: (N, 2) pixels, seen minus projected, and view_of: (N,) whose.
    left_out: names of views that fit no pose.
    """

    camera: CameraModel
    names: tuple[str, ...]
    cov: FloatArray
    views: tuple[View, ...]
    poses: SE3
    residuals: FloatArray
    view_of: npt.NDArray[np.int64]
    left_out: tuple[str, ...]

    @property
    def sd(self) -> dict[str, float]:
        return dict(zip(self.names, np.sqrt(np.diag(self.cov)).tolist(), strict=True))

    @property
    def rms(self) -> float:
        """Pixels: of the distance between seen and projected, over all corners of all views."""
        return rms(self.residuals)

    @property
    def rms_per_view(self) -> list[float]:
        return [rms(self.residuals[self.view_of == v]) for v in range(len(self.views))]


def calibrate(
    views: Sequence[View], width: int, height: int, model: ModelName, settings: IntrinsicsSettings | None = None
) -> Intrinsics:
    """Camera model, its covariance and the poses of the board.

    Args:
        views: at least four, with the board tilted different ways.

    Raises:
        CannotCalibrate: too few views, or they do not tell focal length, principal point and distance apart.
    """
    settings = settings or IntrinsicsSettings()
    _need(len(views) >= MIN_VIEWS, f"the board was found in {len(views)} pictures, at least {MIN_VIEWS} are needed")
    camera, poses = _start(views, width, height, model)
    left_out: list[str] = []
    while True:
        result = _bundle(views, camera, poses, settings)
        errors = np.array(result.rms_per_view)
        wrong = int(errors.argmax())
        if errors[wrong] <= settings.wrong_view_px:
            break
        left_out.append(views[wrong].name)
        views = [v for i, v in enumerate(views) if i != wrong]
        what = f"after leaving out {', '.join(left_out)}, which fit no pose (rms {errors[wrong]:.1f} px),"
        _need(len(views) >= MIN_VIEWS, f"{what} {len(views)} views are left; at least {MIN_VIEWS} are needed")
        camera, poses = _start(views, width, height, model)
    sd = result.sd
    weak = max(sd["fx"] / result.camera.fx, sd["fy"] / result.camera.fy)
    _need(weak < _WEAKEST, f"the focal length is known only to {weak:.0%}: the views are too much alike")
    centre = max(sd["cx"], sd["cy"])
    _need(centre < _FARTHEST * width, f"the principal point is known only to {centre:.0f} px")
    return result._replace(left_out=tuple(left_out))


def _need(holds: bool, why: str) -> None:
    if not holds:
        raise CannotCalibrate(
            why,
            "10 to 20 pictures in which the board fills a third of the image, tilted by 20 to 45 degrees to each side, "
            "up and down, and reaches each corner of the image in some of them",
        )


def _start(views: Sequence[View], width: int, height: int, model: ModelName) -> tuple[CameraModel, SE3]:
    """The focal length that explains the views best without distortion, and their poses with it."""

    def undistorted(focal: float) -> CameraModel:
        return MODELS[model](fx=focal, fy=focal, cx=(width - 1) / 2, cy=(height - 1) / 2)

    def error(camera: CameraModel) -> float:
        """Median over views: one wrong view does not choose."""
        poses = [pose_of(view, camera) for view in views]
        each = [rms(view.pixels - _project(camera, p @ view.board)) for view, p in zip(views, poses, strict=True)]
        return float(np.median(each))

    camera = min((undistorted(float(share * width)) for share in _FOCAL_LENGTHS), key=error)
    return camera, SE3.stack([pose_of(view, camera) for view in views])


def pose_of(view: View, camera: CameraModel) -> SE3:
    """``cam_SE3_board`` of one view, a planar pose from undistorted corners (Collins and Bartoli, 2014)."""
    rays = camera.unproject(view.pixels)
    seen = np.isfinite(rays).all(axis=1) & (rays[:, 2] > 0.05)
    if seen.sum() < 4:
        return SE3(np.eye(3), np.array([0.0, 0.0, 1.0]))
    plane = np.ascontiguousarray(rays[seen, :2] / rays[seen, 2:])
    board = np.ascontiguousarray(view.board[seen])
    centre = board.mean(axis=0)
    found, turns, shifts, _ = cv2.solvePnPGeneric(board - centre, plane, np.eye(3), None, flags=cv2.SOLVEPNP_IPPE)
    if not found:
        return SE3(np.eye(3), np.array([0.0, 0.0, 1.0]))
    rotation = np.asarray(cv2.Rodrigues(turns[0])[0], dtype=np.float64)
    return SE3(rotation, shifts[0].ravel() - rotation @ centre)


def refit_poses(views: Sequence[View], camera: CameraModel, noise_px: float = 0.25) -> FloatArray:
    """Residuals (N, 2), pixels, that known intrinsics leave when only the poses of the views are fitted."""
    left = []
    for view in views:
        begin = pose_of(view, camera)

        def residuals(x: FloatArray, view: View = view, begin: SE3 = begin) -> FloatArray:
            return (_project(camera, (SE3.exp(x) @ begin) @ view.board) - view.pixels).ravel()

        left.append(-fit(residuals, np.zeros(6), 2.0 * noise_px).residuals.reshape(-1, 2))
    return np.concatenate(left)


def _bundle(views: Sequence[View], camera: CameraModel, poses: SE3, settings: IntrinsicsSettings) -> Intrinsics:
    """All at once. x: parameters of the camera, then six of each view, a left perturbation of where it began."""
    names = tuple(camera.__struct_fields__)
    board = np.concatenate([view.board for view in views])
    seen = np.concatenate([view.pixels for view in views])
    view_of = np.repeat(np.arange(len(views)), [len(view.board) for view in views])
    P = len(names)

    def unpack(x: FloatArray) -> tuple[CameraModel, SE3]:
        model = type(camera)(**dict(zip(names, x[:P].tolist(), strict=True)))
        return model, SE3.exp(x[P:].reshape(-1, 6)) @ poses

    def residuals(x: FloatArray) -> FloatArray:
        if x[0] <= 1 or x[1] <= 1:
            return np.full(seen.size, _FAR_PX)
        model, cam_SE3_board = unpack(x)
        return np.asarray(_project(model, cam_SE3_board[view_of] @ board) - seen).ravel()

    def jacobian(x: FloatArray) -> FloatArray:
        """Views do not share poses, so that the k-th parameter of all poses is moved at once."""
        J = np.zeros((seen.size, len(x)))
        for k in range(P):
            J[:, k] = _slope(residuals, x, np.array([k]))
        rows = np.arange(seen.size)
        for k in range(6):
            every = P + k + 6 * np.arange(len(views))
            J[rows, every[np.repeat(view_of, 2)]] = _slope(residuals, x, every)
        return J

    start = np.concatenate([np.array(msgspec.structs.astuple(camera), dtype=np.float64), np.zeros(6 * len(views))])
    found: Fit = fit(residuals, start, 2.0 * settings.noise_px, jacobian)
    camera, cam_SE3_board = unpack(found.x)
    return Intrinsics(
        camera=camera,
        names=names,
        cov=found.widened(np.repeat(view_of, 2))[:P, :P],
        views=tuple(views),
        poses=cam_SE3_board,
        residuals=-found.residuals.reshape(-1, 2),
        view_of=view_of,
        left_out=(),
    )


def _slope(residuals: Callable[[FloatArray], FloatArray], x: FloatArray, at: npt.NDArray[np.int64]) -> FloatArray:
    step = 1e-6 * max(1.0, float(np.abs(x[at]).max()))
    moved = np.zeros(len(x))
    moved[at] = step
    return (residuals(x + moved) - residuals(x - moved)) / (2 * step)


def _project(camera: CameraModel, points_cam: FloatArray) -> FloatArray:
    """(N, 2) pixels; far away where the model sees nothing, so that the search turns back."""
    pixels, valid = camera.project(points_cam)
    pixels[~valid] = _FAR_PX * 10
    return pixels
