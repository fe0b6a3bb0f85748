"""The networks that `syncline export` knows: data to calibrate and to judge them on, and how well they do.

Simulated data are made once and kept. Those to calibrate on, by which layers are also chosen, and those to test on are
of other worlds than any that a network was trained on, and of other worlds than one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np

from calibration.rig import CameraSensor, LidarSensor
from fusion.detect.centre_points import CentrePoints
from fusion.detect.image_boxes import Image
from fusion.detect.onnx_detectors import OnnxSettings
from fusion.detect.pillars import PillarDetector, PillarSettings
from fusion.engines.engine import EngineSettings
from fusion.quantise.parity import Scores
from fusion.quantise.ranges import Feed
from fusion.training.camera_score import score
from fusion.training.images import read_folder as read_images
from nodes.detect_camera import decode_image
from nodes.simulator.training_images import write_images
from nodes.simulator.training_sweeps import training_world, write_sweeps
from nodes.sources.open_drive import open_drive
from pipeline.cli.score_sweeps import labelled, score_looks
from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES, CameraImage, PointCloud

Part = Literal["calibrate", "test"]
PARTS: tuple[Part, ...] = ("calibrate", "test")
Told = Callable[[int], None]

_LOW_SCORE = 0.02  # average precision looks at the whole curve
_FROM_DRIVE = 48  # frames of a recorded drive to calibrate on, spread over it


class Subject(Protocol):
    """One network. name: of its weights. metric: what `scores` says of each class. worlds: simulated, of each part."""

    name: str
    metric: str
    worlds: dict[Part, int]

    def make(self, part: Part, told: Told) -> None:
        """The simulated data of a part, unless they are there."""
        ...

    def feeds(self, path: Path, part: Part) -> list[Feed]:
        """What the network in this file is fed of a part."""
        ...

    def recorded(self, path: Path, drive: Path) -> list[Feed]:
        """The same of a recorded drive. Raises BadInput where it has nothing for this network."""
        ...

    def scores(self, path: Path, engine: EngineSettings, part: Part) -> Scores:
        """How well the network in this file does on a part, by class."""
        ...

    def data(self, part: Part) -> str:
        """What a part is, for the card."""
        ...


class Camera:
    name, metric = "camera_simulated", "AP at IoU 0.5"
    _FIRST: ClassVar[dict[Part, int]] = {"calibrate": 610_000, "test": 700_000}
    worlds: dict[Part, int] = {"calibrate": 2, "test": 4}

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, part: Part, told: Told) -> None:
        write_images(self._folder / part, self.worlds[part], self._FIRST[part], told)

    def feeds(self, path: Path, part: Part) -> list[Feed]:
        found = CentrePoints(path, OnnxSettings())
        return [{"image": found.given(image.pixels())} for image in read_images(self._folder / part)]

    def recorded(self, path: Path, drive: Path) -> list[Feed]:
        found = CentrePoints(path, OnnxSettings())
        images = [image for _, image in zip(range(_FROM_DRIVE), _images(drive), strict=False)]
        return [{"image": found.given(image)} for image in images]

    def scores(self, path: Path, engine: EngineSettings, part: Part) -> Scores:
        found = CentrePoints(path, OnnxSettings(engine=engine, min_score=_LOW_SCORE))
        said = score(found, read_images(self._folder / part))
        return {n: (int(said[f"labels {n}"]), said[f"AP {n}"]) for n in CLASSES if said[f"labels {n}"]}

    def data(self, part: Part) -> str:
        return f"{self.worlds[part]} simulated worlds from seed {self._FIRST[part]}, 64 images each"


class Lidar:
    name, metric = "lidar_simulated", "AP by centre distance to 50 m, mean over 0.5, 1, 2, 4 m"
    _FIRST: ClassVar[dict[Part, int]] = {"calibrate": 30_000, "test": 20_000}
    worlds: dict[Part, int] = {"calibrate": 2, "test": 6}
    _PER_WORLD = 12

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, part: Part, told: Told) -> None:
        first = self._FIRST[part]
        write_sweeps(
            partial(training_world, first), self._folder / part, self.worlds[part], first, told, self._PER_WORLD
        )

    def feeds(self, path: Path, part: Part) -> list[Feed]:
        """Every second with the sweep before."""
        found = PillarDetector(PillarSettings(weights=str(path)))
        looks = labelled(self._folder / part)
        return [{"occupied": found.given(o.xyz, o.earlier if k % 2 else None)} for k, o in enumerate(looks)]

    def recorded(self, path: Path, drive: Path) -> list[Feed]:
        found = PillarDetector(PillarSettings(weights=str(path)))
        return [{"occupied": found.given(xyz)} for xyz in islice(_clouds(drive), _FROM_DRIVE)]

    def scores(self, path: Path, engine: EngineSettings, part: Part) -> Scores:
        found = PillarDetector(PillarSettings(weights=str(path), engine=engine, min_score=_LOW_SCORE))
        looks = list(labelled(self._folder / part))
        said = [found(o.xyz, o.t_ns, o.origin, "lidar") for o in looks]
        result = score_looks(looks, said, (0.0, 50.0), 180.0)
        return {name: (one.truths, one.mean_ap) for name, one in result.classes.items()}

    def data(self, part: Part) -> str:
        return f"{self.worlds[part]} simulated worlds from seed {self._FIRST[part]}, {self._PER_WORLD} sweeps each"


def _images(drive: Path) -> Iterator[Image]:
    source = open_drive(drive)
    for sensor in source.rig.cameras:
        messages = [m for m in source.messages([f"camera/{sensor.name}"]) if isinstance(m.payload, CameraImage)]
        for message in _spread(messages, _FROM_DRIVE // len(source.rig.cameras)):
            assert isinstance(message.payload, CameraImage)
            assert isinstance(sensor, CameraSensor)
            yield decode_image(message.payload, sensor, message.topic)
    if not source.rig.cameras:
        raise BadInput(drive, "sensors", "a camera", "none")


def _clouds(drive: Path) -> Iterator[np.ndarray]:
    """(N, 3) float32, metres, ego frame, as measured: for ranges it does not matter that the vehicle moved."""
    source = open_drive(drive)
    for sensor in source.rig.lidars:
        messages = [m for m in source.messages([f"lidar/{sensor.name}"]) if isinstance(m.payload, PointCloud)]
        for message in _spread(messages, _FROM_DRIVE // len(source.rig.lidars)):
            assert isinstance(message.payload, PointCloud)
            assert isinstance(sensor, LidarSensor)
            yield np.asarray(sensor.ego_SE3_sensor @ message.payload.xyz, np.float32)
    if not source.rig.lidars:
        raise BadInput(drive, "sensors", "a LiDAR", "none")


def _spread(messages: Sequence, count: int) -> list:  # type: ignore[type-arg]
    return [messages[k] for k in np.unique(np.linspace(0, len(messages) - 1, count).astype(int))] if messages else []
