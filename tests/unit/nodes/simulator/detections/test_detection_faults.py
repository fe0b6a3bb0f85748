"""Each fault moves what is drawn in its direction, befalls the sensor it names, and is silent where it should be."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.rig import Rig
from fusion.training.clips import CLUTTER, MISSING, OBJECT, Clip, FaultSpan
from nodes.simulator.detections.draw import draw_clip
from nodes.simulator.detections.faults import EFFECTS, ONLY_DRAWN
from nodes.simulator.detections.random_faults import random_faults
from nodes.simulator.world.world import World
from nodes.sources.faults.table import FAULTS
from tests.simulated import actor, ground, straight

CAMERA, LIDAR, RADAR = "camera_front", "lidar_top", "radar_front"
AMOUNTS = {kind.name: kind.amounts for kind in FAULTS}
FRAMES = 59


@pytest.fixture(scope="module")
def street() -> World:
    """Cars that pass at 12 m/s beside a slow vehicle, at 5 to 95 m."""
    actors = tuple(
        actor(i + 1, "sedan", straight((5.0 + 7.0 * i, 3.5 if i % 2 else -3.5), 0.0 if i % 2 else np.pi, 12.0, 6.0))
        for i in range(13)
    )
    return World("street", 0, 6.0, straight((0.0, 0.0), 0.0, 2.0, 6.0), actors, ground())


def draw(world: World, rig: Rig, sensor: str = "", name: str = "", amount: float = 0.0, start: int = 0) -> Clip:
    faults = (FaultSpan(sensor, name, amount, start, FRAMES),) if name else ()
    return draw_clip(world, rig, 5, faults)


def of_sensor(clip: Clip, sensor: str, cause: int | None = OBJECT) -> np.ndarray:
    """Rows of a sensor's detections."""
    number = clip.sensors.index(sensor)
    rows = np.concatenate([np.arange(clip.rows(f, number).start, clip.rows(f, number).stop) for f in range(len(clip))])
    return rows if cause is None else rows[clip.detections["cause"][rows] == cause]


def lag_m(clip: Clip, sensor: str) -> float:
    """Median of how far detections lie behind their object along its motion, after its stated time is allowed for."""
    behind = []
    number = clip.sensors.index(sensor)
    for frame, (frames, _) in enumerate(clip.frames()):
        truth, seen = clip.truth_at(frame), frames.slots[number].detections
        if seen is None:
            continue
        row = {int(i): k for k, i in enumerate(truth.object_id)}
        for k, at in enumerate(clip.detections["object_id"][clip.rows(frame, number)].tolist()):
            if at in row:
                v = truth.velocity[row[at]].astype(float)
                then = truth.position[row[at], :2] + v * seen.time_offset_ns[k] * 1e-9
                off = (frames.odom_SE3_ego @ seen.position[k].astype(float))[:2] - then
                behind.append(-float(off @ v) / np.linalg.norm(v))
    return float(np.median(behind))


@pytest.mark.parametrize(
    ("sensor", "name"),
    [
        (CAMERA, "fog"), (LIDAR, "fog"), (CAMERA, "dark"), (CAMERA, "blur"), (CAMERA, "dirt"),
        (LIDAR, "beam_loss"), (RADAR, "interference"), (CAMERA, "missing"), (RADAR, "packet_loss"),
    ],
)  # fmt: skip
def test_the_worse_the_fewer_objects_are_found(street: World, rig: Rig, sensor: str, name: str) -> None:
    counts = [len(of_sensor(draw(street, rig), sensor))]
    counts += [len(of_sensor(draw(street, rig, sensor, name, amount), sensor)) for amount in AMOUNTS[name]]
    assert counts[3] < 0.85 * counts[0]
    assert counts[1] <= 1.02 * counts[0]
    assert counts[3] <= counts[1]


