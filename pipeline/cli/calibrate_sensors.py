"""Commands that find where sensors are: camera and LiDAR from a board, or while driving."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from calibration.board_patches import BoardShape
from calibration.cannot import CannotCalibrate
from calibration.formats.autoware import write_autoware
from calibration.formats.cam_lidar_csv import read_cam_lidar_csv
from calibration.formats.kitti import lines_of, read_kitti, transform_of, write_kitti
from calibration.formats.nuscenes import CalibratedSensor, undistorted, write_nuscenes
from calibration.formats.transform_file import (
    TransformFile,
    extrinsic,
    read_transform,
    sha256_of,
    transported,
    write_transform,
)
from calibration.lidar_camera import LidarCameraSettings
from calibration.lidar_camera_score import ScoreSettings
from calibration.radar_yaw import RadarYawSettings
from calibration.rig import CameraSensor, Extrinsic, LidarSensor, RadarSensor, Rig
from calibration.se3 import SE3
from nodes.sources.drive import Drive
from pipeline.cli.calibrate import Out, board_of, files_of, numbers_of, read_camera_file, tell
from pipeline.cli.play import AsJson
from pipeline.core.clock import SystemClock
from pipeline.core.errors import BadInput
from pipeline.core.settings import to_yaml
from pipeline.run.drives import open_named


def lidar_board(
    pictures: Annotated[Path, typer.Argument(help="Folder of pictures of the board.")],
    sweeps: Annotated[Path, typer.Argument(help="Folder of .pcd files named as the pictures.")],
    camera: Annotated[Path, typer.Option(help="Intrinsics: ROS, OpenCV, Foxglove or Kalibr.")],
    plate: Annotated[str, typer.Option(help="Width x height of the whole plate, metres.")],
    board: Annotated[str, typer.Option(help="Inner corners of the chessboard; squares of a ChArUco board.")] = "9x6",
    square: Annotated[float, typer.Option(help="Edge of a square, metres.")] = 0.025,
    marker: Annotated[float, typer.Option(help="Edge of a marker, metres: then it is a ChArUco board.")] = 0.0,
    dictionary: Annotated[str, typer.Option(help="Of a ChArUco board's markers.")] = "DICT_5X5_100",
    offset: Annotated[str, typer.Option(help="Plate's centre from the pattern's, metres, x,y.")] = "0,0",
    reference: Annotated[
        Path | None,
        typer.Option(help="Known transform: transform.yaml, KITTI's .txt, or cam_lidar_calibration's .csv."),
    ] = None,
    out: Out = Path("out/calibrate/lidar_board"),
    as_json: AsJson = False,
) -> None:
    """Camera and LiDAR from a board that both see. No first guess is needed.

    Writes transform.yaml too.

    Example: syncline calibrate lidar-board images pcd --camera camera_info.yaml --board 5x7 --square 0.095 --plate
    0.61x0.85
    """
    from pipeline.calibrate.camera import read_pictures
    from pipeline.calibrate.lidar_board import lidar_board as run
    from pipeline.calibrate.lidar_board import paired, read_sweep

    of = board_of(board, square, marker, dictionary)
    width, height = numbers_of("--plate", plate, "x")
    right, down = numbers_of("--offset", offset, ",")
    inside = of.middle
    try:
        shape = BoardShape(width=width, height=height, centre=(inside[0] + right, inside[1] + down))
    except ValueError as error:
        raise BadInput("--plate", "plate", "its width and height in metres, as 0.61x0.85", plate) from error
    pairs = paired(files_of([pictures]), sorted(sweeps.glob("*.pcd")))
    images = read_pictures(picture for picture, _ in pairs)
    points = {picture.name: read_sweep(sweep) for picture, sweep in pairs}
    known = None if reference is None else read_known(reference)
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        task = progress.add_task("looking for the board", total=len(images))
        lens = read_camera_file(camera)
        found, outcome = run(images, points, lens, of, shape, known, lambda: progress.advance(task))
    pose = extrinsic(
        found.cam_SE3_lidar,
        found.cov,
        method=f"board, {len(found.poses)} poses",
        date=today(),
        data_sha256=sha256_of(path for pair in pairs for path in pair),
    )
    out.mkdir(parents=True, exist_ok=True)
    _write_transform(TransformFile(destination="camera", source="lidar", pose=pose), out)
    tell(outcome, out, as_json)


def lidar_camera(
    drive: Annotated[str, typer.Argument(help="A drive with camera and LiDAR.")],
    camera: Annotated[str, typer.Option(help="Name of the camera; the first one if not given.")] = "",
    lidar: Annotated[str, typer.Option(help="Name of the LiDAR; the first one if not given.")] = "",
    frames: Annotated[int, typer.Option(help="At most so many pictures.", min=5, max=200)] = 10,
    off_deg: Annotated[float, typer.Option(help="Turn the start by so much first, to try it.", min=0, max=10)] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the axis of --off-deg.")] = 0,
    trials: Annotated[int, typer.Option(help="So many more starts, turned, held against the rig.", min=0)] = 0,
    trial_deg: Annotated[float, typer.Option(help="By how much.", min=0, max=10)] = 1.0,
    reach_deg: Annotated[float, typer.Option(help="How far from the start is looked.", min=0.5, max=5)] = 2.0,
    out: Out = Path("out/calibrate/lidar_camera"),
    as_json: AsJson = False,
) -> None:
    """Rotation of a LiDAR in a camera, from a drive, starting at what its rig says.

    Writes transform.yaml, and rig.yaml with the camera turned; neither where it is unsure of itself: then exit code 3.

    Example: syncline calibrate lidar-camera DRIVE --camera front --lidar top
    """
    from pipeline.calibrate.lidar_camera import lidar_camera as run
    from pipeline.calibrate.lidar_camera import read_frames, turned

    opened = open_named(drive)
    of_camera = _named(opened, camera, CameraSensor)
    of_lidar = _named(opened, lidar, LidarSensor)
    known = of_camera.ego_SE3_sensor.inverse() @ of_lidar.ego_SE3_sensor
    settings = LidarCameraSettings(score=ScoreSettings(reach_deg=reach_deg))
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        task = progress.add_task("reading", total=frames + 1 + trials)
        seen = read_frames(opened, of_camera, of_lidar, frames, lambda: progress.advance(task))
        progress.update(task, description="searching")
        start = turned(known, off_deg, seed)
        found, outcome = run(seen, of_camera, known, start, trials, trial_deg, settings, lambda: progress.advance(task))
    tell(outcome, out, as_json)
    if found.doubts:
        raise CannotCalibrate(
            f"it is not sure of what it found: {'; '.join(found.doubts)} (report: {out / 'report.html'})",
            "more frames, in daylight, of a street with poles, cars and markings on both sides",
        )
    method = f"driving, edges and information, {len(seen.frames)} frames"
    given = {"method": method, "date": today(), "data_sha256": seen.data_sha256}
    pose = extrinsic(found.cam_SE3_lidar, found.cov, **given)
    _write_transform(TransformFile(destination=of_camera.name, source=of_lidar.name, pose=pose), out)
    ego_SE3_camera = of_lidar.ego_SE3_sensor @ found.cam_SE3_lidar.inverse()
    mounted = extrinsic(ego_SE3_camera, transported(ego_SE3_camera, found.cov), **given)
    _write_rig(_remounted(opened.rig, of_camera.name, mounted), out)


def radar_yaw(
    drive: Annotated[str, typer.Argument(help="A drive with radar and LiDAR.")],
    radar: Annotated[str, typer.Option(help="Name of the radar; the first one if not given.")] = "",
    lidar: Annotated[str, typer.Option(help="Name of the LiDAR; the first one if not given.")] = "",
    off_deg: Annotated[float, typer.Option(help="Turn the start by so much first, to try it.")] = 0.0,
    out: Out = Path("out/calibrate/radar_yaw"),
    as_json: AsJson = False,
) -> None:
    """Which way a radar faces: its Doppler against how the LiDAR's sweeps move.

    Writes rig.yaml with the radar turned.

    Example: syncline calibrate radar-yaw DRIVE
    """
    from pipeline.calibrate.radar_yaw import radar_yaw as run
    from pipeline.calibrate.radar_yaw import read_motions

    opened = open_named(drive)
    of_radar, of_lidar = _named(opened, radar, RadarSensor), _named(opened, lidar, LidarSensor)
    off = SE3.from_yaw(np.radians(off_deg))
    radar_SE3_lidar = off @ of_radar.ego_SE3_sensor.inverse() @ of_lidar.ego_SE3_sensor
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        task = progress.add_task("matching sweeps", total=opened.counts.get(f"lidar/{of_lidar.name}", 0))
        motions = read_motions(opened, of_radar, of_lidar, radar_SE3_lidar, lambda: progress.advance(task))
    found, outcome = run(motions, of_radar, of_lidar, off_deg, RadarYawSettings())
    tell(outcome, out, as_json)
    ego_SE3_radar = of_radar.ego_SE3_sensor @ off.inverse() @ SE3.from_yaw(-found.yaw)
    weak = np.diag([0.05, 0.05, 0.05, np.radians(2), np.radians(2), found.sd]) ** 2  # radar axes: yaw is what it saw
    given = {"method": "Doppler against LiDAR", "date": today(), "data_sha256": motions.data_sha256}
    mounted = extrinsic(ego_SE3_radar, transported(ego_SE3_radar, weak), **given)
    _write_rig(_remounted(opened.rig, of_radar.name, mounted), out)


def _write_transform(file: TransformFile, out: Path) -> None:
    """With all that is known of it as transform.yaml; the bare pose as KITTI writes it."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "transform.yaml").write_text(write_transform(file), encoding="utf-8")
    (out / "calib_velo_to_cam.txt").write_text(write_kitti(lines_of(file.dst_SE3_src)), encoding="utf-8")


