from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from fusion.graph.ablation import AblatedSettings, Part
from fusion.graph.weigher import GraphSettings
from fusion.tracker import Tracker, TrackerSettings
from fusion.training.graph.export import export
from pipeline.cli.play import named_graph
from pipeline.core.errors import BadInput
from tests.clips import small_clip
from tests.graphs import random_network


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("graph") / "graph.onnx"
    export(random_network(), path)
    return str(path)


def test_each_part_that_is_taken_away_changes_what_is_fused(model):
    frames = list(small_clip(3, seconds=1.2).frames())

    def last(settings: GraphSettings) -> np.ndarray:
        tracker = Tracker(TrackerSettings(weigh=settings))
        for frame_set, time_ns in frames:
            scene = tracker.step(frame_set, time_ns)
        assert np.isfinite(scene.state_cov).all()
        np.testing.assert_allclose(scene.weight[scene.coasted == 0].sum(axis=1), 1.0, atol=1e-5)
        return np.sort(scene.track_position[:, 0])

    whole = last(GraphSettings(model=model))
    for part in get_args(Part):
        found = last(AblatedSettings(model=model, without=part))
        assert found.shape != whole.shape or not np.allclose(found, whole)


def test_a_graph_names_what_it_lacks():
    graph = named_graph("fusion_graph", ray=False)
    assert graph.without("radar").fusion.settings.modalities == ("camera", "lidar")
    lacking = graph.without("memory")
    assert lacking.name == "fusion_graph-memory"
    assert lacking.fusion.settings.weigh == AblatedSettings(existence=0.25, without="memory")
    with pytest.raises(BadInput, match="without"):
        named_graph("baseline", ray=False).without("memory")
    with pytest.raises(BadInput, match="without"):
        graph.without("wheels")
