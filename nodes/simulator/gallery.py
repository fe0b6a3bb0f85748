"""A picture of every scenario, as the front camera sees it in its weather: `docs/images/scenarios.jpg`.

python -m nodes.simulator.gallery docs/images/scenarios.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from calibration.rig import CameraSensor, Rig
from fusion.detect.image_boxes import Image
from nodes.simulator.instruments import Instruments
from nodes.simulator.named import placed_world
from nodes.simulator.scenario.load import scenario_names
from nodes.simulator.settings import SimulationSettings
from pipeline.core.settings import load_yaml

_RIG = Path(__file__).resolve().parents[2] / "configs" / "rigs" / "demo.yaml"
_CAMERA = "camera_front"
_COLUMNS = 3
_SIZE = (480, 270)
_WHEN = 0.6  # of the scenario: by then what its name promises is under way


def picture(name: str, rig: Rig) -> Image:
    """(270, 480, 3) uint8, blue-green-red, with the scenario's name on it."""
    world = placed_world(name, None)
    camera = rig[_CAMERA]
    assert isinstance(camera, CameraSensor), f"{_CAMERA} is no camera"
    seen = Instruments(world, rig, SimulationSettings()).image(camera, _WHEN * world.duration, np.random.default_rng(0))
    small = cv2.resize(np.asarray(cv2.imdecode(seen.data, cv2.IMREAD_COLOR)), _SIZE, interpolation=cv2.INTER_AREA)
    for shift, colour in ((1, (0, 0, 0)), (0, (255, 255, 255))):
        cv2.putText(small, name, (8 + shift, 20 + shift), cv2.FONT_HERSHEY_SIMPLEX, 0.55, colour, 1, cv2.LINE_AA)
    return np.asarray(small, np.uint8)


def main(path: Path) -> None:
    rig = load_yaml(_RIG, Rig)
    pictures = [picture(name, rig) for name in scenario_names()]
    pictures += [np.zeros_like(pictures[0])] * (-len(pictures) % _COLUMNS)
    rows = [np.hstack(pictures[i : i + _COLUMNS]) for i in range(0, len(pictures), _COLUMNS)]
    path.write_bytes(cv2.imencode(".jpg", np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
