"""Random inputs of the network, for the tests around it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fusion.graph.inputs import PAIR, SENSOR, TRACK, nearest, padded
from fusion.graph.network import WIDTH, GraphNetwork
from fusion.graph.polar import PAIR_MOTION, TRACK_MOTION


def random_input(pairs: int, tracks: int, sensors: int, seed: int) -> dict[str, Tensor]:
    """Each pair of its own sensor and track, as the tracker makes them, as long as there are enough of both."""
    rng = np.random.default_rng(seed)
    seats = rng.permutation(tracks * sensors)[:pairs]
    track_of, sensor_of = seats // sensors, seats % sensors
    place = rng.normal(0, 30, (tracks, 2))
    of_track, of_track_mask = padded(track_of, tracks)
    of_sensor, of_sensor_mask = padded(sensor_of, sensors)
    neighbours, neighbours_mask = nearest(place)
    motion = np.concatenate(
        [rng.normal(0, 1, (pairs, 4)), rng.uniform(0.01, 4, (pairs, 7)), rng.normal(0, 5, (pairs, 4))], axis=1
    )
    assert motion.shape[1] == len(PAIR_MOTION)
    arrays = {
        "pair": rng.normal(0, 0.5, (pairs, len(PAIR))), "pair_motion": motion,
        "track": rng.normal(0, 0.5, (tracks, len(TRACK))),
        "track_motion": rng.uniform(0.01, 9, (tracks, len(TRACK_MOTION))),
        "sensor": rng.normal(0, 0.5, (sensors, len(SENSOR))), "modality": np.eye(3)[rng.integers(0, 3, sensors)],
        "track_of": track_of, "sensor_of": sensor_of, "pairs_of_track": of_track, "pairs_of_track_mask": of_track_mask,
        "pairs_of_sensor": of_sensor, "pairs_of_sensor_mask": of_sensor_mask, "neighbours": neighbours,
        "neighbours_mask": neighbours_mask, "place": place, "velocity": rng.normal(0, 5, (tracks, 2)),
        "track_memory": rng.normal(0, 0.5, (tracks, WIDTH)), "sensor_memory": rng.normal(0, 0.5, (sensors, WIDTH)),
    }  # fmt: skip
    return {name: torch.from_numpy(a if a.dtype == np.int64 else a.astype(np.float32)) for name, a in arrays.items()}


def random_network(seed: int = 0) -> GraphNetwork:
    """One whose heads say something, though they start at zero."""
    torch.manual_seed(seed)
    network = GraphNetwork()
    for head in (network.of_pair, network.of_track, network.of_shift, network.of_fault, network.of_weather):
        nn.init.normal_(head[-1].weight, std=0.3)
    return network.eval()
