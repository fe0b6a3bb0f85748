from __future__ import annotations

import copy

import torch

from fusion.tracker import Tracker
from fusion.training.graph.heads import HeadTraining, learn_heads
from fusion.training.graph.windows import windows
from fusion.training.parts import part_names, write_arrays
from tests.clips import small_clip
from tests.graphs import random_network


def test_only_heads_change_and_only_for_the_better(tmp_path):
    for seed in range(7):
        write_arrays(tmp_path / f"{seed}.npz", next(windows(small_clip(seed), Tracker(), 8, skip=4)))
    network = random_network()
    before = copy.deepcopy(network.state_dict())
    learn_heads(network, part_names(tmp_path), HeadTraining(steps=25, batch=64))
    changed = {name.split(".")[0] for name, now in network.state_dict().items() if not torch.equal(now, before[name])}
    assert changed <= {"of_track", "of_fault", "of_weather"}
    assert "of_track" in changed
