"""Images to train on: boxes that enclose what was drawn, variants that differ, the same bytes for the same world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Extrinsic
from fusion.training.images import CONDITIONS, read_folder, write_part
from nodes.simulator.sensors.camera import CameraRenderer
from nodes.simulator.training_images import labelled_image, world_images
from nodes.simulator.training_worlds import drawn_camera, variant
from nodes.simulator.world.environment import Weather
from nodes.simulator.world.world import World
from pipeline.core.messages import CLASSES
from tests.simulated import actor, straight, street_world

AHEAD = CameraSensor(
    name="front",
    extrinsic=Extrinsic(translation=(1.5, 0.0, 1.5), rotation_wxyz=(0.5, -0.5, 0.5, -0.5)),
    width=320,
    height=180,
    intrinsics=Pinhole(fx=190.0, fy=190.0, cx=159.5, cy=89.5),
)


def long_street() -> World:
    """As long as random worlds are, with somebody else at a wheel."""
    others = [actor(k, "sedan", straight((15.0 + 14.0 * k, -2.0), 0.0, 8.0, 20.0)) for k in range(1, 5)]
    world = street_world(actors=tuple(others), seed=3)
    return World(world.name, world.seed, 20.0, straight((0.0, -2.0), 0.0, 8.0, 20.0), world.actors, world.static)


def test_a_box_encloses_what_was_drawn_of_its_object() -> None:
    world = street_world()
    renderer = CameraRenderer(world, AHEAD)
    image = labelled_image(world, renderer, AHEAD, 1.0, np.random.default_rng(0))
    assert [CLASSES[c] for c in image.class_id] == ["car", "pedestrian"]
    assert image.visible[0] > 0.8
    drawn = renderer.frame(1.0).object_id
    for number, (left, top, right, bottom) in zip((1, 2), image.edges, strict=True):
        rows, columns = np.nonzero(drawn == number)
        assert left - 1 <= columns.min()
        assert top - 1 <= rows.min()
        assert columns.max() <= right + 1
        assert rows.max() <= bottom + 1
    assert image.pixels().shape == (180, 320, 3)


def test_what_stands_behind_another_or_in_fog_cannot_be_seen() -> None:
    behind = actor(2, "sedan", straight((30.0, -2.0), 0.0, 10.0))
    world = street_world(actors=(actor(1, "box_truck", straight((14.0, -2.0), 0.0, 10.0)), behind))
    image = labelled_image(world, CameraRenderer(world, AHEAD), AHEAD, 1.0, np.random.default_rng(0))
    assert image.visible.tolist() == [pytest.approx(1.0, abs=0.3), pytest.approx(0.0, abs=0.1)]
    alone = street_world(actors=(behind,))
    for metres, seen in ((400.0, True), (8.0, False)):
        foggy = World(
            alone.name, 0, alone.duration, alone.ego, alone.actors, alone.static, weather=Weather(visibility_m=metres)
        )  # fmt: skip
        image = labelled_image(foggy, CameraRenderer(foggy, AHEAD), AHEAD, 1.0, np.random.default_rng(0))
        assert (image.visible[0] > 0.25) == seen
        assert image.conditions == "fog"


def test_variants_differ_and_come_again() -> None:
    world = long_street()
    variants = [variant(world, number) for number in range(8)]
    assert len({v.light for v in variants}) == 8
    assert any(v.ego is not world.ego for v in variants)
    kinds = {a.kind for v in variants for a in v.actors}
    assert {"traffic_cone", "barrier", "motorcycle", "pedestrian"} <= kinds
    for v in variants:
        numbers = [a.object_id for a in v.actors]
        assert len(set(numbers)) == len(numbers)
    again = variant(world, 5)
    assert [(a.object_id, a.shape, a.paint) for a in again.actors] == [
        (a.object_id, a.shape, a.paint) for a in variants[5].actors
    ]


def test_cameras_are_of_many_kinds() -> None:
    cameras = [drawn_camera("c", np.random.default_rng(seed)) for seed in range(200)]
    across = np.degrees([2 * np.arctan(0.5 * c.width / c.intrinsics.fx) for c in cameras])
    assert across.min() < 45
    assert across.max() > 95
    ahead = [c.ego_SE3_sensor.rotation[0, 2] > 0.9 for c in cameras]
    assert 0.5 < np.mean(ahead) < 0.8


@pytest.mark.slow
def test_the_same_world_gives_the_same_images_and_they_keep(tmp_path: Path) -> None:
    first, again = world_images(long_street()), world_images(long_street())
    assert [i.jpeg.tobytes() for i in first] == [i.jpeg.tobytes() for i in again]
    assert {i.conditions for i in first} <= set(CONDITIONS)
    write_part(tmp_path / "0.npz", first)
    assert [i.conditions for i in read_folder(tmp_path)] == [i.conditions for i in first]
