"""The weights that are shipped: no scatter in the file, and it says what PyTorch Geometric says of the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from fusion.detect import weights
from fusion.graph.network import GraphNetwork, GraphOutput
from fusion.training.graph.export import operators
from fusion.training.graph.reference import reference
from tests.graphs import random_input

SHIPPED = pytest.mark.parametrize(
    "shipped", [weights.resolve(name) for name in weights.shipped() if name.startswith("graph")]
)


@SHIPPED
def test_nothing_is_scattered(shipped: Path) -> None:
    assert not {name for name in operators(shipped) if "Scatter" in name}


@SHIPPED
@pytest.mark.parametrize(("pairs", "tracks", "sensors"), [(256, 128, 12), (1, 1, 1), (3, 9, 2)])
def test_the_file_says_what_message_passing_says(shipped: Path, pairs: int, tracks: int, sensors: int) -> None:
    """Of rows of up to a few in size, to 1e-5 of one."""
    given = random_input(pairs, tracks, sensors, 6)
    told = onnxruntime.InferenceSession(str(shipped)).run(
        list(GraphOutput._fields), {name: a.numpy() for name, a in given.items()}
    )
    with torch.no_grad():
        wanted = reference(network_of(shipped))(**given)
    for found, one in zip(told, wanted, strict=True):
        torch.testing.assert_close(torch.from_numpy(found), one, atol=1e-5, rtol=1e-5)


def network_of(path: Path) -> GraphNetwork:
    """The network with the file's numbers, which bear its names; a layer without bias stands there transposed, under
    the name of the exporter."""
    graph, network = onnx.load(str(path)).graph, GraphNetwork()
    kept = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    wanted = network.state_dict()
    nameless = [name for name in wanted if name not in kept]
    factors = [node.input[1] for node in graph.node if node.op_type == "MatMul" and node.input[1] in kept]
    assert len(nameless) == len(factors)
    kept |= {name: kept[factor].T for name, factor in zip(nameless, factors, strict=True)}
    network.load_state_dict({name: torch.from_numpy(np.array(kept[name])) for name in wanted})
    return network.eval()
