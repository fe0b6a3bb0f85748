from __future__ import annotations

import numpy as np
import pytest
import torch

from fusion.graph.inputs import SENSOR, nearest, padded
from fusion.graph.network import GraphNetwork
from fusion.graph.registration import SIGNS, TURN_UNIT
from fusion.graph.weigher import FAULTS
from fusion.training.graph.reference import reference
from tests.graphs import random_input, random_network


@pytest.mark.parametrize(("pairs", "tracks", "sensors"), [(40, 30, 5), (1, 1, 1), (0, 3, 2), (12, 1, 12)])
def test_padded_lists_and_message_passing_agree(pairs, tracks, sensors):
    network, given = random_network(), random_input(pairs, tracks, sensors, 1)
    with torch.no_grad():
        for padded_form, geometric in zip(network(**given), reference(network)(**given), strict=True):
            torch.testing.assert_close(padded_form, geometric, atol=1e-5, rtol=1e-5)


def test_untrained_it_changes_nothing_but_may_still_remember():
    given = random_input(20, 15, 4, 2)
    given["sensor"][:, [SENSOR.index(name) for name in SIGNS]] = 0.0  # as of sensors that nothing was measured of
    out = GraphNetwork()(**given)
    for silent in (out.log_scale, out.bias, out.white, out.evidence, out.turn, out.lag):
        assert not silent.detach().any()
    torch.testing.assert_close(out.class_trust, torch.ones(20))


def test_a_turn_that_was_measured_is_taken_off_as_far_as_it_is_believed():
    given = random_input(20, 15, 4, 2)
    given["sensor"][:, [SENSOR.index(name) for name in SIGNS]] = 0.0
    given["sensor"][2, SENSOR.index("turn")] = 0.5
    network = GraphNetwork()
    assert not network(**given).turn.detach().any()
    given["sensor"][2, SENSOR.index("misaligned_odds")] = 6.0
    out = network(**given)
    assert out.fault[2].argmax() == FAULTS.index("misaligned")
    assert out.turn[2].item() == pytest.approx(0.5 * TURN_UNIT, rel=0.05)
    assert not out.turn[[0, 1, 3]].detach().any()


def test_the_order_of_pairs_and_tracks_means_nothing():
    network, given = random_network(), random_input(24, 10, 4, 3)
    pair_order, track_order = torch.randperm(24), torch.randperm(10)
    place_of = torch.empty(10, dtype=torch.int64)
    place_of[track_order] = torch.arange(10)
    moved = dict(given)
    for name in ("pair", "pair_motion", "sensor_of"):
        moved[name] = given[name][pair_order]
    for name in ("track", "track_motion", "place", "velocity", "track_memory"):
        moved[name] = given[name][track_order]
    moved["track_of"] = place_of[given["track_of"]][pair_order]
    for name, group, groups in (("track", "track_of", 10), ("sensor", "sensor_of", 4)):
        lists, mask = padded(moved[group].numpy(), groups)
        moved[f"pairs_of_{name}"], moved[f"pairs_of_{name}_mask"] = torch.from_numpy(lists), torch.from_numpy(mask)
    neighbours, mask = nearest(moved["place"].numpy().astype(np.float64))
    moved["neighbours"], moved["neighbours_mask"] = torch.from_numpy(neighbours), torch.from_numpy(mask)
    with torch.no_grad():
        a, b = network(**given), network(**moved)
    torch.testing.assert_close(a.log_scale[pair_order], b.log_scale, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(a.evidence[track_order], b.evidence, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(a.fault, b.fault, atol=1e-5, rtol=1e-4)


def test_scenes_side_by_side_do_not_hear_each_other():
    network = random_network()
    one, two = random_input(9, 6, 3, 4), random_input(5, 7, 2, 5)
    both = {}
    for name, a in one.items():
        b = two[name]
        if name == "track_of":
            b = b + 6
        if name == "sensor_of":
            b = b + 3
        if a.dtype == torch.int64 and a.ndim == 2:
            offset = {"neighbours": 6}.get(name, 9)
            b = (b + offset) * two[f"{name}_mask"].long()
        if a.ndim == 2 and a.shape[1] != b.shape[1]:
            wide = max(a.shape[1], b.shape[1])
            a, b = (torch.nn.functional.pad(x, (0, wide - x.shape[1])) for x in (a, b))
        both[name] = torch.cat([a, b])
    with torch.no_grad():
        alone, beside = network(**one), network(**both)
    torch.testing.assert_close(beside.log_scale[:9], alone.log_scale, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(beside.next_sensor_memory[:3], alone.next_sensor_memory, atol=1e-5, rtol=1e-4)


def test_padded_lists_hold_each_member_once():
    lists, mask = padded(np.array([2, 0, 2, 2]), 4)
    assert lists.shape == (4, 3)
    assert lists[2].tolist() == [0, 2, 3]
    assert mask.sum(axis=1).tolist() == [1, 0, 3, 0]


def test_nearest_are_the_nearest():
    place = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0], [100.0, 0.0]])
    neighbours, mask = nearest(place)
    assert mask.sum(axis=1).tolist() == [3, 3, 3, 3]
    assert set(neighbours[0, :3].tolist()) == {1, 2, 3}
    many = np.random.default_rng(0).normal(size=(40, 2))
    apart = np.linalg.norm(many[:, None] - many[None], axis=-1) + 1e9 * np.eye(40)
    neighbours, _ = nearest(many)
    np.testing.assert_array_equal(neighbours, np.sort(np.argsort(apart, axis=1)[:, :8], axis=1))
