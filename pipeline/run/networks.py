"""Which networks a run uses, in which form and on which engine: for its record, before they are opened."""

from __future__ import annotations

from calibration.rig import Rig
from fusion.detect.pillars import PillarSettings
from fusion.engines.choice import chosen, described
from fusion.graph.weigher import GraphSettings
from pipeline.graph import CameraNodes, FuseNode, Graph, LidarNodes


def networks(graph: Graph, rig: Rig) -> dict[str, str]:
    """By node: the file's name, its precision, the engine.

    Raises:
        BadInput: weights that are not there.
    """
    told: dict[str, str] = {}
    for node in graph.nodes:
        match node:
            case CameraNodes() if rig.cameras:
                detector = node.settings.detector
                folder = detector.folder
                told["detect_camera"] = described(*chosen(detector.weights, detector.network.engine, folder))
            case LidarNodes(settings=settings) if isinstance(settings.detector, PillarSettings) and rig.lidars:
                told["detect_lidar"] = described(*chosen(settings.detector.weights, settings.detector.engine))
            case FuseNode(settings=settings) if isinstance(settings.weigh, GraphSettings):
                told["fuse"] = described(*chosen(settings.weigh.model, settings.weigh.engine))
            case _:
                pass
    return told
