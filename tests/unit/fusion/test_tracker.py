from __future__ import annotations

import msgspec
import numpy as np
import pytest

from fusion.field_of_view import FieldOfView
from fusion.noise import AdaptiveSettings, IntersectionSettings, NominalSettings
from fusion.tracker import Tracker, TrackerSettings
from pipeline.core.messages import CLASSES, FrameSet, Message, Scene, Stamp
from pipeline.core.wire import digest
from tests.scenes import PERIOD_NS, Sensor, Thing, drive, frame_set, slot

LIDAR = Sensor("roof", "lidar", (0.15, 0.15, 0.1), 50_000_000)
CAMERA = Sensor("front", "camera", (2.0, 0.4, 0.3), 20_000_000, score=0.7)
RADAR = Sensor("bumper", "radar", (0.4, 0.6, 2.0), 30_000_000, radial_sigma=0.2, ambiguity=10.3, score=0.6)


def run(frames: list[tuple[FrameSet, int]], settings: TrackerSettings | None = None) -> list[Scene]:
    tracker = Tracker(settings)
    return [tracker.step(frame, time_ns) for frame, time_ns in frames]


def hashes(scenes: list[Scene]) -> list[str]:
    stamp = Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0)
    return [digest(Message("scene", stamp, scene)) for scene in scenes]


def nearest(scene: Scene, position: np.ndarray) -> int:
    """Row of the nearest believed track, which must be within 2 m."""
    apart = np.linalg.norm(scene.track_position[:, :2] - position[:2], axis=1)
    apart[scene.existence < 0.5] = np.inf
    assert apart.min(initial=np.inf) < 2.0, f"no track near {position}"
    return int(np.argmin(apart))


def test_tracks_follow_objects_through_each_other():
    things = [Thing((20, -12, 0.8), (0, 6)), Thing((21.5, 12, 0.8), (0, -6)), Thing((8, 0, 0.9), (1, 0), "pedestrian")]
    scenes = run(drive(things, [LIDAR, CAMERA, RADAR], 40))
    identities = [
        [int(scene.track_id[nearest(scene, thing.at(0.1 * i))]) for thing in things]
        for i, scene in enumerate(scenes)
        if i >= 2
    ]
    assert all(ids == identities[0] for ids in identities)
    last = scenes[-1]
    for thing in things:
        row = nearest(last, thing.at(3.9))
        assert np.linalg.norm(last.track_position[row] - thing.at(3.9)) < 0.4
        assert np.linalg.norm(last.track_velocity[row] - thing.velocity) < 1.0
        assert CLASSES[int(np.argmax(last.class_score[row]))] == thing.kind
        assert last.existence[row] > 0.9
    assert (last.existence > 0.5).sum() == len(things)


def test_position_is_that_of_the_reference_instant_not_of_the_measurement():
    fast = Thing((-30, 10, 0.8), (20, 0))
    scene = run(drive([fast], [Sensor("roof", "lidar", (0.05, 0.05, 0.05), offset_ns=90_000_000)], 30))[-1]
    assert abs(scene.track_position[0, 0] - fast.at(2.9)[0]) < 0.25  # 90 ms unaccounted would be 1.8 m


def test_an_error_that_stays_is_stated_however_long_the_track():
    roof = Sensor("roof", "lidar", (0.2, 0.2, 0.1))
    scenes = run(drive([Thing((15, 3, 0.8), (0, 0))], [roof], 60), TrackerSettings(weigh=NominalSettings(lidar=0.25)))
    assert scenes[-1].state_cov[0, 0, 0] > 0.7 * 0.2**2  # of which three quarters do not average out


def test_a_track_out_of_every_field_of_view_keeps_its_existence():
    car = Thing((20, 0, 0.8), (0, 0))
    frames = drive([car], [LIDAR], 20) + drive([], [LIDAR], 5, start=20)
    narrow = FieldOfView(origin=(0.0, 0.0), right=1.0, left=2.0)
    seen, unseen = (run(frames, TrackerSettings(fields=f))[-1].existence[0] for f in ({}, {LIDAR.name: narrow}))
    assert unseen > 0.9
    assert seen < unseen - 0.1


