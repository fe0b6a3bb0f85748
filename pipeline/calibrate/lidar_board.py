"""`syncline calibrate lidar-board`: camera and LiDAR from a board that both see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from calibration.board_patches import BoardShape
from calibration.camera import CameraModel
from calibration.cannot import CannotCalibrate
from calibration.formats.camera_file import CameraFile
from calibration.intrinsics.board import Board, View
from calibration.intrinsics.bundle import pose_of
from calibration.lidar_board import MIN_POSES, BoardPose, HeldOut, LidarBoard, calibrate, leave_one_out, misfit_of
from calibration.se3 import SE3, FloatArray
from nodes.sources.pcd import read_pcd
from pipeline.calibrate.overlay import cropped, with_points
from pipeline.calibrate.page import Outcome, Picture, Section, Table, Tile
from pipeline.core.bounded import read_bytes
from pipeline.core.errors import BadInput
from pipeline.evaluate import style
from pipeline.evaluate.style import COLOUR, plot

_WEAK_DEG = 0.5


class Sweep(NamedTuple):
    """xyz: (N, 3) metres, lidar frame. ring: (N,) number of the beam."""

    xyz: FloatArray
    ring: npt.NDArray[np.int64]


def paired(pictures: Sequence[Path], sweeps: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Each picture with the sweep of its name: ``pose1.png`` with ``pose1.pcd`` or ``pose1_anything.pcd``.

    Raises:
        BadInput: a picture has no sweep, or more than one.
    """
    pairs = []
    for picture in pictures:
        of = [
            s for s in sweeps if s.stem == picture.stem or s.stem.startswith((f"{picture.stem}_", f"{picture.stem}."))
        ]
        if len(of) != 1:
            raise BadInput(picture, "sweep", f"one named {picture.stem}.pcd or {picture.stem}_….pcd", len(of))
        pairs.append((picture, of[0]))
    return pairs


def read_sweep(path: Path) -> Sweep:
    """A sweep with the beam of each point, from a .pcd file.

    Raises:
        BadInput: no such file, or one without x, y, z and ring.
    """
    points = read_pcd(read_bytes(path), path)
    names = points.dtype.names or ()
    ring = "ring" if "ring" in names else "laser"
    missing = [name for name in ("x", "y", "z", ring) if name not in names]
    if missing:
        raise BadInput(path, "FIELDS", "x, y, z and ring", ", ".join(names))
    xyz = np.stack([np.asarray(points[name], dtype=np.float64) for name in "xyz"], axis=-1)
    good = np.isfinite(xyz).all(axis=1)
    return Sweep(xyz[good], np.asarray(points[ring], dtype=np.int64)[good])


def lidar_board(
    pictures: Mapping[str, npt.NDArray[np.uint8]],
    sweeps: Mapping[str, Sweep],
    camera: CameraFile,
    board: Board,
    shape: BoardShape,
    reference: SE3 | None,
    done: Callable[[], None],
) -> tuple[LidarBoard, Outcome]:
    """Calibrate, and say it as a page. reference: a known ``cam_SE3_lidar`` to be held against it.

    Raises:
        BadInput: pictures of another size than the camera's.
        CannotCalibrate: the board is not seen often enough by both, or the poses are too much alike.
    """
    poses, views, unseen = [], {}, []
    for name, bgr in pictures.items():
        if bgr.shape[1::-1] != (camera.width, camera.height):
            raise BadInput(name, "size", f"that of the camera, {camera.width} x {camera.height}", bgr.shape[1::-1])
        view = board.find(name, np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), dtype=np.uint8))
        if view is None:
            unseen.append(name)
        else:
            views[name] = view
            poses.append(BoardPose(name, pose_of(view, camera.camera), *sweeps[name]))
        done()
    if len(poses) < MIN_POSES:
        raise CannotCalibrate(
            f"the camera sees the board in {len(poses)} of {len(pictures)} pictures, at least {MIN_POSES} are needed",
            "pictures of this very board, whole and in focus, or give its true number of inner corners",
        )
    found = calibrate(poses, shape)
    held_out = leave_one_out(found, shape)
    return found, _outcome(found, held_out, pictures, views, camera.camera, reference, unseen)


