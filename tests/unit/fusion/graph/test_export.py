from __future__ import annotations

import onnxruntime
import pytest
import torch

from fusion.graph.network import GraphOutput
from fusion.training.graph.export import export, operators
from tests.graphs import random_input, random_network


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "graph.onnx"
    export(random_network(), path)
    return path


@pytest.mark.parametrize(("pairs", "tracks", "sensors"), [(256, 128, 12), (1, 1, 1), (3, 9, 2)])
def test_the_exported_network_says_what_torch_says(exported, pairs, tracks, sensors):
    given = random_input(pairs, tracks, sensors, 6)
    session = onnxruntime.InferenceSession(str(exported))
    told = session.run(list(GraphOutput._fields), {name: a.numpy() for name, a in given.items()})
    with torch.no_grad():
        wanted = random_network()(**given)
    for found, one in zip(told, wanted, strict=True):
        torch.testing.assert_close(torch.from_numpy(found), one, atol=1e-4, rtol=1e-4)


def test_nothing_is_scattered(exported):
    assert not {name for name in operators(exported) if "Scatter" in name}


def test_the_file_is_small(exported):
    assert exported.stat().st_size < 2 << 20


def test_the_file_does_not_say_where_it_was_made(exported):
    written = exported.read_bytes()
    assert b".py" not in written
    assert b"site-packages" not in written