def test_tracks_do_not_outlive_their_odom():
    frames = drive([Thing((15, 3, 0.8), (0, 0))], [LIDAR], 10)
    again = [(msgspec.structs.replace(f, pose_epoch=1), t) for f, t in frames[6:]]
    scenes = run(frames[:6] + again)
    assert scenes[5].track_id[0] not in scenes[6].track_id


def test_an_object_hidden_for_half_a_second_keeps_its_identity():
    car = Thing((0, 10, 0.8), (8, 0))
    frames = drive([car], [LIDAR], 40)
    empty = drive([], [LIDAR], 40)
    hidden = [empty[i] if 20 <= i < 25 else frames[i] for i in range(40)]
    scenes = run(hidden)
    assert scenes[19].track_id[0] == scenes[39].track_id[0]
    during = scenes[24]
    assert during.coasted[0] == 5
    assert during.weight[0].sum() == 0.0
    assert during.existence[0] < scenes[19].existence[0]
    assert during.state_cov[0, 0, 0] > scenes[19].state_cov[0, 0, 0]


def test_tracks_end_when_nothing_is_there_any_more():
    scenes = run(drive([Thing((10, 0, 0.8), (0, 0))], [LIDAR], 10) + drive([], [LIDAR], 20, start=10))
    assert len(scenes[9].track_id) == 1
    assert len(scenes[-1].track_id) == 0


def test_clutter_is_not_believed():
    noisy = Sensor("bumper", "radar", (0.4, 0.6, 2.0), radial_sigma=0.2, detection=0.9, clutter=15.0, score=0.7)
    scenes = run(drive([Thing((15, 3, 0.8), (3, 0))], [LIDAR, noisy], 30))
    assert all((scene.existence > 0.6).sum() == 1 for scene in scenes[5:])


def test_weights_sum_to_one_and_follow_the_covariances():
    as_stated = TrackerSettings(weigh=NominalSettings(camera=1.0, lidar=1.0))
    scene = run(drive([Thing((15, 3, 0.8), (3, 0))], [LIDAR, CAMERA], 10), as_stated)[-1]
    np.testing.assert_allclose(scene.weight.sum(axis=1), 1.0, atol=1e-6)
    lidar, camera = (np.trace(np.linalg.inv(np.diag(np.square(s.sigma))[:2, :2])) for s in (LIDAR, CAMERA))
    np.testing.assert_allclose(scene.weight[0], [lidar / (lidar + camera), camera / (lidar + camera)], atol=0.01)


def test_a_missing_sensor_is_named_and_costs_no_track():
    things = [Thing((15, 3, 0.8), (3, 0))]
    with_both = drive(things, [LIDAR, CAMERA], 30)
    scenes = run(
        [
            (frame_set(i, [slot(LIDAR, None, "silent"), frame.slots[1]]), time_ns) if i >= 15 else (frame, time_ns)
            for i, (frame, time_ns) in enumerate(with_both)
        ]
    )
    assert scenes[-1].missing == ("roof: silent",)
    assert scenes[-1].track_id[0] == scenes[10].track_id[0]
    np.testing.assert_allclose(scenes[-1].weight[0], [0.0, 1.0])


def test_wrapped_doppler_gives_the_speed_once_the_track_knows_it_roughly():
    """A radar with coarse positions: only the radial speed, resolved by the prediction, can be this exact."""
    leading = Thing((30, 0, 0.8), (14, 0))  # 14 m/s reads as 3.7 m/s in an interval of 10.3 m/s
    coarse = Sensor("bumper", "radar", (0.7, 0.7, 2.0), radial_sigma=0.1, ambiguity=10.3)
    speed = run(drive([leading], [coarse], 40))[-1].track_velocity[0]
    assert abs(speed[0] - 14.0) < 0.4
    blind = Sensor("bumper", "radar", (0.7, 0.7, 2.0))
    spread = [run(drive([leading], [blind], 40, seed))[-1].state_cov[0, 3, 3] for seed in range(2)]
    assert min(spread) > 4 * run(drive([leading], [coarse], 40))[-1].state_cov[0, 3, 3]


