"""PandaSet's official layout -> the layout that `PandaSetDrive` reads. The only program here that opens pickles.

    python -m nodes.sources.pandaset_convert pandaset/002 converted/002 --i-trust-these-pickles

A pickle runs whatever its author wanted while it is being opened. The official files are pandas data frames in pickles
(lidar/NN.pkl.gz, annotations/cuboids/NN.pkl.gz): convert those that you got from the dataset's makers, and no others.
What is written (.npz, .csv, .json, .jpg) can be opened by anyone. Needs pandas, which nothing else here does.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.bounded import read_json
from pipeline.core.errors import BadInput

_LIDAR_COLUMNS = ("x", "y", "z", "i", "t", "d")
_CUBOID_COLUMNS = (
    *("uuid", "label", "yaw", "stationary", "camera_used"),
    *("position.x", "position.y", "position.z", "dimensions.x", "dimensions.y", "dimensions.z"),
    *("cuboids.sibling_id", "cuboids.sensor_id"),
)


def convert_sequence(source: Path, target: Path, *, trusted: bool) -> int:
    """Convert one sequence.

    Args:
        source: the official folder, with lidar/, camera/ and, where there are labels, annotations/cuboids/.
        target: a folder that does not exist yet.
        trusted: the user's word that these pickles come from where they should.

    Returns:
        The number of LiDAR frames.

    Raises:
        PermissionError: not ``trusted``.
        ModuleNotFoundError: pandas is not installed.
        BadInput: no such sequence, a frame without the columns it needs, or ``target`` exists.
    """
    if not trusted:
        raise PermissionError("opening a pickle runs code of its author: say --i-trust-these-pickles if you do")
    if target.exists():
        raise BadInput(target, "target", "a folder that does not exist yet", "it exists")
    frames = sorted([*source.glob("lidar/*.pkl.gz"), *source.glob("lidar/*.pkl")])
    if not frames:
        raise BadInput(source / "lidar", "frames", "NN.pkl.gz", "none")
    seconds = read_json(source / "lidar/timestamps.json", list[float])
    if len(seconds) < len(frames):
        raise BadInput(source / "lidar/timestamps.json", "length", f"at least {len(frames)}", len(seconds))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as unfinished:
        _write_sequence(source, frames, seconds, Path(unfinished) / target.name)
        (Path(unfinished) / target.name).rename(target)
    return len(frames)


def _write_sequence(source: Path, frames: list[Path], seconds: list[float], target: Path) -> None:
    (target / "lidar").mkdir(parents=True)
    for path in frames:
        number = _number(path)
        if number >= len(seconds):
            raise BadInput(path, "frame number", f"below {len(seconds)}", number)
        _write_sweep(target / f"lidar/{number:02d}.npz", _read_frame(path, _LIDAR_COLUMNS), seconds[number])
    for path in sorted(source.glob("lidar/*.json")):
        shutil.copyfile(path, target / "lidar" / path.name)
    for path in sorted(source.glob("annotations/cuboids/*.pkl*")):
        (target / "cuboids").mkdir(exist_ok=True)
        _read_frame(path, _CUBOID_COLUMNS).to_csv(target / f"cuboids/{_number(path):02d}.csv", index=False)
    for path in sorted(source.glob("camera/*/*")):
        if path.suffix in (".jpg", ".json"):
            (target / "camera" / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / "camera" / path.parent.name / path.name)


def _read_frame(path: Path, columns: tuple[str, ...]) -> Any:
    """A pandas data frame out of a pickle, with at least these columns."""
    import pandas

    frame = pandas.read_pickle(path)  # noqa: S301 - what this program is for; the user has vouched for the files
    missing = [name for name in columns if name not in getattr(frame, "columns", ())]
    if missing:
        raise BadInput(path, "columns", ", ".join(missing), list(getattr(frame, "columns", [])) or type(frame).__name__)
    return frame


def _write_sweep(path: Path, frame: Any, stamp_s: float) -> None:
    """x, y, z world metres; i 0..255; t UNIX seconds; d 0 = Pandar64, 1 = PandarGT."""
    offset_us = np.round((frame["t"].to_numpy(np.float64) - stamp_s) * 1e6)
    if not (np.abs(offset_us) < 10e6).all():
        raise BadInput(path, "t", "within 10 s of the frame's stamp", np.abs(offset_us).max())
    np.savez_compressed(
        path,
        xyz=np.ascontiguousarray(frame[["x", "y", "z"]].to_numpy(np.float32)),
        intensity=frame["i"].to_numpy(np.float64).clip(0, 255).astype(np.uint8),
        t_offset_us=offset_us.astype(np.int32),
        sensor=frame["d"].to_numpy(np.uint8),
    )


def _number(path: Path) -> int:
    stem = path.name.partition(".")[0]
    if not stem.isdigit():
        raise BadInput(path, "file name", "NN.pkl.gz", path.name)
    return int(stem)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a sequence in the official layout, such as pandaset/002")
    parser.add_argument("target", type=Path, help="folder to make")
    parser.add_argument("--i-trust-these-pickles", action="store_true", dest="trusted", help="see above; required")
    options = parser.parse_args(arguments)
    try:
        count = convert_sequence(options.source, options.target, trusted=options.trusted)
    except ModuleNotFoundError as error:
        print(f"{error}: install pandas for this conversion (pip install pandas)", file=sys.stderr)
        return 1
    except (PermissionError, BadInput) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{count} frames written to {options.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
