"""Clips have the form of real frame sets, tell the truth of themselves, and can be tracked."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.rig import Rig
from fusion.tracker import Tracker
from fusion.training.clips import EXTRA, GHOST, OBJECT, Clip
from nodes.simulator.detections.draw import draw_clip
from nodes.simulator.world.mesh import Mesh
from nodes.simulator.world.world import World
from pipeline.core.messages import Detections, Message, Stamp
from pipeline.core.wire import digest
from tests.simulated import actor, ground, straight


@pytest.fixture(scope="module")
def clip(traffic: World, rig: Rig) -> Clip:
    return draw_clip(traffic, rig, seed=1)


def linked_error(clip: Clip, modality: str, cause: int = OBJECT) -> np.ndarray:
    """(N, 2) position errors in odom of detections against the object they are linked to, moved to their own time."""
    errors = []
    for frame, (frames, _) in enumerate(clip.frames()):
        truth = clip.truth_at(frame)
        row = {int(i): k for k, i in enumerate(truth.object_id)}
        for sensor, kind in enumerate(clip.modalities):
            rows = clip.rows(frame, sensor)
            seen = frames.slots[sensor].detections
            if kind != modality or seen is None:
                continue
            for k, (object_id, why) in enumerate(
                zip(clip.detections["object_id"][rows], clip.detections["cause"][rows], strict=True)
            ):
                if why == cause and int(object_id) in row:
                    at = row[int(object_id)]
                    then = truth.position[at, :2] + truth.velocity[at] * seen.time_offset_ns[k] * 1e-9
                    errors.append((frames.odom_SE3_ego @ seen.position[k].astype(float))[:2] - then)
    return np.array(errors)


def test_same_seed_same_bytes_and_another_seed_others(traffic: World, rig: Rig, clip: Clip) -> None:
    def hashes(made: Clip) -> list[str]:
        return [
            digest(Message("frames", Stamp(sensor_ns=t, arrival_ns=t, time_ns=t, sequence=i), frames))
            for i, (frames, t) in enumerate(made.frames())
        ]

    assert hashes(draw_clip(traffic, rig, seed=1)) == hashes(clip)
    assert hashes(draw_clip(traffic, rig, seed=2)) != hashes(clip)


def test_frame_sets_have_the_form_of_the_aligner(rig: Rig, clip: Clip) -> None:
    frames = list(clip.frames())
    assert [t for _, t in frames] == clip.time_ns.tolist()
    assert set(np.diff(clip.time_ns)) == {100_000_000}
    for each, time_ns in frames:
        assert tuple(slot.sensor for slot in each.slots) == tuple(
            s.name for s in (*rig.cameras, *rig.lidars, *rig.radars)
        )
        for slot in each.slots:
            seen = slot.detections
            assert isinstance(seen, Detections)  # whose constructor checks every dtype and shape
            assert slot.time_ns - slot.offset_ns == time_ns
            assert abs(slot.offset_ns) <= 52_000_000
            assert np.isfinite(seen.position).all()
            assert (np.linalg.eigvalsh(seen.position_cov) > 0).all()
            assert ((seen.score > 0) & (seen.score < 1)).all()
            assert (seen.class_score.sum(axis=1) <= 1.001).all()
            assert np.isnan(seen.velocity).all()
            assert np.isfinite(seen.box2d).all() == (slot.modality == "camera" or len(seen.score) == 0)
            assert np.isfinite(seen.radial_speed).all() == (slot.modality == "radar" or len(seen.score) == 0)
    lidar = frames[5][0].slots[3]
    assert lidar.offset_ns == 0
    assert lidar.detections is not None
    assert (lidar.detections.time_offset_ns <= 0).all()
    assert (lidar.detections.time_offset_ns >= -100_000_000).all()
    assert (np.abs(lidar.detections.yaw) <= np.pi / 2 + 0.05).all()


def test_radial_speeds_lie_within_the_ambiguity(rig: Rig, clip: Clip) -> None:
    for radar in rig.radars:
        number = clip.sensors.index(radar.name)
        for frame in range(len(clip)):
            rates = clip.detections["radial_speed"][clip.rows(frame, number)]
            assert (np.abs(rates) <= radar.ambiguity_mps / 2 + 1e-3).all()


@pytest.mark.parametrize(("modality", "typical"), [("lidar", 0.7), ("radar", 1.2), ("camera", 7.0)])
def test_what_is_linked_to_an_object_lies_near_it(clip: Clip, modality: str, typical: float) -> None:
    error = linked_error(clip, modality)
    assert len(error) > 100
    assert np.median(np.hypot(*error.T)) < typical


def test_false_detections_are_marked(clip: Clip) -> None:
    cause, object_id = clip.detections["cause"], clip.detections["object_id"]
    assert ((object_id < 0) == (cause >= GHOST)).all()
    assert set(np.unique(cause)) == {0, 1, 2, 3}
    known = set(clip.truth["object_id"].tolist())
    assert set(object_id[cause <= EXTRA].tolist()) <= known


def test_phantoms_stay_where_they_are_in_the_world(clip: Clip) -> None:
    """Of the LiDAR's lasting false alarms most have a partner within 1 m in the next frame, seen from a moving car."""
    lidar = clip.modalities.index("lidar")
    again = total = 0
    last = np.zeros((0, 2))
    for frame, (frames, _) in enumerate(clip.frames()):
        rows = clip.rows(frame, lidar)
        ghost = clip.detections["cause"][rows] == GHOST
        here = (frames.odom_SE3_ego @ clip.detections["position"][rows][ghost].astype(float))[:, :2]
        if len(last) and len(here):
            again += int((np.linalg.norm(here[:, None] - last, axis=2).min(axis=1) < 1.0).sum())
            total += len(here)
        last = here
    assert again > 0.8 * total


