"""Commands that calibrate: each ends with a number, its uncertainty and a page, or says what to record instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from calibration.camera import KannalaBrandt, Pinhole
from calibration.formats.camera_file import CameraFile
from calibration.formats.foxglove import read_foxglove, write_foxglove
from calibration.formats.kalibr import ChainCamera, read_kalibr, write_kalibr
from calibration.formats.opencv import read_opencv, write_opencv
from calibration.formats.ros import read_ros, write_ros
from calibration.intrinsics.board import Board, Charuco, Chessboard
from calibration.time_offset import TimeOffsetSettings
from pipeline.calibrate.page import Outcome, write_page
from pipeline.cli.play import AsJson
from pipeline.core.errors import BadInput

calibrate = typer.Typer(
    help="Where sensors are, how they see, when they stamp: with uncertainty and a picture.",
    no_args_is_help=True,
)

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for report.html, result.json and pictures.")]


@calibrate.command()
def camera(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures of the board, or folders of them.")],
    board: Annotated[str, typer.Option(help="Inner corners of the chessboard; squares of a ChArUco board.")] = "9x6",
    square: Annotated[float, typer.Option(help="Edge of a square, metres.")] = 0.025,
    marker: Annotated[float, typer.Option(help="Edge of a marker, metres: then it is a ChArUco board.")] = 0.0,
    dictionary: Annotated[str, typer.Option(help="Of a ChArUco board's markers.")] = "DICT_5X5_100",
    model: Annotated[Literal["pinhole", "rational", "kannala_brandt"], typer.Option(help="Of the lens.")] = "pinhole",
    reference: Annotated[Path | None, typer.Option(help="Known intrinsics to hold it against.")] = None,
    out: Out = Path("out/calibrate/camera"),
    as_json: AsJson = False,
) -> None:
    """Intrinsics of a camera from pictures of a chessboard or a ChArUco board.

    Writes camera.yaml (OpenCV), camera_info.yaml (ROS), camera.json (Foxglove) and camchain.yaml (Kalibr) too.

    Example: syncline calibrate camera pictures/left*.jpg --board 9x6 --square 0.025
    """
    from pipeline.calibrate.camera import camera as run
    from pipeline.calibrate.camera import read_pictures

    of = board_of(board, square, marker, dictionary)
    known = None if reference is None else read_camera_file(reference)
    images = read_pictures(files_of(pictures))
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        task = progress.add_task("looking for the board", total=len(images))
        found, outcome = run(images, of, model, known, lambda: progress.advance(task))
    height, width = next(iter(images.values())).shape[:2]
    write_camera_files(CameraFile("camera", width, height, found.camera), out)
    tell(outcome, out, as_json)


@calibrate.command()
def time(
    drive: Annotated[str, typer.Argument(help="A drive, or a segment of comma2k19.")],
    first: Annotated[str, typer.Argument(help="Signal whose clock counts, as imu:turning.")],
    second: Annotated[str, typer.Argument(help="Signal whose stamps are to be corrected, as pose:turning.")],
    window: Annotated[float, typer.Option(help="Seconds of a window.", min=1)] = TimeOffsetSettings().window_s,
    max_lag: Annotated[float, typer.Option(help="Largest offset looked for, seconds.", min=0.01)] = 0.5,
    max_spread_ms: Annotated[float, typer.Option(help="Windows that spread wider do not agree.", min=0.1)] = 20.0,
    out: Out = Path("out/calibrate/time"),
    as_json: AsJson = False,
) -> None:
    """Offset of two sensors' stamps, from turning or speed that both felt.

    Example: syncline calibrate time DRIVES/comma2k19 imu:turning pose:turning
    """
    from pipeline.calibrate.signals import read_signals
    from pipeline.calibrate.time import time as run

    signals = read_signals(drive)
    for name in (first, second):
        if name not in signals:
            raise BadInput(drive, "signal", f"one of {', '.join(sorted(signals)) or 'none at all'}", name)
    if first.rpartition(":")[2] != second.rpartition(":")[2]:
        raise BadInput("signals", "quantity", "twice turning or twice speed", f"{first} and {second}")
    settings = TimeOffsetSettings(
        window_s=window, stride_s=window / 3, max_lag_s=max_lag, max_spread_s=max_spread_ms * 1e-3
    )
    tell(run(signals[first], signals[second], settings), out, as_json)


def read_camera_file(path: Path) -> CameraFile:
    """Intrinsics as ROS, OpenCV, Foxglove (JSON) or Kalibr (the first of its chain) write them.

    Raises:
        BadInput: it is none of these, or what it holds is no camera.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if "opencv-matrix" in text or text.startswith("%YAML"):
            return read_opencv(text)
        if text.lstrip().startswith("{"):
            return read_foxglove(text)
        return read_kalibr(text)[0].file if "cam0:" in text else read_ros(text)
    except (OSError, ValueError) as error:
        raise BadInput(path, "file", "intrinsics as ROS, OpenCV, Foxglove or Kalibr write them", error) from error


def write_camera_files(of: CameraFile, out: Path) -> None:
    """The same intrinsics as OpenCV, ROS, Foxglove and, where it has a name for the lens, Kalibr write them."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "camera.yaml").write_text(write_opencv(of), encoding="utf-8")
    (out / "camera_info.yaml").write_text(write_ros(of), encoding="utf-8")
    (out / "camera.json").write_text(write_foxglove(of), encoding="utf-8")
    if isinstance(of.camera, KannalaBrandt) or (isinstance(of.camera, Pinhole) and not of.camera.k3):
        (out / "camchain.yaml").write_text(write_kalibr([ChainCamera(of, None, None, 0.0)]), encoding="utf-8")


def board_of(size: str, square: float, marker: float, dictionary: str) -> Board:
    """The board that the options name.

    Raises:
        BadInput: none that can be found.
    """
    numbers = re.fullmatch(r"(\d{1,3})x(\d{1,3})", size)
    if numbers is None:
        raise BadInput("--board", "size", "columns x rows, as 9x6", size)
    columns, rows = int(numbers[1]), int(numbers[2])
    try:
        if marker:
            return Charuco(columns=columns, rows=rows, square=square, marker=marker, dictionary=dictionary)
        return Chessboard(columns=columns, rows=rows, square=square)
    except ValueError as error:
        raise BadInput("--board", "board", "a board that can be found", error) from error


def numbers_of(option: str, text: str, between: str) -> tuple[float, float]:
    """Two numbers of an option, as 0.6x0.8.

    Raises:
        BadInput: something else.
    """
    try:
        first, second = (float(part) for part in text.split(between))
    except ValueError as error:
        raise BadInput(option, "value", f"two numbers with {between!r} between", text) from error
    return first, second


def files_of(paths: list[Path]) -> list[Path]:
    """Pictures: those named, and all of the folders named."""
    kinds = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
    return [
        file
        for path in paths
        for file in (sorted(f for f in path.iterdir() if f.suffix.lower() in kinds) if path.is_dir() else [path])
    ]


def tell(outcome: Outcome, out: Path, as_json: bool) -> None:
    """Write the page; print the numbers, or the values as JSON."""
    page = write_page(outcome, out)
    if as_json:
        print((out / "result.json").read_text(encoding="utf-8"))
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for tile in outcome.tiles:
        table.add_row(tile.what, f"{tile.value} {tile.unit}".strip(), f"[dim]{tile.note}[/dim]")
    console = Console()
    console.print(table)
    for alert in outcome.alerts:
        console.print(f"[yellow]{alert}[/yellow]")
    console.print(f"report   {page}")
