"""Training of the camera network: targets that decode back, data that survives the disk, a run that resumes."""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import torch

from fusion.detect.centre_net import CentreNet
from fusion.detect.centre_points import CentrePoints, decode
from fusion.detect.image_boxes import ImageBoxes
from fusion.detect.onnx_detectors import OnnxSettings
from fusion.training.camera import CameraTraining, train
from fusion.training.camera_augment import varied
from fusion.training.camera_export import export_onnx
from fusion.training.camera_score import score
from fusion.training.camera_targets import loss, targets
from fusion.training.images import LabelledImage, read_folder, write_part
from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES, C

_SETTINGS = OnnxSettings(min_score=0.3, overlap=0.6)


def squares(n: int, seed: int = 0, size: tuple[int, int] = (160, 256)) -> list[LabelledImage]:
    """Images of one bright rectangle: wide ones are cars, tall ones pedestrians."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        bgr = rng.integers(0, 60, (*size, 3), dtype=np.uint8)
        is_car = rng.random() < 0.5
        w, h = (60, 36) if is_car else (20, 56)
        left, top = int(rng.integers(0, size[1] - w)), int(rng.integers(0, size[0] - h))
        bgr[top : top + h, left : left + w] = (40, 40, 220) if is_car else (40, 220, 40)
        jpeg = cv2.imencode(".jpg", bgr)[1].reshape(-1)
        edges = np.array([[left, top, left + w, top + h]], np.float32)
        kind = np.array([CLASSES.index("car" if is_car else "pedestrian")], np.int32)
        out.append(LabelledImage(jpeg, edges, kind, np.ones(1, np.float32)))
    return out


def test_perfect_answers_decode_to_the_boxes_they_were_made_of() -> None:
    edges = np.array([[40, 60, 120, 110], [200, 50, 220, 104], [130, 70, 160, 90]], np.float32)
    kinds = np.array([0, 5, 1], np.int32)
    wanted = targets(edges, kinds, np.ones(3, np.float32), 160, 256)
    logit = np.where(wanted.heat >= 0.999, 6.0, -6.0)
    found = decode(np.concatenate([logit, wanted.edge]).astype(np.float32), _SETTINGS)
    order = np.argsort(found.class_score.argmax(axis=1))
    assert found.class_score.argmax(axis=1)[order].tolist() == [0, 1, 5]
    np.testing.assert_allclose(found.edges[order], edges[[0, 2, 1]], atol=0.01)


def test_what_can_hardly_be_seen_is_not_asked_for() -> None:
    edges = np.array([[40, 40, 120, 110]], np.float32)
    wanted = targets(edges, np.array([0], np.int32), np.array([0.1], np.float32), 160, 256)
    assert wanted.heat.max() == 0.0
    assert wanted.weight[7, 9] == 0.0
    assert wanted.weight[2, 25] == 1.0


def test_the_loss_is_least_for_the_right_answer() -> None:
    wanted = targets(
        np.array([[40, 40, 120, 110]], np.float32), np.array([2], np.int32), np.ones(1, np.float32), 160, 256
    )
    fields = [torch.from_numpy(field)[None] for field in wanted]
    right = torch.cat([torch.where(fields[0] >= 0.999, 8.0, -8.0), fields[2]], dim=1)
    of_heat, of_edges = loss(right, *fields)
    assert float(of_heat) < 0.01
    assert float(of_edges) < 0.01
    moved = torch.cat([torch.roll(right[:, :C], 3, dims=3), right[:, C:] + 0.5], dim=1)
    assert all(float(worse) > 0.2 for worse in loss(moved, *fields))


def test_labels_follow_the_varied_view() -> None:
    rng = np.random.default_rng(3)
    for image in squares(20):
        view, labels = varied(image, 96, 160, rng)
        assert view.shape == (96, 160, 3)
        for k, (left, top, right, bottom) in enumerate(labels.edges.round().astype(int)):
            if right - left > 8 and bottom - top > 8:
                inside = view[top + 3 : bottom - 3, left + 3 : right - 3].mean(axis=(0, 1))
                channel = 2 if labels.class_id[k] == 0 else 1
                assert inside[channel] == max(inside)


def test_parts_come_back_as_they_were_and_damage_is_named(tmp_path: Path) -> None:
    images = squares(5)
    write_part(tmp_path / "0000.npz", images[:3])
    write_part(tmp_path / "0001.npz", images[3:])
    again = read_folder(tmp_path)
    assert len(again) == 5
    for before, after in zip(images, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    data = (tmp_path / "0001.npz").read_bytes()
    (tmp_path / "0001.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match=r"0001\.npz.*archive"):
        read_folder(tmp_path)
    with pytest.raises(BadInput, match="at least one"):
        read_folder(tmp_path / "nowhere")


def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    write_part(tmp_path / "0000.npz", squares(130))
    settings = CameraTraining(steps=4, batch=2, height=64, width=96, channels=16, save_every=2)
    whole = train(tmp_path, tmp_path / "a", settings)

    class Stop(Exception):
        pass

    def stop(step: int, _: dict[str, float]) -> None:
        if step == 3:
            raise Stop

    with pytest.raises(Stop):
        train(tmp_path, tmp_path / "b", settings, stop)
    resumed = train(tmp_path, tmp_path / "b", settings)
    with pytest.raises(BadInput, match="settings"):
        train(tmp_path, tmp_path / "b", msgspec.structs.replace(settings, rate=1e-3))
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_score_counts_each_label_once_and_by_height_and_weather() -> None:
    images = [image._replace(conditions="fog" if n % 2 else "clear") for n, image in enumerate(squares(20))]
    truth = iter(images)

    def half_right(_: np.ndarray) -> ImageBoxes:
        """Finds every object, twice, and in fog it also takes it for a bus, with more conviction."""
        image = next(truth)
        kinds = [int(image.class_id[0])] * 2 + ([CLASSES.index("bus")] if image.conditions == "fog" else [])
        scores = np.array([0.8, 0.7, 0.9][: len(kinds)], np.float32)
        return ImageBoxes(np.repeat(image.edges, len(kinds), axis=0), scores, np.eye(C, dtype=np.float32)[kinds])

    found = score(half_right, images)
    assert found["labels car"] + found["labels pedestrian"] == 20
    assert found["labels bus"] == 0
    assert found["AP car"] == found["AP pedestrian"] == found["mAP"] == found["AP clear"] == 1.0
    assert found["AP fog"] == pytest.approx(0.5)
    assert found["AP 32-64 px"] == pytest.approx(2 / 3)
    assert np.isnan(found["AP night"])
    assert np.isnan(found["AP 8-16 px"])


@pytest.mark.slow
def test_it_learns_to_tell_rectangles_apart_and_runs_as_onnx(tmp_path: Path) -> None:
    write_part(tmp_path / "0000.npz", squares(320))
    settings = CameraTraining(steps=160, batch=8, height=96, width=160, channels=16, rate=8e-3, average=0.9)
    net = train(tmp_path, tmp_path / "state", settings)
    path = tmp_path / "net.onnx"
    export_onnx(net, path, 160, 256)
    found = score(CentrePoints(path, _SETTINGS), squares(40, seed=9))
    assert found["AP car"] > 0.6
    assert found["AP pedestrian"] > 0.6


def test_another_layout_is_refused(tmp_path: Path) -> None:
    export_onnx(CentreNet(classes=3, width=16), tmp_path / "other.onnx", 64, 64)
    with pytest.raises(BadInput, match="output"):
        CentrePoints(tmp_path / "other.onnx", _SETTINGS)
    with pytest.raises(ValueError, match="multiples of 32"):
        export_onnx(CentreNet(C, 16), tmp_path / "x.onnx", 100, 64)
