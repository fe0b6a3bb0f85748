"""What the heads learn from: labels of what is about to happen, stretches of tracks, scores that are known by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fusion.heads.heads import Heads, HeadsSettings
from fusion.heads.network import HeadsNetwork
from fusion.tracker import Tracker
from fusion.training.heads.calibrate import calibrate
from fusion.training.heads.export import export
from fusion.training.heads.records import INTENT_OF, _scene, load_record, read_record, record
from fusion.training.heads.score import auroc, average_precision, calibration_error, said_by, scores_of
from fusion.training.heads.train import HeadsTraining, stretches, train
from fusion.training.parts import write_arrays
from pipeline.core.errors import BadInput
from pipeline.core.heads import INTENTS
from pipeline.core.truth import MANOEUVRES
from tests.clips import small_clip


def busy_clip(seed: int = 1):
    """Everyone keeps on for two seconds, brakes for half a second, and stands."""
    clip = small_clip(seed, 3.5)
    frame = np.repeat(np.arange(len(clip)), np.diff(clip.truth_first))
    names = np.where(frame < 20, "keep", np.where(frame < 25, "brake", "stop"))
    doing = np.array([MANOEUVRES.index(name) for name in names], np.int32)
    hazard = (names == "brake").astype(np.int8)
    return replace(clip, behaviour=clip.behaviour | {"manoeuvre": doing, "hazard": hazard})


def test_every_manoeuvre_is_an_intent() -> None:
    assert set(INTENT_OF) == set(MANOEUVRES)
    assert set(INTENT_OF.values()) == set(INTENTS)


def test_what_begins_within_a_second_is_intended() -> None:
    found = record(busy_clip(), Tracker())
    frame = np.repeat(np.arange(len(found["time_ns"])), np.diff(found["first"]))
    known = found["intent"] >= 0
    assert known.any()
    for first, last, name, hazard in ((0, 10, "keep", 0), (10, 25, "brake", 1), (26, 33, "stop", 0)):
        part = known & (frame >= first) & (frame < last)
        assert part.any()
        assert set(found["intent"][part].tolist()) == {INTENTS.index(name)}
        assert set(found["hazard"][part].tolist()) == {hazard}
    assert (found["hazard"][~known] <= 0).all()


def test_at_most_one_track_follows_an_object() -> None:
    clip = busy_clip(4)
    found = record(clip, Tracker())
    for frame in range(len(clip)):
        rows = slice(int(found["first"][frame]), int(found["first"][frame + 1]))
        there = int(clip.truth_first[frame + 1] - clip.truth_first[frame])
        assert (found["intent"][rows] >= 0).sum() <= there


def test_a_world_without_a_script_is_not_known(tmp_path) -> None:
    found = record(small_clip(2), Tracker())
    assert (found["intent"] == -1).all()
    assert np.isfinite(found["time"]).any() or np.isinf(found["time"]).any()
    write_arrays(tmp_path / "a.npz", found)
    read = load_record(tmp_path / "a.npz")
    assert all(np.array_equal(read[name], found[name], equal_nan=name == "time") for name in read)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:2000])
    with pytest.raises(BadInput):
        load_record(tmp_path / "a.npz")


def test_stretches_hold_every_row_once_in_the_order_of_frames() -> None:
    found = record(busy_clip(), Tracker())
    for length in (None, 7):
        tracks = stretches(found, length)
        rows = tracks.row[tracks.row >= 0]
        assert sorted(rows.tolist()) == list(range(len(found["track_id"])))
        for of in tracks.row:
            its = of[of >= 0]
            assert len(set(found["track_id"][its].tolist())) == 1
            assert (np.diff(its) > 0).all()


def test_training_learns_resumes_and_runs_as_it_was_trained(tmp_path) -> None:
    for seed in (1, 2):
        write_arrays(tmp_path / f"{seed}.npz", record(busy_clip(seed), Tracker()))
    files = sorted(tmp_path.glob("*.npz"))
    settings = HeadsTraining(steps=16, batch=12, save_every=8)
    losses = []
    net = train(files, tmp_path / "state", settings, lambda step, found: losses.append(found["total"]))
    assert losses[-1] < losses[0]
    again = train(files, tmp_path / "state", settings)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))

    export(net, tmp_path / "heads.onnx")
    heads, whole = Heads(HeadsSettings(model=str(tmp_path / "heads.onnx"))), load_record(files[0])
    told = [heads.step(_scene(whole, i), t) for i, t in enumerate(whole["time_ns"].tolist())]
    said = said_by(net, whole, read_record(whole).contact)
    np.testing.assert_allclose(np.concatenate([one.intent for one in told]), said.intent, atol=2e-5)
    np.testing.assert_allclose(np.concatenate([one.hazard for one in told]), said.hazard, atol=2e-5)
    np.testing.assert_allclose(np.concatenate([one.time_to_collision for one in told]), said.time, rtol=1e-4)
    scores = scores_of(net, files)
    assert set(scores) == {"heads", "constant velocity", "majority"}


def test_calibrated_intents_are_as_frequent_as_they_are(tmp_path) -> None:
    found = record(busy_clip(), Tracker())
    write_arrays(tmp_path / "a.npz", found)
    torch.manual_seed(1)
    net = HeadsNetwork().eval()
    known = found["intent"] >= 0
    before = said_by(net, found, read_record(found).contact).intent[known].mean(axis=0)
    calibrate(net, [tmp_path / "a.npz"])
    frequent = np.bincount(found["intent"][known], minlength=len(INTENTS)) / known.sum()
    after = said_by(net, found, read_record(found).contact).intent[known].mean(axis=0)
    assert np.abs(before - frequent).max() > 0.1
    np.testing.assert_allclose(after, frequent, atol=0.02)


def test_scores_known_by_hand() -> None:
    positive = np.array([True, False, True, False])
    assert average_precision(np.array([4.0, 3.0, 2.0, 1.0]), positive) == pytest.approx((1.0 + 2.0 / 3.0) / 2.0)
    assert average_precision(np.ones(4), positive) == pytest.approx(0.5)
    assert auroc(np.array([4.0, 3.0, 2.0, 1.0]), positive) == pytest.approx(0.75)
    assert auroc(np.ones(4), positive) == pytest.approx(0.5)
    assert calibration_error(np.array([0.95, 0.95, 0.05, 0.05]), np.array([1, 1, 0, 0], bool)) == pytest.approx(0.05)
    assert np.isnan(auroc(np.ones(2), np.ones(2, bool)))


def test_untrained_heads_correct_nothing_of_constant_velocities() -> None:
    net = HeadsNetwork()
    torch.nn.init.zeros_(net.say[2].weight)
    torch.nn.init.zeros_(net.say[2].bias)
    given = torch.zeros(1, 32)
    given[0, 23] = 1.0 / (1.0 + 4.0)
    assert float(torch.exp(net(given, torch.zeros(1, 48)).log_time.detach())) == pytest.approx(4.0, rel=1e-5)
