"""`open_drive(path)`: the one way to a recorded drive, whatever its layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nodes.sources.astyx import AstyxDrive
from nodes.sources.drive import Drive
from nodes.sources.kitti_raw import KittiRawDrive
from nodes.sources.nuscenes import NuScenesDrive
from nodes.sources.nuscenes_tables import tables_folder
from nodes.sources.pandaset import PandaSetDrive
from nodes.sources.recording import RecordedDrive
from nodes.sources.ros2_bag import Ros2BagDrive
from nodes.sources.ros2_index import is_ros2
from pipeline.core.errors import BadInput


class Layout(NamedTuple):
    """A layout of recorded data: what to look for in a folder (or the folder's file), and how to open it."""

    name: str
    sign: str
    recognise: Callable[[Path], bool]
    open: Callable[[Path], Drive]


LAYOUTS = (
    Layout("ROS 2 bag", "metadata.yaml, or a file .db3 or .mcap of ROS 2", is_ros2, Ros2BagDrive),
    Layout(
        "recording of ours",
        "a file .mcap, or a folder of such",
        lambda path: path.suffix == ".mcap" or any(path.glob("*.mcap")),
        RecordedDrive,
    ),
    Layout(
        "PandaSet (.npz)",
        "lidar/poses.json and lidar/*.npz",
        lambda path: (path / "lidar/poses.json").is_file() and any((path / "lidar").glob("*.npz")),
        PandaSetDrive,
    ),
    Layout(
        "PandaSet (official pickles)",
        "lidar/*.pkl.gz",
        lambda path: any((path / "lidar").glob("*.pkl*")),
        lambda path: _refuse_pickles(path),
    ),
    Layout(
        "KITTI raw",
        "velodyne_points/ with calib_*.txt one folder up, or one <date>/<date>_drive_<n>_sync/ below",
        lambda path: bool(_kitti_drives(path)),
        lambda path: KittiRawDrive(_only(_kitti_drives(path), path)),
    ),
    Layout(
        "nuScenes",
        "v1.0-*/scene.json; for one of several scenes <folder>/<scene>",
        lambda path: tables_folder(path if path.exists() else path.parent) is not None,
        lambda path: NuScenesDrive(path) if path.exists() else NuScenesDrive(path.parent, path.name),
    ),
    Layout(
        "Astyx",
        "frames.csv and radar/",
        lambda path: (path / "frames.csv").is_file() and (path / "radar").is_dir(),
        AstyxDrive,
    ),
)
"""In the order in which they are tried."""


def open_drive(path: Path) -> Drive:
    """Open a recorded drive.

    Raises:
        BadInput: nothing there, no known layout (the message lists what was looked for), or a fault in the data.
    """
    for layout in LAYOUTS:
        if layout.recognise(path):
            return layout.open(path)
    if not path.exists():
        raise BadInput(path, "drive", "a folder or file", "nothing there")
    raise BadInput(path, "layout", f"one of: {'; '.join(f'{x.name}: {x.sign}' for x in LAYOUTS)}", _listing(path))


def _refuse_pickles(path: Path) -> Drive:
    command = f"python -m nodes.sources.pandaset_convert {path} <target> --i-trust-these-pickles"
    raise BadInput(path, "lidar", f"no pickles, which are never opened here; convert once: {command}", "pickles")


def _kitti_drives(path: Path) -> list[Path]:
    """The folder itself, or the drives in the date folders below it."""
    if (path.parent / "calib_velo_to_cam.txt").is_file() and (path / "velodyne_points").is_dir():
        return [path]
    return [drive for drive in sorted([*path.glob("*_sync"), *path.glob("*/*_sync")]) if drive.is_dir()]


def _only(drives: list[Path], path: Path) -> Path:
    if len(drives) > 1:
        raise BadInput(path, "drive", "one drive; give the path of one", ", ".join(drive.name for drive in drives))
    return drives[0]


def _listing(path: Path) -> str:
    if path.is_file():
        return f"a file {path.name}"
    names = sorted(child.name for child in path.iterdir())
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "an empty folder"
