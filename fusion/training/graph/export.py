"""The trained graph as an ONNX file, without a scatter, that `fusion.graph.weigher` runs."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch.export import Dim

from fusion.graph.alarm import ALARM
from fusion.graph.inputs import NEIGHBOURS, PAIR, SENSOR, TRACK
from fusion.graph.network import WIDTH, GraphNetwork, GraphOutput
from fusion.graph.polar import PAIR_MOTION, TRACK_MOTION
from fusion.graph.weigher import INFLATION
from fusion.training.onnx_file import write_onnx


def export(network: GraphNetwork, path: Path, inflation: float = 1.0, alarm: float = 1.0) -> str:
    """Write the network for any number of pairs, tracks and sensors, but at least one track and one sensor; returns the
    file's SHA-256.

    inflation: factor on published covariances; alarm: threshold of `fusion.graph.alarm`; kept in the file.
    """
    about = {INFLATION: repr(inflation), ALARM: repr(alarm)}
    return write_onnx(network, path, _example(), GraphOutput._fields, _dynamic(), about)


def operators(path: Path) -> set[str]:
    """Names of the operators in the file."""
    return {node.op_type for node in onnx.load(str(path)).graph.node}


def _example(n: int = 7, m: int = 5, s: int = 3) -> dict[str, torch.Tensor]:
    real = torch.zeros

    def whole(*shape: int) -> torch.Tensor:
        return torch.zeros(*shape, dtype=torch.int64)

    return {
        "pair": real(n, len(PAIR)), "pair_motion": torch.ones(n, len(PAIR_MOTION)), "track": real(m, len(TRACK)),
        "track_motion": torch.ones(m, len(TRACK_MOTION)), "sensor": real(s, len(SENSOR)), "modality": real(s, 3),
        "track_of": whole(n), "sensor_of": whole(n), "pairs_of_track": whole(m, 2),
        "pairs_of_track_mask": real(m, 2), "pairs_of_sensor": whole(s, 4), "pairs_of_sensor_mask": real(s, 4),
        "neighbours": whole(m, NEIGHBOURS), "neighbours_mask": real(m, NEIGHBOURS), "place": real(m, 2),
        "velocity": real(m, 2), "track_memory": real(m, WIDTH), "sensor_memory": real(s, WIDTH),
    }  # fmt: skip


def _dynamic() -> dict[str, dict[int, Dim]]:
    n, m, s, per_track, per_sensor = (
        Dim(name, max=65536) for name in ("pairs", "tracks", "sensors", "per_track", "per_sensor")
    )
    rows = (
        (n, ("pair", "pair_motion", "track_of", "sensor_of")),
        (m, ("track", "track_motion", "neighbours", "neighbours_mask", "place", "velocity", "track_memory")),
        (s, ("sensor", "modality", "sensor_memory")),
    )
    out = {name: {0: dim} for dim, names in rows for name in names}
    out |= {"pairs_of_track": {0: m, 1: per_track}, "pairs_of_track_mask": {0: m, 1: per_track}}
    return out | {"pairs_of_sensor": {0: s, 1: per_sensor}, "pairs_of_sensor_mask": {0: s, 1: per_sensor}}