def _write_rig(rig: Rig, out: Path) -> None:
    """rig.yaml with covariances; the bare poses as Autoware and nuScenes write them."""
    (out / "rig.yaml").write_text(to_yaml(rig), encoding="utf-8")
    frames = {("base_link", sensor.name): sensor.ego_SE3_sensor for sensor in rig.sensors}
    (out / "sensors_calibration.yaml").write_text(write_autoware(frames), encoding="utf-8")
    records = [
        CalibratedSensor(s.name, s.name, s.ego_SE3_sensor, s.intrinsics if isinstance(s, CameraSensor) else None)
        for s in rig.sensors
        if not isinstance(s, CameraSensor) or undistorted(s.intrinsics)
    ]
    (out / "calibrated_sensor.json").write_text(write_nuscenes(records), encoding="utf-8")


def _remounted(rig: Rig, name: str, extrinsic: Extrinsic) -> Rig:
    """The rig with one sensor's mounting changed."""
    sensors = tuple(msgspec.structs.replace(s, extrinsic=extrinsic) if s.name == name else s for s in rig.sensors)
    return msgspec.structs.replace(rig, sensors=sensors)


S = TypeVar("S", CameraSensor, LidarSensor, RadarSensor)


def _named(drive: Drive, name: str, kind: type[S]) -> S:
    """The sensor of that name, or the first of its kind for no name."""
    of_kind = [sensor for sensor in drive.rig.sensors if isinstance(sensor, kind)]
    for sensor in of_kind:
        if name in ("", sensor.name):
            return sensor
    have = ", ".join(sensor.name for sensor in of_kind) or "none"
    raise BadInput(drive.name, kind.modality, f"one of: {have}", name or "none")


def read_known(path: Path) -> SE3:
    """``cam_SE3_lidar`` of a file.

    Raises:
        BadInput: it is no transform.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".csv":
            return read_cam_lidar_csv(text)
        return transform_of(read_kitti(text)) if path.suffix == ".txt" else read_transform(text).dst_SE3_src
    except (OSError, ValueError) as error:
        expected = "a transform.yaml, KITTI's calib_velo_to_cam.txt, or the CSV of cam_lidar_calibration"
        raise BadInput(path, "file", expected, error) from error


def today() -> str:
    """UTC, as 2026-01-31."""
    return datetime.datetime.fromtimestamp(SystemClock().now_ns() // 10**9, datetime.timezone.utc).date().isoformat()
