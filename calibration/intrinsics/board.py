"""The boards that cameras are calibrated with, and how their corners are found in a picture.

Board frame: origin at the first inner corner, x along a row, y along a column, z = 0, metres.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from calibration.cannot import CannotCalibrate
from calibration.se3 import FloatArray

Grey: TypeAlias = npt.NDArray[np.uint8]

_FEW = 8  # corners: a pose has six unknowns
_SLIPPED_PX = 2.0
_SUB_PIXEL = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-4)


class View(NamedTuple):
    """A board in one picture. board: (N, 3) metres, board frame. pixels: (N, 2), where its corners were seen."""

    name: str
    board: FloatArray
    pixels: FloatArray


class Chessboard(msgspec.Struct, frozen=True, tag="chessboard", forbid_unknown_fields=True, kw_only=True):
    """columns, rows: inner corners. square: edge of a square, metres."""

    columns: int
    rows: int
    square: float

    def __post_init__(self) -> None:
        _check_board(self.columns, self.rows, self.square, least=3)

    def find(self, name: str, grey: Grey) -> View | None:
        """All corners, or None.

        The sector-based detector finds more, the classic one's refinement is finer: on OpenCV's own pictures 0.18
        against 0.26 px rms. Where the two are not of one mind the refinement has slipped, and the former counts.
        """
        size = (self.columns, self.rows)
        flags = cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY | cv2.CALIB_CB_NORMALIZE_IMAGE
        by_sector, corners = cv2.findChessboardCornersSB(grey, size, flags=flags)
        if not by_sector:
            found, corners = cv2.findChessboardCorners(grey, size)
            if not found:
                return None
        window = _window(corners.reshape(self.rows, self.columns, 2))
        fine = cv2.cornerSubPix(grey, corners.copy(), window, (-1, -1), _SUB_PIXEL)
        if by_sector:
            slipped = np.linalg.norm(fine - corners, axis=-1) > _SLIPPED_PX
            fine[slipped] = corners[slipped]
        return View(name, self.corners, np.asarray(fine, dtype=np.float64).reshape(-1, 2))

    @property
    def corners(self) -> FloatArray:
        """(rows * columns, 3) metres, row by row."""
        y, x = np.mgrid[: self.rows, : self.columns]
        return np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=-1) * self.square

    @property
    def middle(self) -> tuple[float, float]:
        """Of the pattern, metres, board frame."""
        return 0.5 * (self.columns - 1) * self.square, 0.5 * (self.rows - 1) * self.square


class Charuco(msgspec.Struct, frozen=True, tag="charuco", forbid_unknown_fields=True, kw_only=True):
    """A chessboard with ArUco markers in its white squares: part of it is enough, and no turn of it is ambiguous.

    columns, rows: squares. square, marker: their edges, metres. dictionary: OpenCV's name, as ``DICT_5X5_100``.
    """

    columns: int
    rows: int
    square: float
    marker: float
    dictionary: str = "DICT_5X5_100"

    def __post_init__(self) -> None:
        _check_board(self.columns, self.rows, self.square, least=3)
        if not 0 < self.marker < self.square:
            raise ValueError(f"marker: expected above 0 and below square ({self.square}), got {self.marker}")
        if not (self.dictionary.startswith("DICT_") and hasattr(cv2.aruco, self.dictionary)):
            raise ValueError(f"dictionary: expected one of OpenCV's, as DICT_5X5_100, got {self.dictionary!r}")

    def find(self, name: str, grey: Grey) -> View | None:
        """The corners that are seen, or None for too few.

        Raises:
            CannotCalibrate: the markers are there, mirrored.
        """
        view = self._find(name, grey)
        if view is None and self._find(name, np.ascontiguousarray(grey[:, ::-1])) is not None:
            raise CannotCalibrate(
                f"{name}: the board's markers are mirrored",
                "pictures as the sensor gives them, not flipped; nor through a mirror",
            )
        return view

    @property
    def middle(self) -> tuple[float, float]:
        """Of the pattern, metres, board frame."""
        return 0.5 * self.columns * self.square, 0.5 * self.rows * self.square

    def picture(self, pixels_per_square: int) -> Grey:
        """The board as an image to print or to render: without a margin."""
        size = (self.columns * pixels_per_square, self.rows * pixels_per_square)
        return np.asarray(self._board().generateImage(size, marginSize=0), dtype=np.uint8)

    def _board(self) -> Any:
        words = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary))
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker, words)

    def _find(self, name: str, grey: Grey) -> View | None:
        board = self._board()
        pixels, ids, _, _ = cv2.aruco.CharucoDetector(board).detectBoard(grey)
        if ids is None or len(ids) < _FEW:
            return None
        corners = np.asarray(board.getChessboardCorners(), dtype=np.float64)[ids.ravel()]
        if np.linalg.matrix_rank(corners[:, :2] - corners[0, :2], tol=1e-9) < 2:
            return None  # on one line they fix no pose
        return View(name, corners, np.asarray(pixels, dtype=np.float64).reshape(-1, 2))


Board: TypeAlias = Chessboard | Charuco


def _window(grid: npt.NDArray[Any]) -> tuple[int, int]:
    """Half the size of the refinement window: less than half a square, or it sees two corners."""
    steps = np.concatenate([np.linalg.norm(np.diff(grid, axis=axis), axis=-1).ravel() for axis in (0, 1)])
    half = int(np.clip(0.4 * steps.min(), 2, 11))
    return half, half


def _check_board(columns: int, rows: int, square: float, least: int) -> None:
    if columns < least or rows < least:
        raise ValueError(f"board: expected at least {least} x {least} corners, got {columns} x {rows}")
    if not (np.isfinite(square) and square > 0):
        raise ValueError(f"square: expected metres above 0, got {square}")