def test_fog_takes_the_far_cars_from_the_lidar_and_hardly_any_from_the_radar(street: World, rig: Rig) -> None:
    clear, fog = draw(street, rig), draw(street, rig, LIDAR, "fog", 50.0)

    def far(clip: Clip, sensor: str) -> int:
        return int((clip.detections["position"][of_sensor(clip, sensor), 0] > 50.0).sum())

    assert far(fog, LIDAR) < 0.3 * far(clear, LIDAR)
    in_radar = draw(street, rig, RADAR, "fog", 50.0)
    assert far(in_radar, RADAR) > 0.9 * far(clear, RADAR)


def test_another_sensor_is_not_touched(street: World, rig: Rig) -> None:
    clear, faulty = draw(street, rig), draw(street, rig, CAMERA, "dark", 7.0)
    for sensor in clear.sensors:
        a, b = (c.detections["position"][of_sensor(c, sensor, None)] for c in (clear, faulty))
        assert (a.shape == b.shape and np.array_equal(a, b)) == (sensor != CAMERA)


@pytest.mark.parametrize(("sensor", "name"), [(RADAR, "clutter"), (LIDAR, "crosstalk"), (LIDAR, "snow")])
def test_more_false_alarms(street: World, rig: Rig, sensor: str, name: str) -> None:
    counts = [len(of_sensor(draw(street, rig, sensor, name, a), sensor, CLUTTER)) for a in AMOUNTS[name]]
    assert len(of_sensor(draw(street, rig), sensor, CLUTTER)) < counts[2]
    assert counts[0] < counts[2]


def test_a_narrow_field_of_view_leaves_nothing_beside(street: World, rig: Rig) -> None:
    clip = draw(street, rig, LIDAR, "fov_cut", 60.0)
    x, y, _ = clip.detections["position"][of_sensor(clip, LIDAR, None)].T
    assert np.degrees(np.abs(np.arctan2(y, x - 1.2))).max() < 50.0  # cut at the objects' true places


def test_a_silent_clock_step_leaves_things_behind_and_says_nothing(street: World, rig: Rig) -> None:
    clear, late = draw(street, rig), draw(street, rig, LIDAR, "clock_step", 200.0)
    assert lag_m(late, LIDAR) - lag_m(clear, LIDAR) == pytest.approx(0.2 * 12.0, abs=0.5)
    assert np.array_equal(late.slot_time_ns, clear.slot_time_ns)
    stated = [np.median(c.detections["position_cov"][of_sensor(c, LIDAR), 0, 0]) for c in (clear, late)]
    assert stated[1] == pytest.approx(stated[0], rel=0.3)


def test_a_delay_is_told_by_the_stamp_and_leaves_nothing_behind(street: World, rig: Rig) -> None:
    late = draw(street, rig, LIDAR, "delay", 150.0)
    number = late.sensors.index(LIDAR)
    assert set((late.slot_time_ns[:, number] - late.time_ns).tolist()) == {-200_000_000, -100_000_000} or set(
        np.round((late.slot_time_ns[:, number] - late.time_ns) * 1e-8).tolist()
    ) <= {-2.0, -1.0}
    assert abs(lag_m(late, LIDAR) - lag_m(draw(street, rig), LIDAR)) < 0.3


def test_stale_frames_repeat_what_was_delivered_before(street: World, rig: Rig) -> None:
    clip = draw(street, rig, RADAR, "frozen", 3.0)
    number = clip.sensors.index(RADAR)
    first, later = clip.rows(40, number), clip.rows(55, number)
    assert np.array_equal(clip.detections["score"][first], clip.detections["score"][later])
    assert not np.array_equal(clip.detections["score"][first], clip.detections["score"][clip.rows(20, number)])


def test_a_dead_sensor_is_silent_for_its_seconds_of_every_ten(street: World, rig: Rig) -> None:
    clip = draw(street, rig, RADAR, "dead", 3.0)
    number = clip.sensors.index(RADAR)
    assert (clip.missing[:35, number] == 0).all(), "as on a drive: in the middle of every ten seconds"
    assert (clip.missing[36:, number] == MISSING.index("silent")).all()
    assert (draw(street, rig, RADAR, "dead", 10.0).missing[:, number] != 0).all()
    frames = [f for f, _ in clip.frames()]
    assert frames[50].slots[number].missing == "silent"
    assert frames[50].slots[number].detections is None


