from __future__ import annotations

import itertools

import numpy as np
import pytest

from fusion.association import (
    AssociationSettings,
    Pairs,
    assign,
    candidates,
    duplicate_tracks,
    founders,
    without_duplicates,
)
from fusion.kalman import Groups, fuse, innovate
from fusion.measurements import Measurements, measurements, take
from fusion.tracks import Tracks, born, seeds
from tests.scenes import Sensor, Thing, detections, frame_set, slot

SETTINGS = AssociationSettings()


def table(sensors: list[Sensor], things: list[Thing], seed: int = 0) -> Measurements:
    rng = np.random.default_rng(seed)
    slots = [slot(sensor, detections(sensor, things, 0.0, rng)) for sensor in sensors]
    return measurements(frame_set(0, slots), 0, ("camera", "lidar", "radar"))


def tracks_at(z: Measurements, sigma: float = 0.5) -> Tracks:
    tracks = born(z, 1)
    tracks.cov[:] = np.diag([sigma, sigma, sigma, 1.0, 1.0]) ** 2
    return tracks


def crowd(n: int, seed: int = 1, spread: float = 25.0) -> list[Thing]:
    rng = np.random.default_rng(seed)
    return [Thing((float(x), float(y), 0.8), (0.0, 0.0)) for x, y in rng.uniform(-spread, spread, size=(n, 2))]


def test_the_coarse_gate_loses_no_pair_of_the_exact_one():
    sensors = [Sensor("roof", "lidar", offset_ns=80_000_000), Sensor("front", "camera", (4.0, 0.4, 0.3))]
    z = table(sensors, crowd(40))
    tracks = tracks_at(z.take(z.sensor == 0))
    tracks.mean[:, 3:] = np.random.default_rng(3).normal(size=(len(tracks), 2)) * 8
    psd = np.full(len(tracks), 3.0)
    found = candidates(tracks, z, 0, psd, SETTINGS)
    wanted = set()
    for i, j in itertools.product(range(len(tracks)), range(len(z))):
        one, at = z.take(np.array([j])), np.array([i])
        cov = tracks.cov[at] + np.diag([SETTINGS.slack_m**2] * 2 + [0.0] * 3)
        seen = innovate(tracks.mean[at], cov, (one.time_ns - 0) * 1e-9, psd[at], one, SETTINGS.resolve_sigmas)
        if seen.distance()[0] < SETTINGS.gate_sigmas**2:
            wanted.add((i, j))
    pairs = set(zip(found.track.tolist(), found.detection.tolist(), strict=True))
    assert pairs <= wanted
    assert len(wanted - pairs) < 0.2 * len(wanted)  # those whose gain says clutter
    assert len(pairs) > 30


@pytest.mark.parametrize("seed", range(8))
def test_assignment_has_the_largest_total_gain_of_all(seed):
    rng = np.random.default_rng(seed)
    z = table([Sensor("a", "lidar"), Sensor("b", "lidar")], crowd(4))
    edges = [(t, d) for t in range(4) for d in range(len(z)) if rng.random() < 0.5]
    pairs = Pairs(
        np.array([t for t, _ in edges]), np.array([d for _, d in edges]), rng.uniform(0.1, 5.0, size=len(edges))
    )
    row, column, certainty = assign(pairs, z)
    gains = dict(zip(edges, pairs.gain, strict=True))
    total = sum(gains[edge] for edge in zip(row.tolist(), column.tolist(), strict=True))

    def best(sensor: int) -> float:
        mine = [int(d) for d in np.flatnonzero(z.sensor == sensor)]
        options = itertools.product([None, 0, 1, 2, 3], repeat=len(mine))
        return max(
            sum(gains.get((t, d), -np.inf) for t, d in zip(choice, mine, strict=True) if t is not None)
            for choice in options
            if len([t for t in choice if t is not None]) == len({t for t in choice if t is not None})
        )

    assert total == pytest.approx(best(0) + best(1))
    seats = list(zip(z.sensor[column].tolist(), row.tolist(), strict=True))
    assert len(set(seats)) == len(seats)
    assert len(set(column.tolist())) == len(column)
    likelihood = {d: sum(np.exp(g) for (_, e), g in gains.items() if e == d) for d in column.tolist()}
    wanted = [np.exp(gains[t, d]) / likelihood[d] for t, d in zip(row.tolist(), column.tolist(), strict=True)]
    np.testing.assert_allclose(certainty, wanted)