def test_the_tracker_follows_what_it_is_given(clip: Clip) -> None:
    """Of the cars within 30 m ahead, most have a sure track within 2 m after a second."""
    tracker, found, there = Tracker(), 0, 0
    for frame, (frames, time_ns) in enumerate(clip.frames()):
        scene = tracker.step(frames, time_ns)
        if frame < 10:
            continue
        truth = clip.truth_at(frame)
        place = (frames.odom_SE3_ego.inverse() @ truth.position)[:, :2]
        near = (truth.class_id == 0) & (place[:, 0] > 3.0) & (np.hypot(*place.T) < 30.0)
        sure = scene.track_position[scene.existence > 0.5][:, :2]
        distance = np.linalg.norm(truth.position[near, None, :2] - sure[None], axis=2)
        found += int((distance.min(axis=1, initial=np.inf) < 2.0).sum())
        there += int(near.sum())
    assert there > 100
    assert found > 0.6 * there


def test_nothing_is_seen_through_a_lorry(rig: Rig) -> None:
    road = straight((0.0, 0.0), 0.0, 0.0)
    lorry, hidden = (
        actor(1, "lorry", straight((12.0, 0.0), 0.0, 0.0)),
        actor(2, "sedan", straight((30.0, 0.0), 0.0, 0.0)),
    )
    world = World("queue", 0, 5.0, road, (lorry, hidden), ground())
    alone = World("alone", 0, 5.0, road, (hidden,), ground())
    assert 2 not in draw_clip(world, rig, 0).detections["object_id"]
    assert 2 in draw_clip(alone, rig, 0).detections["object_id"]


def test_an_empty_world_gives_false_alarms_only(rig: Rig) -> None:
    world = World("empty", 0, 3.0, straight((0.0, 0.0), 0.0, 5.0), (), Mesh.joined([]))
    clip = draw_clip(world, rig, 0)
    assert (clip.detections["object_id"] == -1).all()
    assert len(clip.truth["yaw"]) == 0
    assert len(list(clip.frames())) == len(clip)