def test_adaptive_noise_turns_from_a_biased_sensor():
    things = [Thing((15 + 6 * i, 12 - 8 * i, 0.8), (4 - 2 * i, 1)) for i in range(4)]
    skewed = Sensor("front", "camera", (0.3, 0.3, 0.3), bias=(0.0, 1.5, 0.0))
    frames = drive(things, [LIDAR, skewed], 60)

    def error(method: type[NominalSettings] | type[AdaptiveSettings]) -> float:
        scene = run(frames, TrackerSettings(weigh=method(camera=1.0, lidar=1.0)))[-1]
        return max(
            float(np.linalg.norm(scene.track_position[nearest(scene, t.at(5.9))] - t.at(5.9))[()]) for t in things
        )

    assert error(AdaptiveSettings) < 0.6 * error(NominalSettings)


def test_intersection_never_claims_more_than_its_best_sensor():
    twins = [Sensor(f"roof{i}", "lidar", (0.2, 0.2, 0.1)) for i in range(4)]
    frames = drive([Thing((15, 3, 0.8), (3, 0))], twins, 30)
    one = run([(frame_set(f.index, [f.slots[0]]), t) for f, t in frames])[-1].state_cov[0, 0, 0]
    four = run(frames, TrackerSettings(weigh=IntersectionSettings()))[-1].state_cov[0, 0, 0]
    summed = run(frames)[-1].state_cov[0, 0, 0]
    assert summed < 0.6 * one
    assert four == pytest.approx(one, rel=0.01)


def test_modalities_that_are_switched_off_change_nothing():
    things = [Thing((15, 3, 0.8), (3, 0))]
    frames = drive(things, [LIDAR, CAMERA], 10)
    only = run(frames, TrackerSettings(modalities=("lidar",)))
    without = run([(frame_set(f.index, [f.slots[0], slot(CAMERA, None)]), t) for f, t in frames])
    assert hashes(only) == hashes(without)


def test_time_running_backwards_or_a_long_gap_ends_all_tracks_but_reuses_no_identity():
    frames = drive([Thing((15, 3, 0.8), (0, 0))], [LIDAR], 10)
    tracker = Tracker()
    first = [tracker.step(frame, time_ns) for frame, time_ns in frames][-1]
    again = tracker.step(frames[0][0], 0)
    later = tracker.step(frames[1][0], 60_000_000_000)
    ids = [int(scene.track_id[0]) for scene in (first, again, later)]
    assert len(set(ids)) == 3


def test_detections_that_are_no_numbers_are_left_out():
    (frame, _) = drive([Thing((15, 3, 0.8), (0, 0)), Thing((5, 3, 0.8), (0, 0))], [LIDAR], 1)[0]
    seen = frame.slots[0].detections
    assert seen is not None
    seen.position[0] = np.nan
    scene = Tracker().step(frame, 0)
    assert len(scene.track_id) == 1
    seen.position_cov[1] = -1.0
    assert len(Tracker().step(frame, 0).track_id) == 0


def test_an_empty_world_is_an_empty_scene():
    scene = Tracker().step(frame_set(0, []), PERIOD_NS)
    assert len(scene.track_id) == 0
    assert scene.sensors == ()
    assert scene.weight.shape == (0, 0)


@pytest.mark.parametrize("method", [NominalSettings(), AdaptiveSettings(), IntersectionSettings()])
def test_snapshot_and_restore_continue_to_the_byte(method):
    settings = TrackerSettings(weigh=method)
    noisy = Sensor("bumper", "radar", (0.4, 0.6, 2.0), radial_sigma=0.2, detection=0.8, clutter=3.0)
    frames = drive([Thing((15, 3, 0.8), (3, 0)), Thing((-9, 7, 0.8), (0, -5))], [LIDAR, noisy], 24)
    whole = hashes(run(frames, settings))
    first, second = Tracker(settings), Tracker(settings)
    part = [first.step(frame, time_ns) for frame, time_ns in frames[:11]]
    second.restore(first.snapshot())
    part += [second.step(frame, time_ns) for frame, time_ns in frames[11:]]
    assert hashes(part) == whole


@pytest.mark.parametrize("damage", [b"", b"\x80", b"junk"])
def test_foreign_bytes_are_no_snapshot(damage):
    with pytest.raises(ValueError, match="snapshot"):
        Tracker().restore(damage)