def test_a_confident_detection_is_preferred_and_a_weak_one_still_serves():
    car = [Thing((10.0, 0.0, 0.8), (0.0, 0.0))]
    strong, weak = table([Sensor("a", "lidar")], car), table([Sensor("a", "lidar", score=0.1)], car)
    tracks = tracks_at(strong)
    psd = np.ones(1)
    gain_strong = candidates(tracks, strong, 0, psd, SETTINGS).gain
    gain_weak = candidates(tracks, weak, 0, psd, SETTINGS).gain
    assert gain_strong[0] > gain_weak[0] > 0.0


def test_class_agreement_decides_between_two_as_near():
    z = table([Sensor("a", "lidar", (0.01, 0.01, 0.01))], [Thing((10.0, 0.0, 0.8), (0, 0), "pedestrian")])
    both = table(
        [Sensor("b", "lidar", (0.01, 0.01, 0.01))],
        [Thing((10.5, 0.0, 0.8), (0, 0), "pedestrian"), Thing((9.5, 0.0, 0.8), (0, 0), "truck")],
    )
    tracks = tracks_at(both)
    row, _, _ = assign(candidates(tracks, z, 0, np.ones(2), SETTINGS), z)
    assert np.argmax(tracks.class_prob[row[0]]) == 5


def test_two_detections_of_one_sensor_at_one_place_are_one_but_those_of_two_sensors_are_not():
    twice = [Thing((10.0, 0.0, 0.8), (0, 0)), Thing((10.3, 0.0, 0.8), (0, 0)), Thing((10.0, 3.0, 0.8), (0, 0))]
    exact = (0.001, 0.001, 0.001)
    z = table([Sensor("a", "lidar", exact), Sensor("b", "lidar", exact)], twice)
    kept = without_duplicates(z, SETTINGS.duplicate_m)
    assert np.bincount(kept.sensor).tolist() == [2, 2]
    persons = [Thing((10.0, 0.2 + 0.6 * i, 0.9), (0, 0), "pedestrian", (0.5, 0.5, 1.7)) for i in range(3)]
    assert len(without_duplicates(table([Sensor("a", "lidar", exact)], persons), SETTINGS.duplicate_m)) == 3


def test_one_object_seen_by_three_sensors_has_one_founder_the_most_exact():
    sensors = [
        Sensor("front", "camera", (2.0, 0.4, 0.3)),
        Sensor("roof", "lidar"),
        Sensor("bumper", "radar", (1, 1, 1)),
    ]
    z = table(sensors, [Thing((10.0, 0.0, 0.8), (0, 0)), Thing((-10.0, 9.0, 0.8), (0, 0))])
    pairs = candidates(tracks_at(z), z, 0, np.ones(len(z)), SETTINGS)
    founder = founders(pairs, z)
    assert len(set(founder.tolist())) == 2
    assert set(z.sensor[founder].tolist()) == {1}


def test_a_track_that_repeats_another_goes_unless_one_sensor_tells_them_apart():
    z = table([Sensor("a", "lidar", (0.01, 0.01, 0.01))], [Thing((10, 0, 0.8), (0, 0)), Thing((10.4, 0, 0.8), (0, 0))])
    tracks = tracks_at(z)
    tracks.evidence[:] = [1.0, 2.0]
    by_turns, at_once = np.eye(2, dtype=bool), np.ones((2, 2), dtype=bool)
    assert duplicate_tracks(tracks, by_turns, 0.5).tolist() == [True, False]
    assert not duplicate_tracks(tracks, at_once, 0.5).any()
    apart = take(tracks, np.array([0, 1]))
    apart.mean[1, 0] += 3.0
    assert not duplicate_tracks(apart, by_turns, 0.5).any()


def test_a_seed_is_its_detection_fused_with_a_prior_that_knows_nothing():
    z = table([Sensor("front", "camera", (2.0, 0.4, 0.3), offset_ns=70_000_000)], crowd(5))
    prior, each = born(z, 0), np.arange(len(z))
    ahead = (z.time_ns - 0) * 1e-9
    seen = innovate(prior.mean, prior.cov, ahead, np.zeros(len(z)), z, 3.0)
    mean, cov = fuse(prior.mean, prior.cov, seen, np.ones(len(z)), Groups(each, len(z)))
    seed = seeds(z, 0)
    np.testing.assert_allclose(seed.mean, mean, atol=1e-6)
    np.testing.assert_allclose(seed.cov, cov, rtol=1e-3, atol=1e-3)
