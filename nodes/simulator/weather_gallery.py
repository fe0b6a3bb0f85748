"""Every weather at severities 1 to 3, as three cameras see it, with the LiDAR's sweep seen from above beside them.

python -m nodes.simulator.weather_gallery docs/images

Writes weather_fog.jpg, weather_rain.jpg, weather_snow.jpg and weather_night.jpg. Severities are those of the faults of
the same name; night is dusk, a street with lamps, and one without.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from calibration.rig import CameraSensor, LidarSensor, Rig
from fusion.detect.image_boxes import Image
from nodes.simulator.instruments import Instruments
from nodes.simulator.named import placed_world
from nodes.simulator.settings import SimulationSettings
from nodes.simulator.world.environment import Light, Weather
from nodes.simulator.world.world import World
from pipeline.core.settings import load_yaml

_RIG = Path(__file__).resolve().parents[2] / "configs" / "rigs" / "demo.yaml"
_SCENARIO, _WHEN = "cyclist_beside", 8.0  # s
_CAMERAS = ("camera_front_left", "camera_front", "camera_front_right")
_SIZE = (320, 180)
_PIXELS_PER_M, _BEHIND_M = 4.0, 20.0  # of the view from above, whose x axis points right
_BRIGHT = 0.4  # intensity that is drawn white
_GREY = Light(sun_elevation=0.5, clouds=1.0)


class Row(NamedTuple):
    """label: of the row. The rest: what the world is changed to."""

    label: str
    weather: Weather
    light: Light


WEATHERS = {
    "fog": [Row(f"fog, {m} m of visibility", Weather(visibility_m=m, wetness=0.2), _GREY) for m in (150, 100, 50)],
    "rain": [
        Row(f"rain, {r} mm/h", Weather(rain_mm_h=r, wetness=w), _GREY) for r, w in ((10, 0.5), (25, 0.8), (60, 1))
    ],
    "snow": [Row(f"snow, {s:g} mm/h of water", Weather(snow_mm_h=s, wetness=0.4), _GREY) for s in (1.0, 2.5, 5.0)],
    "night": [
        Row("sun 3 degrees below", Weather(), Light(sun_elevation=math.radians(-3.0), street_lamps=True)),
        Row("night, street lamps", Weather(), Light(sun_elevation=math.radians(-20.0), street_lamps=True)),
        Row("night, no street lamps", Weather(), Light(sun_elevation=math.radians(-20.0))),
    ],
}


def picture(world: World, rig: Rig, row: Row, lidar: bool) -> Image:
    """One row: (180, 960 or 1280, 3) uint8, blue-green-red."""
    instruments = Instruments(
        dataclasses.replace(world, weather=row.weather, light=row.light), rig, SimulationSettings()
    )
    tiles = []
    for name in _CAMERAS:
        camera = rig[name]
        assert isinstance(camera, CameraSensor), f"{name} is no camera"
        seen = instruments.image(camera, _WHEN, np.random.default_rng(0))
        image = np.asarray(cv2.imdecode(seen.data, cv2.IMREAD_COLOR), np.uint8)
        tiles.append(cv2.resize(image, _SIZE, interpolation=cv2.INTER_AREA))
    if lidar:
        sweep = instruments.sweep(rig.lidars[0], _WHEN, np.random.default_rng(0))
        tiles.append(from_above(sweep.points, rig.lidars[0], _SIZE))
    return labelled(np.hstack(tiles), row.label)


def labelled(picture: np.ndarray, label: str) -> Image:
    """The picture with a label in its upper left corner, written into it."""
    for shift, colour in ((1, (0, 0, 0)), (0, (255, 255, 255))):
        cv2.putText(picture, label, (8 + shift, 18 + shift), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return np.asarray(picture, np.uint8)


def from_above(points: np.ndarray, lidar: LidarSensor, size: tuple[int, int]) -> Image:
    """(h, w, 3) uint8 of ``size``: a sweep's returns, brighter by intensity; those above the road in yellow."""
    xyz = lidar.ego_SE3_sensor @ np.stack([points[axis] for axis in ("x", "y", "z")], axis=1).astype(np.float64)
    width, height = size
    u = np.rint((xyz[:, 0] + _BEHIND_M) * _PIXELS_PER_M).astype(int)
    v = np.rint(0.5 * height - xyz[:, 1] * _PIXELS_PER_M).astype(int)
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    grey = np.clip(90.0 + 165.0 * points["intensity"] / _BRIGHT, 0.0, 255.0)
    colour = grey[:, None] * np.where(xyz[:, 2:] > 0.3, [0.35, 0.9, 1.0], [1.0, 0.8, 0.5])
    out = np.full((height, width, 3), 12, np.uint8)
    out[v[inside], u[inside]] = colour[inside]
    return out


def main(folder: Path) -> None:
    world, rig = placed_world(_SCENARIO, None), load_yaml(_RIG, Rig)
    clear = Row("clear", Weather(), _GREY)
    for name, rows in WEATHERS.items():
        lidar = name != "night"
        strips = [picture(world, rig, row, lidar) for row in ([clear, *rows] if lidar else rows)]
        data = cv2.imencode(".jpg", np.vstack(strips), [cv2.IMWRITE_JPEG_QUALITY, 82])[1]
        (folder / f"weather_{name}.jpg").write_bytes(data.tobytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
