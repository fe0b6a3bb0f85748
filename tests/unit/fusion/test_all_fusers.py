"""What holds for every fuser that `configs/graphs` offers: any sensors, coming and going, and whatever they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from calibration.rig import Rig
from fusion.fuser import Fuser
from pipeline.core.messages import CLASSES, Detections, FrameSet, Message, Scene, Stamp
from pipeline.core.wire import encode_bytes
from pipeline.graph import Graph, load_graph
from tests.scenes import PERIOD_NS, Sensor, Thing, detections, drive, frame_set, slot

GRAPHS = [load_graph(path) for path in sorted((Path(__file__).parents[3] / "configs" / "graphs").glob("*.yaml"))]
CARS = [Thing((20.0, 3.0, 0.8), (5.0, 0.0)), Thing((30.0, -4.0, 0.8), (-3.0, 0.0))]
SENSORS = (
    Sensor("front", "camera", (1.0, 0.3, 0.3), offset_ns=20_000_000),
    Sensor("roof", "lidar", (0.2, 0.2, 0.1)),
    Sensor("bumper", "radar", (0.5, 0.5, 0.5), radial_sigma=0.1, ambiguity=30.0),
)
EVERY = pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)


def fuser(graph: Graph) -> Fuser:
    return graph.fusion.fuser(Rig(vehicle="none", sensors=()))


def used(graph: Graph) -> tuple[str, ...]:
    return graph.fusion.settings.modalities


def run(one: Fuser, frames: Iterable[tuple[FrameSet, int]]) -> list[Scene]:
    return [sane(one.step(frame, time_ns)) for frame, time_ns in frames]


def sane(scene: Scene) -> Scene:
    """Numbers, covariances that are some, weights that sum to one or, in a track that coasts, to nothing."""
    for column in (scene.track_position, scene.track_velocity, scene.track_size, scene.track_yaw, scene.existence):
        assert np.isfinite(column).all()
    assert np.isfinite(scene.state_cov).all()
    assert (np.linalg.eigvalsh(scene.state_cov.astype(np.float64)) > 0.0).all()
    assert ((scene.existence >= 0.0) & (scene.existence <= 1.0)).all()
    total = scene.weight.sum(axis=1)
    assert (np.isclose(total, 1.0, atol=1e-4) | (total == 0.0)).all()
    assert (scene.weight >= 0.0).all()
    assert len(set(scene.track_id.tolist())) == len(scene.track_id)
    return scene


def near(scene: Scene, thing: Thing, seconds: float) -> int:
    """Number of the surest track within 3 m, -1 = none is believed in."""
    distance = np.hypot(*(scene.track_position - thing.at(seconds))[:, :2].T)
    there = np.flatnonzero((distance < 3.0) & (scene.existence > 0.5))
    return int(scene.track_id[there[scene.existence[there].argmax()]]) if len(there) else -1


@EVERY
@pytest.mark.parametrize("names", ["front", "roof", "bumper", "front roof", "roof bumper", "front roof bumper"])
def test_any_subset_of_the_sensors_finds_the_objects(graph: Graph, names: str) -> None:
    there = [sensor for sensor in SENSORS if sensor.name in names.split()]
    last = run(fuser(graph), drive(CARS, there, 25))[-1]
    heard = any(sensor.modality in used(graph) for sensor in there)
    assert all((near(last, car, 2.4) >= 0) == heard for car in CARS)


@EVERY
def test_many_sensors_of_one_kind_are_no_matter(graph: Graph) -> None:
    many = [named(sensor, f"{sensor.name}_{i}") for sensor in SENSORS for i in range(4)]
    last = run(fuser(graph), drive(CARS, many, 12))[-1]
    assert len(last.sensors) == 12
    assert all(near(last, car, 1.1) >= 0 for car in CARS)
    assert (last.existence > 0.5).sum() == len(CARS), "twelve views of a car are one car"


def named(sensor: Sensor, name: str) -> Sensor:
    return dataclasses.replace(sensor, name=name)


@EVERY
def test_a_sensor_that_appears_and_one_that_goes_cost_no_identity(graph: Graph) -> None:
    mine = [sensor for sensor in SENSORS if sensor.modality in used(graph)]
    another = named(mine[0], "another")
    one = fuser(graph)
    parts = [
        drive(CARS, list(SENSORS), 20),
        drive(CARS, [another, *SENSORS], 10, seed=1, start=20),
        drive(CARS, [another, *(s for s in SENSORS if s != mine[0])], 10, seed=2, start=30),
        drive(CARS, list(SENSORS), 10, seed=3, start=40),
    ]
    scenes = [run(one, part)[-1] for part in parts]
    for car in CARS:
        ids = {near(scene, car, 0.1 * at) for scene, at in zip(scenes, (19, 29, 39, 49), strict=True)}
        assert len(ids) == 1, "the same track from beginning to end"
        assert ids != {-1}
    assert scenes[1].sensors[0] == "another"
    assert scenes[1].weight[:, 0].any(), "a sensor that has just appeared counts"


@EVERY
def test_no_detections_and_no_sensors_are_an_empty_scene_and_end_the_tracks(graph: Graph) -> None:
    one, rng = fuser(graph), np.random.default_rng(0)
    assert len(one.step(frame_set(0, []), 0).track_id) == 0
    nothing = [slot(sensor, detections(sensor, [], 0.0, rng)) for sensor in SENSORS]
    assert len(one.step(frame_set(1, nothing), PERIOD_NS).track_id) == 0
    assert len(run(one, drive(CARS, list(SENSORS), 15, start=2))[-1].track_id) > 0
    silent = [slot(sensor, None, "silent") for sensor in SENSORS]
    assert len(run(one, [(frame_set(i, silent), i * PERIOD_NS) for i in range(17, 60)])[-1].track_id) == 0


@EVERY
def test_two_thousand_detections_are_taken(graph: Graph) -> None:
    rng = np.random.default_rng(0)
    crowd = [
        Thing((float(x), float(y), 0.8), (0.0, 0.0), str(rng.choice(CLASSES)))
        for x, y in rng.uniform(-90.0, 90.0, (667, 2))
    ]
    frames = drive(crowd, list(SENSORS), 3)
    assert sum(len(s.detections or ()) for s in frames[0][0].slots) == 2001
    last = run(fuser(graph), frames)[-1]
    assert 0 < len(last.track_id) <= graph.fusion.settings.max_tracks


def _bad(seen: Detections, what: str) -> Detections:
    """Half of the detections spoilt."""
    half = len(seen) // 2
    if what == "covariance not positive":
        seen.position_cov[:half] = np.diag([1.0, -1.0, 1.0])
    elif what == "covariance of zeros":
        seen.position_cov[:half] = 0.0
    elif what == "embedding":
        return msgspec.structs.replace(seen, embedding=np.full((len(seen), 8), np.nan, np.float32))
    else:
        for name in what.split():
            getattr(seen, name)[:half] = np.nan if what != "position_cov" else np.inf
    return seen


@EVERY
@pytest.mark.parametrize(
    "what",
    [
        "position", "position_cov", "score", "class_score", "size size_sigma yaw yaw_sigma",
        "radial_speed radial_sigma", "velocity velocity_cov", "box2d",
        "covariance not positive", "covariance of zeros", "embedding",
    ],
)  # fmt: skip
def test_what_is_no_number_spoils_nothing_else(graph: Graph, what: str) -> None:
    """The good half of the detections is tracked as if the bad half had not been there."""
    rng, one = np.random.default_rng(0), fuser(graph)
    spoilt = [Thing((60.0, 40.0, 0.8), (0.0, 0.0)), *CARS[:1]]
    scenes = []
    for i in range(20):
        slots = [slot(sensor, _bad(detections(sensor, spoilt, 0.1 * i, rng), what)) for sensor in SENSORS]
        scenes.append(sane(one.step(frame_set(i, slots), i * PERIOD_NS)))
    assert near(scenes[-1], CARS[0], 1.9) >= 0
    if what in ("position", "position_cov", "covariance not positive"):
        assert near(scenes[-1], spoilt[0], 1.9) < 0, "what cannot be filtered is left out"


@EVERY
def test_a_snapshot_continues_to_the_byte(graph: Graph) -> None:
    frames = drive(CARS, list(SENSORS), 20)
    whole, cut = fuser(graph), fuser(graph)
    scenes = run(whole, frames)
    run(cut, frames[:9])
    other = fuser(graph)
    other.restore(cut.snapshot())
    assert [_bytes(s) for s in run(other, frames[9:])] == [_bytes(s) for s in scenes[9:]]


def _bytes(scene: Scene) -> bytes:
    return encode_bytes(Message("scene", Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0), scene))
