"""The graph with a part of it taken away, to see what the part is worth. Nothing is trained again without it.

`memory`: it remembers nothing of tracks and sensors. `sensors`: no sensor nodes, so that what many objects share is
not seen. `order`: the weights and biases of a frame's detections are dealt out at random. `precision`: weights that sum
to one, the total precision as stated, as a softmax has it.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from fusion.graph.inputs import GraphInput
from fusion.graph.weigher import Graph, GraphSettings
from fusion.measurements import FloatArray
from fusion.softmax_gate import dealt_out
from fusion.weigher import Encounter, Verdict

Part = Literal["memory", "sensors", "order", "precision"]


class AblatedSettings(GraphSettings, frozen=True, tag="graph_without"):
    """without: the part that is taken away."""

    without: Part = "memory"


class Ablated(Graph):
    def __init__(self, settings: AblatedSettings) -> None:
        super().__init__(settings)
        self._without = settings.without

    def weigh(self, met: Encounter) -> Verdict:
        verdict = super().weigh(met)
        if self._without != "precision":
            return verdict
        R = verdict.seen.R
        worth = (R[:, 0, 0] + R[:, 1, 1]) / (R[:, 0, 0] * R[:, 1, 1] - R[:, 0, 1] ** 2)
        share = worth / np.bincount(met.row, worth, len(met.tracks))[met.row]
        seen = dealt_out(met, np.asarray(share))._replace(residual=verdict.seen.residual)
        return dataclasses.replace(verdict, seen=seen)

    def ask(self, met: Encounter, given: GraphInput, memory: FloatArray) -> dict[str, FloatArray]:
        if self._without == "memory":
            forgotten = dataclasses.replace(met.tracks, memory=np.zeros_like(met.tracks.memory))
            return super().ask(met._replace(tracks=forgotten), given, np.zeros_like(memory))
        if self._without == "sensors":
            blank, alone = np.zeros_like(given.sensor), np.zeros_like(given.pairs_of_sensor_mask)
            given = given._replace(sensor=blank, pairs_of_sensor_mask=alone)
            return super().ask(met, given, np.zeros_like(memory))
        told = super().ask(met, given, memory)
        if self._without == "order":
            order = np.random.default_rng(met.frames.index).permutation(len(met.row))
            told |= {name: told[name][order] for name in ("log_scale", "bias", "white")}
        return told