def _outcome(
    found: LidarBoard,
    held_out: Sequence[HeldOut],
    pictures: Mapping[str, npt.NDArray[np.uint8]],
    views: Mapping[str, View],
    camera: CameraModel,
    reference: SE3 | None,
    unseen: Sequence[str],
) -> Outcome:
    sd = np.sqrt(np.diag(found.cov))
    sd_mm, sd_deg = 1e3 * sd[:3], np.degrees(sd[3:])
    out_mm = 1e3 * float(np.mean([h.plane_m for h in held_out]))
    out_deg = float(np.mean([h.normal_deg for h in held_out]))
    tiles = [
        Tile("points to the board", f"{1e3 * found.mean_plane_m:.1f}", "mm", f"floor {1e3 * found.floor_m:.1f} mm"),
        Tile("normals", f"{found.mean_normal_deg:.2f}", "°", f"mean of {len(found.poses)} poses"),
        Tile("left out", f"{out_mm:.1f}", "mm", f"{out_deg:.2f}° for a pose that the fit had not seen"),
        Tile("1-sigma", f"{sd_mm.max():.0f}", "mm", f"rotation {sd_deg.max():.2f}°, worst axis"),
    ]
    x, y, z = found.cam_SE3_lidar.translation
    values = {
        "cam_SE3_lidar": found.cam_SE3_lidar.matrix.tolist(),
        "covariance": found.cov.tolist(),
        "plane_mm": 1e3 * found.mean_plane_m,
        "normals_deg": found.mean_normal_deg,
        "floor_mm": 1e3 * found.floor_m,
        "range_offset_mm": 1e3 * found.range_offset_m,
        "leave_one_out": {"plane_mm": out_mm, "normals_deg": out_deg, "poses": [h._asdict() for h in held_out]},
        "left_out": list(found.left_out),
        "not_found": list(unseen),
    }
    rows = [
        [axis, f"{1e3 * metres:+.1f} ± {s:.1f} mm", f"{turn:+.3f} ± {d:.3f}°"]
        for axis, metres, s, turn, d in zip(
            ("x, right", "y, down", "z, ahead"),
            (x, y, z),
            sd_mm,
            np.degrees(found.cam_SE3_lidar.rotation_vector),
            sd_deg,
            strict=True,
        )
    ]
    notes = [
        f"Ranges are {1e3 * found.range_offset_m:+.1f} ± {1e3 * found.range_offset_sd_m:.1f} mm to be added to.",
        *(f"{name}: the camera does not see the board" for name in unseen),
        *(f"{name}: left out, no plane of the LiDAR agrees with the camera there" for name in found.left_out),
    ]
    if reference is not None:
        plane_m, normal_deg = misfit_of(found, reference)
        apart = (found.cam_SE3_lidar @ reference.inverse()).log()
        shift = 1e3 * float(np.linalg.norm(found.cam_SE3_lidar.translation - reference.translation))
        turn = float(np.degrees(np.linalg.norm(apart[3:])))
        notes.append(
            f"The reference leaves {1e3 * plane_m:.1f} mm and {normal_deg:.2f}° on the same points; "
            f"it is {shift:.0f} mm and {turn:.2f}° from here."
        )
        values["reference"] = {
            "plane_mm": 1e3 * plane_m, "normals_deg": normal_deg, "apart_mm": shift, "apart_deg": turn
        }  # fmt: skip
    each = [
        [
            pose.name,
            f"{1e3 * np.abs(found.plane_m[found.pose_of == i]).mean():.1f}",
            f"{found.normals_deg[i]:.2f}",
            f"{1e3 * h.plane_m:.1f}",
            f"{h.normal_deg:.2f}",
            f"{1e3 * h.moved_m:.0f} mm, {h.moved_deg:.2f}°",
        ]
        for i, (pose, h) in enumerate(zip(found.poses, held_out, strict=True))
    ]
    header = ["pose", "points, mm", "normals, °", "left out: points, mm", "normals, °", "transform moves by"]
    sections = [
        Section(
            "LiDAR in the camera",
            "Camera axes. Standard deviations are widened to what leaving out one pose after another shows.",
            [Table(["axis", "place", "rotation vector"], rows)],
            notes=notes,
        ),
        Section(
            "Poses, and each judged by the others",
            "Distance of the LiDAR's board points to the plane that the camera sees, and the angle of normals; "
            "then the same for a pose that had no part in the fit.",
            [Table(header, each)],
            [_residuals(found)],
        ),
        Section("What this can tell", "", notes=_observability(found, sd_mm, sd_deg)),
        Section(
            "On the pictures",
            "The LiDAR's points, red near and blue far. First as it began, from centres and normals of the board; "
            "then as found. The board's points must end at its border.",
            pictures=_pictures(found, pictures, views, camera),
        ),
    ]
    weak = [f"{s:.1f}° about {axis}" for s, axis in zip(sd_deg, "xyz", strict=True) if s > _WEAK_DEG]
    alerts = [f"The rotation is weakly known: {', '.join(weak)} (1-sigma). Record more poses."] if weak else []
    under = f"{len(found.poses)} poses · {len(found.plane_m)} points of the board"
    return Outcome("Camera and LiDAR from a board", under, tiles, sections, values, alerts)


