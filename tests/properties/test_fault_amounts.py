"""Every fault of docs/faults.md moves its sensor in the direction and by the amount that it says, at each severity."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.se3 import SE3
from nodes.sources.faults.clouds import crosstalk
from nodes.sources.faults.drive import FaultyDrive
from nodes.sources.faults.images import blur, drops, motion_blur
from nodes.sources.faults.scans import clutter, interference
from nodes.sources.faults.table import FAULTS
from pipeline.core.messages import Message, PointCloud, RadarScan
from tests.properties.test_faults import picture, shot, sweep
from tests.small_drive import START_NS, small_drive, small_rig

SECONDS = 100.0
COUNT = 1000  # messages of a stream in that time


def messages(fault: str, topic: str) -> list[Message]:
    return list(FaultyDrive(small_drive(SECONDS), [fault], 5).messages([topic]))


def silence(fault: str, topic: str) -> float:
    """Seconds of every ten in which nothing comes."""
    return 10.0 * (1.0 - len(messages(fault, topic)) / COUNT)


def losses(fault: str, topic: str) -> float:
    return 1.0 - len(messages(fault, topic)) / COUNT


def repeats(fault: str, topic: str) -> float:
    """Share of the messages that bear the payload of an earlier one."""
    found = messages(fault, topic)
    assert len(found) == COUNT
    clouds = [m.payload for m in found]
    return float(np.mean([isinstance(c, PointCloud) and -c.points["t_ns"][0] != i for i, c in enumerate(clouds)]))


def repeated_seconds(fault: str, topic: str) -> float:
    return 10.0 * repeats(fault, topic)


def again(fault: str, topic: str) -> float:
    return len(messages(fault, topic)) / COUNT - 1.0


def swapped(fault: str, topic: str) -> float:
    """Probability that a message comes after the one that follows it; who was swapped is not swapped again."""
    order = [m.stamp.sequence for m in messages(fault, topic)]
    share = float((np.diff(order) < 0).mean())
    return share / (1.0 - share)


def later_ms(fault: str, topic: str) -> float:
    clean = small_drive(SECONDS).arrivals(topic)
    return float(np.mean([m.stamp.arrival_ns for m in messages(fault, topic)] - clean)) / 1e6


def passed(fault: str, topic: str) -> float:
    return len(messages(fault, topic)) / COUNT


def step_ms(fault: str, topic: str) -> float:
    """What the device's own stamps are ahead in the end."""
    last = messages(fault, topic)[-1].stamp
    return (last.sensor_ns - START_NS - int((SECONDS - 0.1) * 1e9)) / 1e6


def drift_ppm(fault: str, topic: str) -> float:
    return 1e3 * step_ms(fault, topic) / (SECONDS - 0.1)


def turned(fault: str, topic: str) -> float:
    """Degrees about each axis between where the rig says and where it is."""
    apart = _error(fault)
    return float(np.degrees(np.linalg.norm(apart.rotation_vector)) / np.sqrt(3))


def _error(fault: str) -> SE3:
    drive = small_drive()
    return FaultyDrive(drive, [fault], 5).rig["top"].ego_SE3_sensor.inverse() @ drive.rig["top"].ego_SE3_sensor


def beams_left(fault: str, topic: str) -> float:
    cloud = messages(fault, topic)[0].payload
    assert isinstance(cloud, PointCloud)
    return float(len(np.unique(cloud.points["ring"])))


def degrees_left(fault: str, topic: str) -> float:
    sweeps = [m.payload.points for m in messages(fault, topic)[:50] if isinstance(m.payload, PointCloud)]
    return float(np.ptp(np.degrees(np.concatenate([np.arctan2(p["y"], p["x"]) for p in sweeps]))))


def false_share(fault: str, topic: str) -> float:
    clean = [m.payload for m in small_drive(SECONDS).messages([topic])][:100]
    faulty = [m.payload for m in messages(fault, topic)][:100]
    moved = [np.abs(a.points["x"] - b.points["x"]) > 1e-3 for a, b in zip(clean, faulty, strict=True)]  # type: ignore[attr-defined]
    return float(np.mean(moved))


def added(fault: str, topic: str) -> float:
    return float(np.mean([len(m.payload.points) - 40 for m in messages(fault, topic)]))  # type: ignore[attr-defined]


def floor_db(fault: str, topic: str) -> float:
    """By how much less the returns that are left stand out from the noise."""
    losses = []
    for clean, faulty in zip(small_drive(SECONDS).messages([topic]), messages(fault, topic), strict=True):
        assert isinstance(clean.payload, RadarScan)
        assert isinstance(faulty.payload, RadarScan)
        left = np.isin(clean.payload.points["x"], faulty.payload.points["x"])
        losses.append(clean.payload.points["snr"][left] - faulty.payload.points["snr"])
    return float(np.concatenate(losses).mean())


