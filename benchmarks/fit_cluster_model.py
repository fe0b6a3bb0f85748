"""Fit the LiDAR baseline's cluster model to one PandaSet sequence and write fusion/detect/cluster_model.json.

python -m benchmarks.fit_cluster_model ../shared/drives/pandaset_002

Odd frames only, so that the even ones can be scored. Three views of each: both LiDARs as they are, and the Pandar64
thinned to beams 2 degrees apart, as small LiDARs have them. Samples of the size prior stand in for the classes of which
the scene shows next to nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import numpy as np

from calibration.rig import LidarSensor
from fusion.detect.cluster_class import FEATURES, GROUPS, MODEL_PATH, ClusterModel
from fusion.detect.cluster_fit import fit, label_clusters, prior_clusters
from fusion.detect.segment import SegmentSettings, find_clusters
from nodes.sources.pandaset import PandaSetDrive
from pipeline.core.messages import EgoPose, Message, PointCloud
from pipeline.core.truth import TruthObjects

LIDARS = ("pandar64", "pandargt")
BEAM_DEG, GAP_DEG = 0.34, 2.0
DRAWN_PER_GROUP = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a PandaSet sequence in the local layout")
    drive = PandaSetDrive(parser.parse_args().folder)
    truths = list(drive.messages(["truth/objects"]))
    poses = list(drive.messages(["pose/ego"]))
    features: dict[str, list[np.ndarray]] = {name: [] for name in FEATURES}
    groups: list[np.ndarray] = []
    for message in drive.messages([f"lidar/{name}" for name in LIDARS]):
        frame = int(np.argmin([abs(m.stamp.time_ns - message.stamp.time_ns) for m in truths]))
        if frame % 2 == 0:
            continue
        sensor = drive.rig[message.source]
        assert isinstance(message.payload, PointCloud)
        assert isinstance(sensor, LidarSensor)
        for xyz in views(message.payload.xyz, sensor.name):
            ego = np.asarray(sensor.ego_SE3_sensor @ xyz)
            found = find_clusters(ego, np.zeros(len(ego), np.int32), SegmentSettings())
            groups.append(label_clusters(found, ego, *labels(truths[frame], nearest(poses, truths[frame]))))
            for name, values in found.features.items():
                features[name].append(values)
    group = np.concatenate(groups)
    seen = {name: np.concatenate(values) for name, values in features.items()}
    drawn, drawn_group = prior_clusters(seen, group, DRAWN_PER_GROUP, seed=0)
    together = {name: np.concatenate([seen[name], drawn[name]]) for name in FEATURES}
    coefficients = fit(together, np.concatenate([group, drawn_group]))
    model = ClusterModel(
        source="PandaSet sequence 002 (Hesai and Scale AI), odd frames; samples of the size prior",
        command="python -m benchmarks.fit_cluster_model ../shared/drives/pandaset_002",
        groups=GROUPS,
        features=FEATURES,
        coefficients=tuple(tuple(round(float(c), 3) for c in row) for row in coefficients),
    )
    MODEL_PATH.write_bytes(msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n")
    names = ["/".join(group) or "background" for group in GROUPS]
    counts = {name: int((group == number).sum()) for number, name in enumerate(names)}
    print(f"wrote {MODEL_PATH.name} from {len(group)} clusters: {counts}")


def views(xyz: np.ndarray, name: str) -> list[np.ndarray]:
    """The cloud, and thinned ones, in the LiDAR frame."""
    if name != "pandar64":
        return [xyz]
    elevation = np.degrees(np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1])))
    thin = [
        xyz[(np.mod(elevation - phase, GAP_DEG) < BEAM_DEG) & (np.abs(elevation) < 16.0)]
        for phase in (0.0, GAP_DEG / 2)
    ]
    return [xyz, *thin]


def nearest(poses: list[Message], at: Message) -> EgoPose:
    payload = min(poses, key=lambda m: abs(m.stamp.time_ns - at.stamp.time_ns)).payload
    assert isinstance(payload, EgoPose)
    return payload


def labels(truth: Message, pose: EgoPose) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Position, size, yaw and class of the labelled boxes in the ego frame."""
    objects = truth.payload
    assert isinstance(objects, TruthObjects)
    ego_SE3_odom = pose.odom_SE3_ego.inverse()
    position = np.asarray(ego_SE3_odom @ objects.position)
    return position, objects.size.astype(np.float64), objects.yaw + float(ego_SE3_odom.yaw), objects.class_id


if __name__ == "__main__":
    main()