def _observability(found: LidarBoard, sd_mm: FloatArray, sd_deg: FloatArray) -> list[str]:
    values, vectors = np.linalg.eigh(found.cov[:3, :3])
    weakest = vectors[:, 2]
    along = ", ".join(f"{v:+.2f}" for v in weakest)
    normals = np.array([pose.cam_SE3_board.rotation[:, 2] for pose in found.poses])
    spread = np.linalg.svd(normals, compute_uv=False)
    places = np.array([pose.cam_SE3_board.translation for pose in found.poses])
    far = np.linalg.norm(places, axis=1)
    return [
        f"Weakest in place along ({along}) of the camera: {1e3 * np.sqrt(values[2]):.0f} mm.",
        f"Weakest in turning about camera {'xyz'[int(sd_deg.argmax())]}: {sd_deg.max():.2f}°.",
        f"The board's normals span {spread[2] / spread[0]:.2f} of what three square directions would (0: one plane).",
        f"The board was held {far.min():.1f} to {far.max():.1f} m away.",
        "Nothing of the moment at which either sensor measures: the board stood still.",
    ]


@plot
def _residuals(found: LidarBoard) -> Figure:
    fig, (ax,) = style.figure(10.4, 2.6)
    for i, pose in enumerate(found.poses):
        mm = 1e3 * found.plane_m[found.pose_of == i]
        spread = np.random.default_rng(i).uniform(-0.3, 0.3, len(mm))
        ax.plot(i + spread, mm, ".", ms=2, alpha=0.5, color=COLOUR["lidar-0"])
        ax.plot([i - 0.35, i + 0.35], [mm.mean()] * 2, color=COLOUR["fused"], lw=2, label=pose.name)
    ax.set_xticks(range(len(found.poses)), [pose.name for pose in found.poses])
    ax.axhline(0, color=COLOUR["muted"], lw=0.8)
    ax.set_ylabel("to the camera's plane, mm")
    ax.grid(axis="x", visible=False)
    return fig


def _pictures(
    found: LidarBoard,
    pictures: Mapping[str, npt.NDArray[np.uint8]],
    views: Mapping[str, View],
    camera: CameraModel,
    most: int = 3,
) -> list[Picture]:
    out = []
    for pose in found.poses[:most]:
        for what, transform in (("before", found.rough), ("found", found.cam_SE3_lidar)):
            drawn = with_points(pictures[pose.name], camera, transform @ pose.xyz, size=2)
            out.append(Picture(f"{pose.name}, {what}", cropped(drawn, views[pose.name].pixels, 0.9)))
    return out
