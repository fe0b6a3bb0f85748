"""The camera network that comes with the project: the file of its card, operators that every engine takes."""

from __future__ import annotations

import json

import numpy as np
import onnx

from fusion.detect import weights
from fusion.detect.centre_points import CentrePoints
from fusion.detect.onnx_detectors import OnnxSettings

NAME = "camera_simulated"
TAKEN = {"Conv", "Relu", "Add", "Resize", "Sub", "Div", "Concat"}
"""By TensorRT and OpenVINO alike; a scatter is not among them."""


def test_its_operators_are_taken_everywhere() -> None:
    model = onnx.load(weights.resolve(NAME))
    assert {node.op_type for node in model.graph.node} <= TAKEN
    assert weights.resolve(NAME).stat().st_size < 3_000_000


def test_it_opens_and_finds_nothing_in_a_grey_image() -> None:
    found = CentrePoints(weights.resolve(NAME), OnnxSettings())(np.full((360, 640, 3), 120, np.uint8))
    assert len(found.score) == 0


def test_its_card_says_what_it_was_made_of() -> None:
    card = json.loads((weights.SHIPPED / f"{NAME}.json").read_bytes())
    assert {"data", "test", "command", "commit", "settings", "scores", "licence"} <= set(card)
    assert "simulated only" in card["data"]
