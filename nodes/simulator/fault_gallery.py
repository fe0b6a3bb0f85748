"""What faults of cameras and LiDARs do to a simulated street: `docs/images/faults.jpg`.

python -m nodes.simulator.fault_gallery docs/images/faults.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from fusion.detect.image_boxes import Image
from nodes.simulator.named import open_simulated
from nodes.simulator.weather_gallery import from_above, labelled
from nodes.sources.drive import Drive
from nodes.sources.faults.drive import FaultyDrive
from pipeline.core.messages import CameraImage, PointCloud

_DRIVE, _WHEN_NS = "simulated:cyclist_beside", 8_000_000_000
_CAMERA, _LIDAR = "camera_front", "lidar_top"
_SIZE = (320, 180)
_OF_CAMERA = ("", "dark:3", "glare:2", "dirt:2", "drops:3", "blur:3", "motion_blur:3", "fog:2")
_OF_LIDAR = ("", "beam_loss:2", "fov_cut:2", "crosstalk:3")
_COLUMNS = 4


def picture(drive: Drive, sensor: str, fault: str) -> Image:
    """(180, 320, 3) uint8, blue-green-red: what the sensor gives with this fault, or without any."""
    faulty = FaultyDrive(drive, [f"{sensor}.{fault}"] if fault else [])
    topic = f"camera/{sensor}" if sensor == _CAMERA else f"lidar/{sensor}"
    since_ns = drive.start_ns + _WHEN_NS
    payload = next(faulty.messages([topic], since_ns, since_ns + 150_000_000)).payload
    if isinstance(payload, PointCloud):
        return labelled(from_above(payload.points, drive.rig.lidars[0], _SIZE), fault or "clean")
    assert isinstance(payload, CameraImage)
    raw = payload.encoding == "bgr8"
    whole = payload.data.reshape(payload.height, payload.width, 3) if raw else cv2.imdecode(payload.data, 1)
    return labelled(cv2.resize(np.asarray(whole), _SIZE, interpolation=cv2.INTER_AREA), fault or "clean")


def main(path: Path) -> None:
    drive = open_simulated(_DRIVE)
    tiles = [picture(drive, _CAMERA, fault) for fault in _OF_CAMERA]
    tiles += [picture(drive, _LIDAR, fault) for fault in _OF_LIDAR]
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    path.write_bytes(cv2.imencode(".jpg", np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
