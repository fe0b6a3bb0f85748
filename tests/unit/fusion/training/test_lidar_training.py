"""Training of the pillar network: targets that decode back, labels that follow their points, a run that resumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fusion.detect.pillar_decode import decode
from fusion.detect.pillar_grid import BLOCK, BLOCKS, PILLAR_M, RANGE_M
from fusion.detect.pillar_layout import FIELDS
from fusion.detect.pillar_net import PillarNet
from fusion.training.lidar import LidarTraining, train
from fusion.training.lidar_augment import plain, varied
from fusion.training.lidar_calibrate import Calibration, Matches, calibrated, coverage, fit, matches
from fusion.training.lidar_targets import Targets, loss, targets, total
from fusion.training.parts import part_names
from fusion.training.sweeps import UNIT_M, LabelledSweep, read_part, write_part
from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES, C


def sweep(rng: np.random.Generator, cars: int = 3) -> LabelledSweep:
    """Cars filled with returns on an empty plain, and where they were 0.2 s before."""
    boxes, now, before = [], [], []
    for k in range(cars):
        yaw, speed = rng.uniform(-3, 3), rng.uniform(0, 10)
        x, y = 12.0 * (k - 1) + rng.uniform(-2, 2), rng.uniform(-20, 20)
        velocity = speed * np.array([np.cos(yaw), np.sin(yaw)])
        boxes.append([x, y, 0.8, 4.5, 1.8, 1.6, yaw, *velocity])
        inside = rng.uniform(-0.5, 0.5, (300, 3)) * [4.3, 1.6, 1.4]
        cos, sin = np.cos(yaw), np.sin(yaw)
        turned = inside[:, :2] @ np.array([[cos, sin], [-sin, cos]])
        beam = rng.integers(0, 64, 300)
        for parts, at in ((now, [x, y]), (before, [x, y] - 0.2 * velocity)):
            parts.append(np.column_stack([(turned + at) / UNIT_M, (inside[:, 2] + 0.8) / UNIT_M, beam]))
    kinds = np.full(cars, CLASSES.index("car"), np.int32)
    clouds = [np.rint(np.concatenate(parts)).astype(np.int16) for parts in (now, before)]
    return LabelledSweep(*clouds, 0.2, np.array(boxes, np.float32), kinds, np.full(cars, 300, np.int32))


def as_answer(wanted: Targets) -> np.ndarray:
    """What a network would say that is always right."""
    logit = np.where(wanted.heat >= 0.999, 6.0, -6.0)
    sigma = np.full((FIELDS["log_sigma"], *wanted.weight.shape), np.log(0.1))
    return np.concatenate([logit, wanted.box, sigma]).astype(np.float32)


def test_right_answers_decode_to_the_boxes_they_were_made_of() -> None:
    boxes = np.array(
        [
            [10.2, -3.4, 0.8, 4.5, 1.8, 1.5, 2.2, 5.0, -3.0],
            [11.7, -0.9, 0.9, 0.6, 0.7, 1.8, 0.1, 1.0, 0.0],
            [-30.1, 22.9, 1.6, 11.0, 2.9, 3.2, -0.4, 0.0, 0.0],
        ],
        np.float32,
    )
    kinds = np.array([CLASSES.index(name) for name in ("car", "pedestrian", "bus")], np.int32)
    found = decode(as_answer(targets(boxes, kinds, np.full(3, 50, np.int32), 0.2)), 0.05, 0.3)
    order = np.argsort(found.class_score.argmax(axis=1))[[0, 2, 1]]
    assert found.class_score.argmax(axis=1)[order].tolist() == kinds.tolist()
    np.testing.assert_allclose(found.xy[order], boxes[:, :2], atol=1e-4)
    np.testing.assert_allclose(found.height[order], boxes[:, 2], atol=1e-5)
    np.testing.assert_allclose(found.size[order], boxes[:, 3:6], rtol=1e-5)
    np.testing.assert_allclose(found.yaw[order], boxes[:, 6], atol=1e-4)
    np.testing.assert_allclose(found.moved[order], boxes[:, 7:9] * 0.2, atol=1e-5)


def test_what_has_no_returns_is_not_asked_for_and_one_return_is_not_punished() -> None:
    boxes = np.array([[10.5, 5.5, 0.8, 4.5, 1.8, 1.5, 0.0, np.nan, np.nan]] * 2, np.float32)
    boxes[1, 0] = 40.5
    wanted = targets(boxes, np.zeros(2, np.int32), np.array([0, 1], np.int32), 0.0)
    assert wanted.heat.max() == 0.0
    assert wanted.weight[int(10.5 + RANGE_M), int(5.5 + RANGE_M)] == 1.0
    assert wanted.weight[int(40.5 + RANGE_M), int(5.5 + RANGE_M)] == 0.0
    assert np.isfinite(wanted.box).all()


def test_the_loss_is_least_for_the_right_answer_and_sigmas_do_not_move_the_boxes() -> None:
    one = sweep(np.random.default_rng(0))
    wanted = targets(one.boxes, one.class_id, one.points, one.gap_s)
    fields = [torch.from_numpy(field)[None] for field in wanted]
    right = torch.from_numpy(as_answer(wanted))[None]
    best = loss(right, *fields)
    assert float(best["heat"]) < 0.1
    assert float(best["box"]) < 1e-4
    wrong = right.clone()
    wrong[:, C : C + 2] += 0.4
    wrong.requires_grad_()
    losses = loss(wrong, *fields)
    assert float(losses["box"].detach()) > 0.2
    assert float(total(losses).detach()) > float(total(best))
    (grad,) = torch.autograd.grad(losses["sigma"], wrong)
    assert not grad[:, : -FIELDS["log_sigma"]].any()
    assert grad[:, -FIELDS["log_sigma"] :].any()


def test_labels_follow_their_points_in_every_view() -> None:
    rng = np.random.default_rng(2)
    for _ in range(30):
        one = sweep(rng)
        view = varied(one, rng)
        slices = view.occupied.reshape(-1, BLOCK, BLOCK, BLOCKS, BLOCKS)[1:9].any(axis=0)
        seen = slices.transpose(2, 0, 3, 1).reshape(BLOCK * BLOCKS, BLOCK * BLOCKS)
        at = (np.argwhere(seen) + 0.5) * PILLAR_M - RANGE_M
        for k, box in enumerate(view.boxes.astype(float)):
            if view.points[k] < 50 or np.abs(box[:2]).max() > RANGE_M - 5:
                continue
            d = at - box[:2]
            cos, sin = np.cos(box[6]), np.sin(box[6])
            inside = (np.abs(d @ [cos, sin]) < box[3] / 2 + 0.2) & (np.abs(d @ [-sin, cos]) < box[4] / 2 + 0.2)
            assert inside.sum() * PILLAR_M**2 > 0.15 * box[3] * box[4]  # a narrowed view may cut it
            outside = np.abs(d).max(axis=1) < 3.5  # cars stand further apart
            assert inside.sum() > 0.9 * outside.sum()
            heading = box[7:9] @ [cos, sin]
            assert heading == pytest.approx(np.hypot(*box[7:9]), abs=1e-3)  # cars drive forwards, mirrored or not


def test_parts_come_back_as_they_were_and_damage_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    sweeps = [sweep(rng, cars) for cars in (1, 2, 4)]
    sweeps[1] = sweeps[1]._replace(before=np.zeros((0, 4), np.int16))
    write_part(tmp_path / "00000.npz", sweeps)
    (path,) = part_names(tmp_path)
    for before, after in zip(sweeps, read_part(path), strict=True):
        assert after.gap_s == pytest.approx(before.gap_s)
        for name in ("now", "before", "boxes", "class_id", "points"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadInput, match=r"00000\.npz.*archive"):
        read_part(path)
    with pytest.raises(BadInput, match="at least one"):
        part_names(tmp_path / "nowhere")


def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    write_part(tmp_path / "00000.npz", [sweep(rng) for _ in range(5)])
    settings = LidarTraining(steps=4, batch=2, crop=16, width=8, save_every=2)
    whole = train(tmp_path, tmp_path / "a", settings)

    class Stop(Exception):
        pass

    def stop(step: int, _: dict[str, float]) -> None:
        if step == 3:
            raise Stop

    with pytest.raises(Stop):
        train(tmp_path, tmp_path / "b", settings, progress=stop)
    resumed = train(tmp_path, tmp_path / "b", settings)
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_calibration_is_written_into_the_last_layer() -> None:
    torch.manual_seed(0)
    net = PillarNet(8).eval()
    occupied = torch.from_numpy(plain(sweep(np.random.default_rng(6))).occupied)[None].float()
    with torch.no_grad():
        before = net(occupied)
        after = calibrated(net, Calibration(slope=2.0, shift=-1.0, factors=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)))(occupied)
    torch.testing.assert_close(after[:, :C], 2.0 * before[:, :C] - 1.0)
    torch.testing.assert_close(after[:, C:-6], before[:, C:-6])
    factors = torch.arange(1.0, 7.0)[:, None, None]
    torch.testing.assert_close(after[:, -6:].exp(), before[:, -6:].exp() * factors)


def test_calibration_finds_how_wrong_scores_and_sigmas_are() -> None:
    rng = np.random.default_rng(7)
    true = rng.uniform(0.05, 0.95, 20_000)
    logit = (np.log(true / (1 - true)) + 1.0) / 2.0  # so that 2 logit - 1 is right
    error = rng.normal(0.0, [0.5, 0.5, 2.0, 1.0, 3.0, 1.0], (5000, 6))
    found = Matches(1 / (1 + np.exp(-logit)), rng.random(20_000) < true, error, np.zeros((5000, 6)))
    by = fit(found)
    assert by.slope == pytest.approx(2.0, abs=0.15)
    assert by.shift == pytest.approx(-1.0, abs=0.15)
    assert by.factors == pytest.approx((0.5, 0.5, 2.0, 1.0, 3.0, 1.0), rel=0.1)
    honest = coverage(found._replace(error=error / by.factors))
    assert honest["place 90 %"] == pytest.approx(0.9, abs=0.01)
    assert honest["place 50 %"] == pytest.approx(0.5, abs=0.03)
    with pytest.raises(ValueError, match="at least 50"):
        fit(found._replace(hit=np.zeros(20_000, bool)))


def test_an_untrained_network_is_matched_without_a_fault() -> None:
    torch.manual_seed(1)
    found = matches(PillarNet(8), [sweep(np.random.default_rng(8))] * 2)
    assert len(found.score) == len(found.hit)
    assert found.error.shape[1] == 6
