from __future__ import annotations

import numpy as np
import pytest

import fusion.training.softmax_gate as training
from fusion.softmax_gate import FILE, SoftmaxGateSettings, load_gate, softmax_within
from fusion.tracker import Tracker, TrackerSettings
from fusion.training.softmax_gate import fit, lessons
from pipeline.core.errors import BadInput
from tests.clips import small_clip


def test_shares_sum_to_one_within_each_group_whatever_the_scores():
    group = np.array([0, 2, 0, 2, 2])
    share = softmax_within(np.array([900.0, -3.0, 899.0, 1.0, 1.0]), group, 3)
    np.testing.assert_allclose(np.bincount(group, share, 3), [1.0, 0.0, 1.0])
    assert share[0] / share[2] == pytest.approx(np.e)


def test_weights_of_a_track_sum_to_one():
    tracker = Tracker(TrackerSettings(weigh=SoftmaxGateSettings()))
    for frames, time_ns in small_clip(3).frames():
        scene = tracker.step(frames, time_ns)
    np.testing.assert_allclose(scene.weight[scene.coasted == 0].sum(axis=1), 1.0, atol=1e-5)
    assert np.isfinite(scene.state_cov).all()


def test_it_learns_which_sensor_is_the_nearer(monkeypatch):
    monkeypatch.setattr(training, "_STEPS", 60)
    clip = small_clip(4)
    taught = lessons(clip)
    gate = fit([clip])
    scores = np.array([
        np.tanh(np.array(gate[name].hidden) @ f) @ np.array(gate[name].out)
        for f, name in zip(taught.features, np.array(training.MODALITIES)[taught.modality], strict=True)
    ])  # fmt: skip
    groups = int(taught.group.max()) + 1

    def error(score: np.ndarray) -> float:
        share = softmax_within(score, taught.group, groups)
        mean = [np.bincount(taught.group, share * taught.error[:, axis], groups) for axis in (0, 1)]
        return float(np.hypot(*mean).mean())

    assert error(scores) < 0.9 * error(np.zeros(len(scores)))


def test_the_shipped_gate_fits_and_others_are_refused(tmp_path):
    assert load_gate(FILE).hidden.shape[0] == 3
    (tmp_path / "gate.json").write_text('{"camera": {"hidden": [[1.0]], "out": [1.0]}}')
    with pytest.raises(BadInput, match=r"gate\.json"):
        load_gate(tmp_path / "gate.json")
