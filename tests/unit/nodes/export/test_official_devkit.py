"""A simulated drive with all ten classes, exported: the official nuScenes devkit opens, renders and scores it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calibration.rig import Rig
from nodes.export.nuscenes import VERSION, export_nuscenes
from nodes.simulator.drive import SimulatedDrive
from pipeline.core.messages import CLASSES
from pipeline.core.settings import load_yaml
from tests.simulated import actor, straight, street_world

_RIG = Path(__file__).resolve().parents[4] / "configs" / "rigs" / "demo.yaml"
_STREET = (
    # shape, place, heading, speed: all in view and within the range that the benchmark counts for their class
    ("sedan", (14.0, -2.0), 0.0, 4.0),
    ("box_truck", (26.0, 2.5), np.pi, 4.0),
    ("bus", (34.0, -2.2), 0.0, 3.0),
    ("tractor", (41.0, -12.0), 0.5, 0.0),
    ("semi_trailer", (33.5, -16.1), 0.5, 0.0),
    ("excavator", (18.0, 9.0), 2.0, 0.0),
    ("adult", (15.0, -6.5), 0.0, 1.4),
    ("motorcycle", (12.0, 2.0), np.pi, 2.0),
    ("bicycle", (11.0, 4.5), 0.0, 3.0),
    ("cone", (9.0, -4.5), 0.0, 0.0),
    ("barrier", (17.0, 5.5), 0.4, 0.0),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rig = load_yaml(_RIG, Rig)
    kept = tuple(s for s in rig.sensors if s.name in ("camera_front", "lidar_top", "radar_front"))
    actors = tuple(actor(i, name, straight(at, yaw, v)) for i, (name, at, yaw, v) in enumerate(_STREET, start=1))
    drive = SimulatedDrive(street_world(ego_speed=3.0, actors=actors), Rig(vehicle=rig.vehicle, sensors=kept), 1.6)
    root = tmp_path_factory.mktemp("nuscenes")
    export_nuscenes(drive, root)
    return root


def test_the_official_devkit_opens_renders_and_scores_all_ten_classes(root: Path, tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    loaders = pytest.importorskip("nuscenes.eval.common.loaders")
    from nuscenes.eval.detection.config import config_factory
    from nuscenes.eval.detection.data_classes import DetectionBox
    from nuscenes.eval.detection.evaluate import DetectionEval
    from nuscenes.nuscenes import NuScenes

    devkit = NuScenes(VERSION, str(root), verbose=False)
    sample = devkit.sample[1]
    for channel, data in sample["data"].items():
        # Its map layer works with older numpy only.
        devkit.render_sample_data(data, underlay_map=False, out_path=str(tmp_path / f"{channel}.png"), verbose=False)
        assert (tmp_path / f"{channel}.png").stat().st_size > 5000

    truth = loaders.load_gt(devkit, "mini_val", DetectionBox)
    results = {
        name: [
            dict(box.serialize(), detection_score=0.9, velocity=np.nan_to_num(box.velocity).tolist())
            for box in truth[name]
        ]
        for name in truth.sample_tokens
    }
    meta = dict.fromkeys(("use_camera", "use_lidar", "use_radar", "use_map", "use_external"), True)
    predictions = tmp_path / "perfect.json"
    predictions.write_text(json.dumps({"meta": meta, "results": results}), encoding="utf-8")
    judge = DetectionEval(
        devkit, config_factory("detection_cvpr_2019"), str(predictions), "mini_val", str(tmp_path), verbose=False
    )
    metrics, _ = judge.evaluate()
    there = {box.detection_name for name in judge.gt_boxes.sample_tokens for box in judge.gt_boxes[name]}
    assert there == set(CLASSES)
    assert metrics.mean_dist_aps == dict.fromkeys(CLASSES, pytest.approx(1.0))
    assert metrics.mean_ap == pytest.approx(1.0)
