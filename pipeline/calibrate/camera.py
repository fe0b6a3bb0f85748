"""`syncline calibrate camera`: intrinsics from a folder of pictures of a board."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from calibration.cannot import CannotCalibrate
from calibration.formats.camera_file import CameraFile
from calibration.intrinsics.board import Board, View
from calibration.intrinsics.bundle import Intrinsics, ModelName, calibrate, refit_poses
from calibration.least_squares import rms
from calibration.se3 import FloatArray
from pipeline.calibrate.page import Outcome, Picture, Section, Table, Tile
from pipeline.core.errors import BadInput
from pipeline.evaluate import style
from pipeline.evaluate.style import COLOUR, plot

MAX_PICTURES = 500
_ARROW = 60.0  # residuals are drawn so many times longer
_GRID = (8, 5)

Pictures = dict[str, npt.NDArray[np.uint8]]


def read_pictures(paths: Iterable[Path]) -> Pictures:
    """(H, W, 3) uint8 BGR by file name, all of one size.

    Raises:
        BadInput: none, too many, one that is no picture, or sizes differ.
    """
    pictures: Pictures = {}
    for path in paths:
        bgr = cv2.imread(str(path))
        if bgr is None:
            raise BadInput(path, "file", "a picture", "something that OpenCV cannot read" if path.is_file() else "none")
        pictures[path.name] = np.asarray(bgr, dtype=np.uint8)
        first = next(iter(pictures.values()))
        if bgr.shape != first.shape:
            raise BadInput(path, "size", f"that of the first picture, {first.shape[1::-1]}", bgr.shape[1::-1])
        if len(pictures) > MAX_PICTURES:
            raise BadInput(path.parent, "pictures", f"at most {MAX_PICTURES}", "more")
    if not pictures:
        raise BadInput("pictures", "number", "at least one", 0)
    return pictures


def find_board(pictures: Pictures, board: Board, done: Callable[[], None]) -> list[View]:
    """The board in each picture that shows it; ``done`` is called after each."""
    views = []
    for name, bgr in pictures.items():
        view = board.find(name, np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), dtype=np.uint8))
        views += [view] if view is not None else []
        done()
    if not views:
        raise CannotCalibrate(
            f"the board was found in none of {len(pictures)} pictures: {board}",
            "pictures of this very board, or give its true number of inner corners; whole, flat, evenly lit, in focus",
        )
    return views


def camera(
    pictures: Pictures, board: Board, model: ModelName, reference: CameraFile | None, done: Callable[[], None]
) -> tuple[Intrinsics, Outcome]:
    """Calibrate, and say it as a page; ``reference``: known intrinsics to be held against."""
    height, width = next(iter(pictures.values())).shape[:2]
    if reference is not None and (reference.width, reference.height) != (width, height):
        raise BadInput(
            "reference", "size", f"that of the pictures, {width} x {height}", f"{reference.width} x {reference.height}"
        )
    views = find_board(pictures, board, done)
    found = calibrate(views, width, height, model)
    return found, _outcome(found, pictures, board, reference)


def _outcome(found: Intrinsics, pictures: Pictures, board: Board, reference: CameraFile | None) -> Outcome:
    height, width = next(iter(pictures.values())).shape[:2]
    shown = [view.name for view in found.views]
    missed = [name for name in pictures if name not in shown and name not in found.left_out]
    covered = _coverage(found.views, width, height)
    tiles = [
        Tile("rms", f"{found.rms:.3f}", "px", f"{len(found.residuals)} corners in {len(found.views)} views"),
        Tile("focal length", f"{found.camera.fx:.1f}", "px", f"sd {found.sd['fx']:.2f}; y {found.camera.fy:.1f}"),
        Tile("principal point", f"{found.camera.cx:.1f}, {found.camera.cy:.1f}", "px", f"sd {found.sd['cx']:.2f}"),
        Tile("image covered", f"{covered.mean():.0%}", "", "cells of the image in which corners were seen"),
    ]
    values = {
        "rms_px": found.rms,
        "views": len(found.views),
        "parameters": {name: getattr(found.camera, name) for name in found.names},
        "sd": found.sd,
        "rms_per_view_px": dict(zip(shown, found.rms_per_view, strict=True)),
        "left_out": list(found.left_out),
        "not_found": missed,
        "covered": float(covered.mean()),
    }
    header = ["parameter", "value", "sd"]
    rows = [[n, f"{getattr(found.camera, n):.6g}", f"{found.sd[n]:.2g}"] for n in found.names]
    notes = [f"{name}: the board was not found" for name in missed]
    notes += [f"{name}: left out, it fits no pose of the board" for name in found.left_out]
    lead = "Standard deviations from the bundle, widened to what leaving out one view after another shows."
    if reference is not None:
        at_reference = rms(refit_poses(found.views, reference.camera))
        values |= {"reference_rms_px": at_reference}
        notes.append(
            f"With the reference's parameters and poses fitted to the same corners, rms is {at_reference:.3f} px."
        )
        if type(reference.camera) is type(found.camera):
            header += ["reference", "off by, sd"]
            for row, name in zip(rows, found.names, strict=True):
                known = float(getattr(reference.camera, name))
                off = (getattr(found.camera, name) - known) / found.sd[name]
                row += [f"{known:.6g}", f"{off:+.1f}"]
    seen = found.residuals, np.concatenate([view.pixels for view in found.views])
    sections = [
        Section("Parameters", lead, [Table(header, rows)], notes=notes),
        Section(
            "Residuals",
            "Seen minus projected. A pattern in the arrows is what the model cannot express; they are drawn "
            f"{_ARROW:.0f} times longer.",
            plots=[_per_view(shown, found.rms_per_view), _arrows(*seen, width, height)],
        ),
        Section(
            "What the pictures can tell",
            "Distortion is known where corners were seen; beyond them the model extrapolates.",
            plots=[_correlation(found.names, found.cov)],
            notes=_observability(found, covered),
        ),
        Section(
            "Corners", "Found (circle) and projected (cross), worst views first.", pictures=_pictures(found, pictures)
        ),
    ]
    alerts = [] if covered.mean() > 0.4 else ["Corners were seen in less than 40 % of the image: wave the board wider."]
    under = f"{type(found.camera).__name__} · {width} x {height} · {type(board).__name__} of {board.square * 1e3:g} mm"
    return Outcome("Camera intrinsics", under, tiles, sections, values, alerts)


def _coverage(views: Sequence[View], width: int, height: int) -> npt.NDArray[np.bool_]:
    pixels = np.concatenate([view.pixels for view in views])
    counts, _, _ = np.histogram2d(pixels[:, 0], pixels[:, 1], bins=_GRID, range=((0, width), (0, height)))
    return np.asarray(counts > 0)


def _observability(found: Intrinsics, covered: npt.NDArray[np.bool_]) -> list[str]:
    notes = []
    for name, sd in found.sd.items():
        value = abs(getattr(found.camera, name))
        if name.startswith(("k", "p")) and sd > 0.5 * value:
            notes.append(f"{name} is not told apart from 0: {value:.2g} with sd {sd:.2g}.")
    columns, rows = (np.asarray(covered.any(axis=axis)) for axis in (1, 0))
    for there, side in ((columns[0], "left"), (columns[-1], "right"), (rows[0], "top"), (rows[-1], "bottom")):
        if not there:
            notes.append(f"No corner was seen near the {side} of the image.")
    axes = found.poses.rotation[:, :, 2]
    tilt = np.degrees(np.arccos(np.clip(np.abs(axes[:, 2]), 0, 1)))
    notes.append(f"The board was tilted by up to {tilt.max():.0f} degrees, by {np.median(tilt):.0f} in the median.")
    return notes


@plot
def _per_view(names: Sequence[str], errors: Sequence[float]) -> Figure:
    fig, (ax,) = style.figure(10.4, 2.2)
    ax.bar(range(len(names)), errors, width=0.6, color=COLOUR["camera-0"])
    ax.set_xticks(range(len(names)), [Path(n).stem for n in names], rotation=45, ha="right")
    ax.set_ylabel("rms, px")
    ax.grid(axis="x", visible=False)
    return fig


@plot
def _arrows(residuals: FloatArray, pixels: FloatArray, width: int, height: int) -> Figure:
    fig, (ax, scatter) = style.figure(10.4, 3.9, 1, 2, width_ratios=(2.1, 1))
    ax.quiver(
        *pixels.T, *(residuals * _ARROW).T, angles="xy", scale_units="xy", scale=1, width=0.0015, color=COLOUR["fused"]
    )
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.set_aspect("equal")
    ax.set_title("over the image, px")
    scatter.plot(*residuals.T, ".", ms=2, color=COLOUR["fused"])
    reach = 1.1 * float(np.abs(residuals).max())
    scatter.set_xlim(-reach, reach)
    scatter.set_ylim(-reach, reach)
    scatter.set_aspect("equal")
    scatter.set_title("residuals, px")
    return fig


@plot
def _correlation(names: Sequence[str], cov: FloatArray) -> Figure:
    sd = np.sqrt(np.diag(cov))
    fig, (ax, beside) = style.figure(10.4, 3.4, 1, 2)
    beside.set_axis_off()
    image = ax.imshow(cov / np.outer(sd, sd), cmap="RdBu", vmin=-1, vmax=1)
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.grid(visible=False)
    ax.set_title("correlation of the parameters")
    fig.colorbar(image, ax=ax, shrink=0.8)
    return fig


def _pictures(found: Intrinsics, pictures: Pictures, most: int = 4) -> list[Picture]:
    out = []
    for v in np.argsort(found.rms_per_view)[::-1][:most]:
        view, bgr = found.views[v], pictures[found.views[v].name].copy()
        size = max(2, bgr.shape[1] // 160)
        projected = view.pixels - found.residuals[found.view_of == v]
        for (u, w), (pu, pw) in zip(view.pixels.tolist(), projected.tolist(), strict=True):
            cv2.circle(bgr, (round(u * 8), round(w * 8)), size * 8, (60, 200, 60), 1, cv2.LINE_AA, 3)
            cross = (round(pu * 8), round(pw * 8))
            for a, b in (((-size, 0), (size, 0)), ((0, -size), (0, size))):
                ends = [(cross[0] + 6 * x, cross[1] + 6 * y) for x, y in (a, b)]
                cv2.line(bgr, ends[0], ends[1], (60, 60, 255), 1, cv2.LINE_AA, 3)
        out.append(Picture(f"{view.name}: rms {found.rms_per_view[v]:.3f} px", bgr))
    return out
