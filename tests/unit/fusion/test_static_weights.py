from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.rig import Rig
from fusion.beliefs import Expected, as_learned, belief_table
from fusion.measurements import measurements
from fusion.sight import sight_axes
from fusion.static_weights import Constants, ConstantSettings
from fusion.training.static_weights import fit
from nodes.simulator.detections.draw import draw_clip
from nodes.simulator.detections.random_traffic import random_traffic
from pipeline.core.errors import BadInput
from pipeline.core.settings import load_yaml
from tests.scenes import Sensor, Thing, detections, frame_set, slot

ROOT = Path(__file__).parents[3]
LIDAR, CAMERA, RADAR = 1, 0, 2
CAR = [Thing((30.0, 40.0, 0.8), (3.0, 0.0))]


def seen(sensor: Sensor):
    frames = frame_set(0, [slot(sensor, detections(sensor, CAR, 0.0, np.random.default_rng(0)))])
    return measurements(frames, 0, (sensor.modality,)), frames


def test_what_is_learned_goes_along_and_across_the_line_of_sight() -> None:
    z, frames = seen(Sensor("roof", "lidar", (0.5, 0.5, 0.5)))
    table = np.tile([4.0, 9.0, 2.0, 0.3, 0.5], (3, 10, 1))
    learned = as_learned(z, Expected(table, z, frames))
    axes = sight_axes(z.sight)[0]
    stated = axes @ z.R[0, :2, :2] @ axes.T
    assert np.diag(axes @ learned.R[0, :2, :2] @ axes.T) == pytest.approx(np.diag(stated) * [4.0, 9.0])
    assert (z.value - learned.value)[0, :2] == pytest.approx(2.0 * np.sqrt(stated[0, 0]) * axes[0])
    assert learned.R[0, 5, 5] == z.R[0, 5, 5], "no radial speed was measured"


def test_a_radial_speed_is_believed_less_by_what_was_learned() -> None:
    z, frames = seen(Sensor("bumper", "radar", (0.5, 0.5, 0.5), radial_sigma=0.1))
    learned = as_learned(z, Expected(np.tile([1.0, 1.0, 0.0, 0.4, 0.5], (3, 10, 1)), z, frames))
    assert learned.R[0, 5, 5] == pytest.approx(z.R[0, 5, 5] + 0.16)


def test_trust_constants_are_the_weights_whatever_is_stated() -> None:
    model = Constants(ConstantSettings(camera_trust=0.25, lidar_trust=1.0, sigma_m=0.5))
    for sensor, variance in (
        (Sensor("a", "camera", (0.1,) * 3), 1.0),
        (Sensor("b", "lidar", (3.0,) * 3), 0.25),
    ):
        z, frames = seen(sensor)
        assert model.expect(z, frames).R[0, :2, :2] == pytest.approx(variance * np.eye(2))


def test_the_fit_finds_errors_that_were_put_in(tmp_path: Path) -> None:
    rig = load_yaml(ROOT / "configs" / "rigs" / "demo.yaml", Rig)
    clip = draw_clip(random_traffic(3, 4.0), rig, 3)
    before = fit([clip])
    clip.detections["position_cov"] *= np.float32(4.0)
    after = fit([clip])
    for modality in ("camera", "lidar", "radar"):
        told, true = after[modality]["car"], before[modality]["car"]  # type: ignore[index]
        assert told.n == true.n > 50
        assert (told.along, told.across) == pytest.approx((true.along / 4, true.across / 4), rel=0.02, abs=2e-3)
        assert told.bias == pytest.approx(true.bias / 2, abs=2e-3)
        assert told.white == pytest.approx(true.white, abs=2e-3)
    assert before["lidar"]["barrier"].n == 0
    with pytest.raises(BadInput, match="detections of objects"):
        fit([draw_clip(random_traffic(3, 2.0), Rig(vehicle="v", sensors=rig.lidars), 3)])


def test_the_committed_weights_are_whole(tmp_path: Path) -> None:
    table = belief_table()
    assert (table[..., [0, 1, 4]] > 0.0).all()
    assert (table[..., 4] <= 1.0).all()
    (tmp_path / "half.json").write_text('{"camera": {}, "lidar": {}, "radar": {}}')
    with pytest.raises(BadInput, match="belief about each"):
        belief_table(tmp_path / "half.json")