@pytest.mark.parametrize("sensor", [CAMERA, LIDAR, RADAR])
def test_a_sensor_that_comes_loose_turns_slowly_and_says_nothing(street: World, rig: Rig, sensor: str) -> None:
    clear, loose = draw(street, rig), draw(street, rig, sensor, "loosening", 10.0)
    number = clear.sensors.index(sensor)
    for frame, degrees in ((9, 1.0), (49, 5.0)):
        before, after = (clip.detections["position"][clip.rows(frame, number)] for clip in (clear, loose))
        away = before[:, :2] - clear.origin[frame, number, :2], after[:, :2] - clear.origin[frame, number, :2]
        turn = np.degrees(np.arctan2(*away[1].T[::-1]) - np.arctan2(*away[0].T[::-1]))
        assert np.abs(np.mod(turn + 180.0, 360.0) - 180.0) == pytest.approx(degrees, abs=0.05)
    assert np.array_equal(clear.detections["radial_sigma"], loose.detections["radial_sigma"], equal_nan=True)
    assert np.array_equal(clear.detections["score"], loose.detections["score"])


@pytest.mark.parametrize("sensor", [CAMERA, LIDAR, RADAR])
def test_a_miscalibrated_sensor_shifts_everything_alike_and_states_the_same(
    street: World, rig: Rig, sensor: str
) -> None:
    clear, off = draw(street, rig), draw(street, rig, sensor, "misaligned", 3.0)

    def bias(clip: Clip) -> float:
        """Median sideways error over range, rad."""
        number, angles = clip.sensors.index(sensor), []
        for frame, (frames, _) in enumerate(clip.frames()):
            truth = clip.truth_at(frame)
            row = {int(i): k for k, i in enumerate(truth.object_id)}
            place = frames.odom_SE3_ego.inverse() @ truth.position
            rows = clip.rows(frame, number)
            seen = clip.detections["position"][rows]
            for k, i in enumerate(clip.detections["object_id"][rows].tolist()):
                if i in row and place[row[i], 0] > 15.0:
                    angles.append(np.arctan2(seen[k, 1], seen[k, 0]) - np.arctan2(*place[row[i], 1::-1]))
        return float(np.median(angles))

    assert abs(np.degrees(bias(off) - bias(clear))) == pytest.approx(3.0, abs=1.0)
    if sensor == CAMERA:
        return  # which boxes can be lifted at all depends on where the camera is thought to look
    scores = [np.median(c.detections["score"][of_sensor(c, sensor)]) for c in (clear, off)]
    assert scores[1] == pytest.approx(scores[0], abs=0.1)


def test_the_clip_says_what_ails_whom_and_when(street: World, rig: Rig) -> None:
    clip = draw(street, rig, LIDAR, "beam_loss", 4.0, start=30)
    assert clip.faulty(29) == {}
    assert clip.faulty(30) == {LIDAR: ("beam_loss",)}


def test_every_fault_here_is_one_of_the_table_and_random_ones_can_be_drawn(street: World, rig: Rig) -> None:
    assert set(EFFECTS) <= {kind.name for kind in (*FAULTS, *ONLY_DRAWN)}
    seen: set[str] = set()
    for seed in range(60):
        faults = random_faults(rig, FRAMES, 1.0, seed)
        assert faults == random_faults(rig, FRAMES, 1.0, seed)
        seen |= {fault.name for fault in faults}
        if seed < 12:
            draw_clip(street, rig, seed, faults)
    assert len(seen) > 15
    assert random_faults(rig, FRAMES, 0.0, 1) == ()


def test_a_fault_without_a_model_is_refused(street: World, rig: Rig) -> None:
    with pytest.raises(KeyError, match="reorder"):
        draw(street, rig, LIDAR, "reorder", 0.1)
