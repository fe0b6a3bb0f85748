"""Faults are repeatable whatever part is read, and take as much as they say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.sources.faults.clouds import beam_loss, beams, crosstalk, fov_cut
from nodes.sources.faults.drive import FaultyDrive
from nodes.sources.faults.images import IMAGE_FAULTS, Shot
from nodes.sources.faults.scans import clutter, interference
from nodes.sources.faults.table import FAULTS
from pipeline.core.messages import Message
from pipeline.core.wire import encode
from tests.small_drive import START_NS, small_drive, small_rig

MS = 1_000_000
TOPICS = ("camera/front", "lidar/top", "radar/bumper", "gnss/roof", "pose/ego")


def key(message: Message) -> tuple[str, tuple[int, ...], bytes]:
    stamp = message.stamp
    return (
        message.topic,
        (stamp.time_ns, stamp.arrival_ns, stamp.sequence, stamp.epoch),
        b"".join(map(bytes, encode(message))),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(FAULTS), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(0, 2**31),
    st.floats(0.0, 1.9),
    st.floats(0.1, 2.0),
)
def test_any_part_of_a_faulty_drive_is_the_same_as_in_the_whole(kinds, severity, seed, start_s, length_s) -> None:
    faults = [f"{kind.name}:{severity}" for kind in kinds]
    drive = FaultyDrive(small_drive(2.0), faults, seed)
    whole = list(drive.messages())
    arrivals = [m.stamp.arrival_ns for m in whole]
    assert arrivals == sorted(arrivals)
    first, last = START_NS + round(start_s * 1e9), START_NS + round((start_s + length_s) * 1e9)
    again = FaultyDrive(small_drive(2.0), faults, seed)
    part = [m for topic in again.topics for m in again.messages([topic], first, last)]
    assert sorted(map(key, part)) == sorted(key(m) for m in whole if first <= m.stamp.time_ns < last)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(FAULTS), st.integers(1, 3), st.integers(0, 2**31))
def test_counts_and_arrivals_are_known_without_reading(kind, severity, seed) -> None:
    drive = FaultyDrive(small_drive(2.0), [f"{kind.name}:{severity}"], seed)
    counts = drive.counts
    assert set(counts) == set(drive.topics)
    for topic in drive.topics:
        messages = list(drive.messages([topic]))
        arrivals = drive.arrivals(topic)
        assert len(arrivals) == counts[topic]
        assert (np.diff(arrivals) >= 0).all()
        if kind.stage == "clock":  # refused ones are among them
            assert {m.stamp.arrival_ns for m in messages} <= set(arrivals.tolist())
        else:
            assert [m.stamp.arrival_ns for m in messages] == arrivals.tolist()


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["front.packet_loss", "missing"]), st.floats(0.02, 0.9), st.integers(0, 2**31))
def test_losses_are_binomial(name: str, probability: float, seed: int) -> None:
    drive = FaultyDrive(small_drive(100.0), [f"{name}={probability:.4f}"], seed)
    lost = 1000 - len(drive.arrivals("camera/front"))
    assert abs(lost - 1000 * probability) < 5 * np.sqrt(1000 * probability * (1 - probability)) + 1


def test_another_seed_is_another_fault() -> None:
    one, other = (FaultyDrive(small_drive(10.0), ["packet_loss:3"], seed).arrivals("camera/front") for seed in (0, 1))
    assert one.tolist() != other.tolist()


# --- images


def shot() -> Shot:
    return Shot(
        depth=lambda: np.full((36, 64), 30.0, np.float32),
        focal_px=190.0,
        since_ns=0,
        lens=lambda which: np.random.default_rng([7, which]),
    )


def picture() -> np.ndarray:
    """A scene with structure: 320 x 180, mean grey 110."""
    small = np.random.default_rng(5).integers(20, 200, (18, 32, 3), dtype=np.uint8)
    return cv2.resize(small, (320, 180), interpolation=cv2.INTER_NEAREST)


def harmed(name: str, amount: float) -> np.ndarray:
    return IMAGE_FAULTS[name](picture(), amount, shot(), np.random.default_rng(0))


def sharpness(image: np.ndarray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_64F).var())


def changed(image: np.ndarray) -> float:
    """Share of the pixels that are not what they were."""
    return float((np.abs(image.astype(int) - picture()).max(axis=2) > 12).mean())


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind.name in IMAGE_FAULTS], ids=lambda kind: kind.name)
def test_each_severity_is_further_from_the_truth_than_the_one_before(kind) -> None:
    apart = [float(np.abs(harmed(kind.name, a).astype(float) - picture()).mean()) for a in kind.amounts]
    assert 0 < apart[0] < apart[1] < apart[2]
    assert harmed(kind.name, kind.amounts[0]).shape == picture().shape


def test_darkness_is_in_stops_beyond_what_the_camera_makes_up_for() -> None:
    light = [np.square(harmed("dark", stops).astype(float)).mean() for stops in (5.0, 6.0)]
    assert light[0] / light[1] == pytest.approx(2.0, rel=0.1)
    noisy = harmed("dark", 4.0).astype(float) - picture()
    assert abs(noisy.mean()) < 4 < noisy.std()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_dirt_covers_the_share_that_it_says(share: float) -> None:
    assert changed(harmed("dirt", share)) == pytest.approx(share, abs=0.12)


def test_dirt_stays_where_it_is() -> None:
    again = IMAGE_FAULTS["dirt"](picture(), 0.25, shot(), np.random.default_rng(99))
    assert np.array_equal(again, harmed("dirt", 0.25))


def test_blur_takes_detail_and_keeps_light() -> None:
    for name in ("blur", "motion_blur"):
        assert sharpness(harmed(name, 0.02)) < 0.5 * sharpness(picture())
        light = [np.square(image.astype(float)).mean() for image in (harmed(name, 0.02), picture())]
        assert light[0] == pytest.approx(light[1], rel=0.02)


def test_glare_is_white_at_its_angle_and_fades() -> None:
    image = harmed("glare", 6.0)
    assert (image == 255).all(axis=2).sum() > 0.8 * np.pi * (np.radians(6.0) * 190.0) ** 2
    assert (image.astype(int) - picture()).min() >= -1, "it only adds light"


# --- points


def sweep(seed: int = 0) -> np.ndarray:
    return next(iter(small_drive().messages(["lidar/top"]))).payload.points  # type: ignore[attr-defined]


@pytest.mark.parametrize("left", [16, 8, 4, 1])
def test_so_many_beams_are_left(left: int) -> None:
    lidar = small_rig().lidars[0]
    points = sweep()
    kept = beam_loss(points, left, lidar, np.random.default_rng(0))
    assert len(np.unique(kept["ring"])) == left
    assert np.isin(kept, points).all()
    unnumbered = points.copy()
    unnumbered["ring"] = 0
    kept = beam_loss(unnumbered, left, lidar, np.random.default_rng(0))
    assert len(np.unique(beams(unnumbered, lidar))) == 32
    assert len(kept) == pytest.approx(len(points) * left / 32, rel=0.05)


def test_what_is_beside_and_behind_is_cut() -> None:
    kept = fov_cut(sweep(), 120.0, small_rig().lidars[0], np.random.default_rng(0))
    assert 0.2 < len(kept) / len(sweep()) < 0.45
    assert np.abs(np.degrees(np.arctan2(kept["y"], kept["x"]))).max() <= 60.0


def test_crosstalk_stays_on_its_beams() -> None:
    points = sweep()
    hit = crosstalk(points, 0.3, small_rig().lidars[0], np.random.default_rng(0))
    moved = np.abs(hit["x"] - points["x"]) > 1e-3
    assert 0.2 < moved.mean() < 0.4
    np.testing.assert_allclose(np.arctan2(hit["y"], hit["x"]), np.arctan2(points["y"], points["x"]), atol=1e-4)


def test_interference_loses_what_the_raised_floor_hides() -> None:
    radar = small_rig().radars[0]
    points = next(iter(small_drive().messages(["radar/bumper"]))).payload.points  # type: ignore[attr-defined]
    kept = interference(points, 6.0, radar, np.random.default_rng(0))
    assert len(kept) == (points["snr"] >= points["snr"].min() + 6.0).sum()


def test_clutter_adds_as_many_as_it_says() -> None:
    radar = small_rig().radars[0]
    points = next(iter(small_drive().messages(["radar/bumper"]))).payload.points  # type: ignore[attr-defined]
    added = [len(clutter(points, 30.0, radar, np.random.default_rng(i))) - len(points) for i in range(100)]
    assert np.mean(added) == pytest.approx(30.0, abs=2.5)
    out = clutter(points, 30.0, radar, np.random.default_rng(0))
    assert np.array_equal(out[: len(points)], points)
    assert np.hypot(out["x"], out["y"])[len(points) :].max() <= radar.max_range_m