Measure = Callable[[str, str], float]
MEASURES: dict[str, tuple[Measure, str, str, float]] = {  # what is measured, the sensor, its topic, tolerance
    "dead": (silence, "top", "lidar/top", 0.05),
    "gnss_loss": (silence, "roof", "gnss/roof", 0.05),
    "missing": (losses, "front", "camera/front", 0.05),
    "packet_loss": (losses, "bumper", "radar/bumper", 0.05),
    "frozen": (repeated_seconds, "top", "lidar/top", 0.05),
    "stale": (repeats, "top", "lidar/top", 0.05),
    "duplicate": (again, "roof", "gnss/roof", 0.05),
    "reorder": (swapped, "roof", "gnss/roof", 0.08),
    "delay": (later_ms, "front", "camera/front", 1e-3),
    "bandwidth": (passed, "bumper", "radar/bumper", 0.02),
    "clock_step": (step_ms, "top", "lidar/top", 1e-3),
    "clock_drift": (drift_ppm, "top", "lidar/top", 0.5),
    "misaligned": (turned, "top", "lidar/top", 1e-6),
    "miscalibrated": (turned, "top", "lidar/top", 1e-6),
    "beam_loss": (beams_left, "top", "lidar/top", 0.0),
    "fov_cut": (degrees_left, "top", "lidar/top", 1.0),
    "crosstalk": (false_share, "top", "lidar/top", 0.01),
    "clutter": (added, "bumper", "radar/bumper", 1.5),
    "interference": (floor_db, "bumper", "radar/bumper", 1e-3),
}
ELSEWHERE = {
    *("fog", "rain", "snow"),  # test_weather.py
    *("dark", "glare", "dirt"),  # test_faults.py
    *("drops", "blur", "motion_blur"),  # below
}


@pytest.mark.parametrize("severity", [0, 1, 2])
@pytest.mark.parametrize("name", sorted(MEASURES))
def test_a_fault_is_as_large_as_it_says(name: str, severity: int) -> None:
    measure, sensor, topic, tolerance = MEASURES[name]
    amount = next(kind for kind in FAULTS if kind.name == name).amounts[severity]
    assert measure(f"{sensor}.{name}={amount:g}", topic) == pytest.approx(amount, abs=tolerance)


def test_no_fault_is_left_out() -> None:
    assert {kind.name for kind in FAULTS} == set(MEASURES) | ELSEWHERE
    assert not set(MEASURES) & ELSEWHERE


def test_a_miscalibrated_sensor_is_two_metres_off_and_a_misaligned_one_in_place() -> None:
    assert np.linalg.norm(_error("top.miscalibrated:1").translation) == pytest.approx(2.0, abs=0.01)
    assert np.linalg.norm(_error("top.misaligned:1").translation) == pytest.approx(0.0, abs=1e-9)


# --- any amount


@settings(max_examples=30, deadline=None)
@given(st.floats(1.0, 15.0), st.integers(0, 1000))
def test_a_raised_floor_hides_what_is_weaker_and_nothing_else(decibels: float, seed: int) -> None:
    points = next(iter(small_drive().messages(["radar/bumper"]))).payload.points  # type: ignore[attr-defined]
    kept = interference(points, decibels, small_rig().radars[0], np.random.default_rng(seed))
    strong = points[points["snr"] - np.float32(decibels) >= points["snr"].min()]
    np.testing.assert_array_equal(kept["x"], strong["x"])
    np.testing.assert_allclose(kept["snr"], strong["snr"] - decibels, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 0.9), st.integers(0, 1000))
def test_crosstalk_is_binomial(share: float, seed: int) -> None:
    points = sweep()
    hit = crosstalk(points, share, small_rig().lidars[0], np.random.default_rng(seed))
    moved = int((np.abs(hit["x"] - points["x"]) > 1e-6).sum())
    n = len(points)
    assert abs(moved - n * share) < 5 * np.sqrt(n * share * (1 - share)) + 2


@settings(max_examples=30, deadline=None)
@given(st.floats(1.0, 200.0), st.integers(0, 1000))
def test_clutter_is_poisson(mean: float, seed: int) -> None:
    points = next(iter(small_drive().messages(["radar/bumper"]))).payload.points  # type: ignore[attr-defined]
    count = len(clutter(points, mean, small_rig().radars[0], np.random.default_rng(seed))) - len(points)
    assert abs(count - mean) < 5 * np.sqrt(mean) + 2


# --- optics: what becomes of a point of light


def _spot(fault: Callable[..., np.ndarray], amount: float) -> tuple[int, int]:
    """Width and height, pixels, of what a bright dot in a dark image of 320 x 180 becomes."""
    dark = np.zeros((180, 320, 3), np.uint8)
    dark[88:91, 158:161] = 255
    lit = fault(dark, amount, shot(), np.random.default_rng(0)).max(axis=2) > 8
    return int(np.ptp(np.flatnonzero(lit.any(axis=0)))) + 1, int(np.ptp(np.flatnonzero(lit.any(axis=1)))) + 1


@settings(max_examples=20, deadline=None)
@given(st.floats(0.02, 0.08))
def test_out_of_focus_a_point_becomes_a_disc_of_the_width_it_says(share: float) -> None:
    wide, high = _spot(blur, share)
    assert wide == pytest.approx(share * 320 + 3, abs=3)
    assert abs(wide - high) <= 2


@settings(max_examples=20, deadline=None)
@given(st.floats(0.02, 0.08))
def test_shaken_a_point_becomes_a_line_of_the_length_it_says(share: float) -> None:
    wide, high = _spot(motion_blur, share)
    assert wide == pytest.approx(share * 320 + 3, abs=4)
    assert high < 0.7 * wide


@pytest.mark.parametrize("number", [5, 15])
def test_so_many_drops_are_on_the_lens(number: int) -> None:
    wet = drops(picture(), float(number), shot(), np.random.default_rng(0))
    harmed = (np.abs(wet.astype(int) - picture()).max(axis=2) > 6).astype(np.uint8)
    solid = cv2.morphologyEx(harmed, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    areas = cv2.connectedComponentsWithStats(solid)[2][1:, cv2.CC_STAT_AREA]
    assert 0.5 * number <= (areas > 12).sum() <= number  # some overlap
