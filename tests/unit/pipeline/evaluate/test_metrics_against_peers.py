"""Own metrics against nuscenes-devkit and TrackEval on random small cases, to 1e-6."""

from __future__ import annotations

import contextlib
import importlib
import io
import types

import numpy as np
import pytest

from pipeline.core.messages import CLASSES
from pipeline.evaluate.amota import TrackFrame, account, amota, fill_holes
from pipeline.evaluate.boxes import Boxes
from pipeline.evaluate.detection import ERRORS, Sample, average_precision, contests, curve, true_positive_error
from pipeline.evaluate.hota import clear, hota, idf1

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own

PEER_ERRORS = {"translation": "trans_err", "scale": "scale_err", "orientation": "orient_err", "velocity": "vel_err"}


def random_boxes(rng: np.random.Generator, count: int, classes: int, spread: float = 8.0) -> Boxes:
    velocity = rng.normal(size=(count, 2))
    velocity[rng.random(count) < 0.2] = np.nan
    return Boxes(
        rng.uniform(-spread, spread, (count, 3)),
        rng.uniform(0.5, 5, (count, 3)),
        rng.uniform(-4, 4, count),
        velocity,
        rng.integers(0, classes, count) * 9,  # car and barrier: the two kinds of heading error
        np.ones(count),
        rng.random(count).round(1),  # rounded, so that ties occur
        np.arange(count),
    )


def sample(truth: Boxes, predictions: Boxes, time_ns: int = 0) -> Sample:
    return Sample(time_ns, truth, Boxes.empty(), Boxes.empty(), predictions)


def devkit_boxes(frames: list[Boxes], scored: bool) -> object:
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.detection.data_classes import DetectionBox

    out = EvalBoxes()
    for index, boxes in enumerate(frames):
        half = boxes.yaw / 2
        rows = [
            DetectionBox(
                sample_token=str(index),
                translation=tuple(boxes.position[i]),
                size=tuple(boxes.size[i]),
                rotation=(np.cos(half[i]), 0.0, 0.0, np.sin(half[i])),
                velocity=tuple(boxes.velocity[i]),
                detection_name=CLASSES[int(boxes.class_id[i])],
                detection_score=float(boxes.score[i]) if scored else -1.0,
            )
            for i in range(len(boxes))
        ]
        out.add_boxes(str(index), rows)
    return out


@pytest.mark.parametrize("seed", range(6))
def test_detection_is_the_devkits(seed: int) -> None:
    pytest.importorskip("nuscenes", reason="nuscenes-devkit is not installed")
    from nuscenes.eval.common.utils import center_distance
    from nuscenes.eval.detection import algo

    rng = np.random.default_rng(seed)
    truth = [random_boxes(rng, int(rng.integers(0, 7)), 2) for _ in range(6)]
    found = [random_boxes(rng, int(rng.integers(0, 12)), 2) for _ in range(6)]
    samples = [sample(t, p) for t, p in zip(truth, found, strict=True)]
    peers_truth, peers_found = devkit_boxes(truth, False), devkit_boxes(found, True)
    for class_id in (0, 9):
        for threshold in (0.5, 2.0, 4.0):
            mine = curve(contests(samples, class_id), threshold)
            peer = algo.accumulate(peers_truth, peers_found, CLASSES[class_id], center_distance, threshold)
            np.testing.assert_allclose(mine.precision, peer.precision, atol=1e-9)
            np.testing.assert_allclose(mine.confidence, peer.confidence, atol=1e-9)
            assert average_precision(mine) == pytest.approx(algo.calc_ap(peer, 0.1, 0.1), abs=1e-6)
            for name in ERRORS:
                expected = algo.calc_tp(peer, 0.1, PEER_ERRORS[name])
                assert true_positive_error(mine, name) == pytest.approx(expected, abs=1e-6), name


def random_tracks(rng: np.random.Generator, frames: int = 12) -> list[TrackFrame]:
    """Objects that drift, tracks that follow them with noise, misses, ghosts and swapped identities."""
    objects = int(rng.integers(2, 6))
    start, speed = rng.uniform(-6, 6, (objects, 2)), rng.normal(size=(objects, 2)) * 0.4
    name = rng.permutation(objects) + 100
    out = []
    for t in range(frames):
        if rng.random() < 0.25:
            a, b = rng.integers(0, objects, 2)
            name[[a, b]] = name[[b, a]]
        here, tracked = rng.random(objects) < 0.85, rng.random(objects) < 0.8
        ghosts = int(rng.integers(0, 2))
        truth_xy = start + speed * t
        track_xy = np.concatenate([truth_xy + rng.normal(size=(objects, 2)) * 0.8, rng.uniform(-6, 6, (ghosts, 2))])
        ids = np.concatenate([name, 200 + np.arange(ghosts)])
        use = np.concatenate([tracked, np.ones(ghosts, bool)])
        score = (0.3 + 0.1 * (ids % 7)).round(3)  # constant over a track
        out.append(TrackFrame(np.flatnonzero(here), truth_xy[here], ids[use], track_xy[use], score[use]))
    return out


def devkit_tracking(frames: list[TrackFrame]) -> object:
    pytest.importorskip("nuscenes", reason="nuscenes-devkit is not installed")
    pytest.importorskip("motmetrics", reason="motmetrics, which nuscenes-devkit needs, is not installed")
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.common.utils import center_distance
    from nuscenes.eval.tracking.algo import TrackingEvaluation
    from nuscenes.eval.tracking.data_classes import TrackingBox

    config = config_factory("tracking_nips_2019")

    def boxes(ids: np.ndarray, xy: np.ndarray, score: np.ndarray) -> list[object]:
        return [
            TrackingBox(
                translation=(*xy[i], 0.0),
                size=(1, 1, 1),
                rotation=(1, 0, 0, 0),
                tracking_id=str(ids[i]),
                tracking_name="car",
                tracking_score=float(score[i]),
            )
            for i in range(len(ids))
        ]

    truth = {t: boxes(f.truth_id, f.truth_xy, -np.ones(len(f.truth_id))) for t, f in enumerate(frames)}
    found = {t: boxes(f.track_id, f.track_xy, f.score) for t, f in enumerate(frames)}
    return TrackingEvaluation(
        {"drive": truth}, {"drive": found}, "car", center_distance, 2.0, 0.1, 40, config.metric_worst, verbose=False
    )


@pytest.mark.parametrize("seed", range(4))
def test_amota_is_the_devkits(seed: int) -> None:
    frames = random_tracks(np.random.default_rng(seed))
    data = devkit_tracking(frames).accumulate()  # type: ignore[attr-defined]
    mine = amota(frames, 2.0, 0.1, 40)
    assert mine.amota == pytest.approx(np.nan_to_num(data.motar, nan=0.0).mean(), abs=1e-6)
    assert mine.amotp == pytest.approx(np.nan_to_num(data.motp, nan=2.0).mean(), abs=1e-6)
    best = int(np.nanargmax(data.mota))
    assert mine.best is not None
    assert mine.best.mota == pytest.approx(data.mota[best], abs=1e-6)
    assert mine.best.motp == pytest.approx(data.motp[best], abs=1e-6)
    assert mine.best.recall == pytest.approx(data.recall[best], abs=1e-6)
    assert (mine.best.switches, mine.best.false, mine.best.misses) == (data.ids[best], data.fp[best], data.fn[best])


def test_amota_of_no_match_is_the_devkits_worst() -> None:
    frames = [TrackFrame(np.array([1]), np.zeros((1, 2)), np.array([2]), np.full((1, 2), 50.0), np.array([0.9]))]
    mine = amota(frames, 2.0, 0.1, 40)
    data = devkit_tracking(frames).accumulate()  # type: ignore[attr-defined]
    assert (mine.amota, mine.amotp) == (np.mean(data.motar), np.mean(data.motp)) == (0.0, 2.0)


def test_holes_of_one_frame_are_filled_as_the_devkit_fills_them() -> None:
    pytest.importorskip("nuscenes", reason="nuscenes-devkit is not installed")
    pytest.importorskip("motmetrics", reason="motmetrics, which nuscenes-devkit needs, is not installed")
    from nuscenes.eval.tracking.data_classes import TrackingBox
    from nuscenes.eval.tracking.loaders import interpolate_tracks

    def peer(x: float, score: float) -> object:
        return TrackingBox("s", (x, 0.0, 0.0), (1, 1, 1), (1, 0, 0, 0), (0, 0), (0, 0, 0), 1, "7", "car", score)

    filled = interpolate_tracks({0: [peer(1.0, 0.2)], 100: [], 200: [peer(5.0, 0.8)]})
    one = random_boxes(np.random.default_rng(0), 1, 1).replaced(
        position=np.array([[1.0, 0, 0]]), score=np.array([0.2]), identity=np.array([7])
    )
    two = one.replaced(position=np.array([[5.0, 0, 0]]), score=np.array([0.8]))
    mine = fill_holes([0, 100, 200], [one, Boxes.empty(), two])[1]
    assert mine.position[0, 0] == pytest.approx(filled[100][0].translation[0])
    assert mine.score[0] == pytest.approx(filled[100][0].tracking_score)


@pytest.fixture(scope="module")
def trackeval() -> types.ModuleType:
    pytest.importorskip("trackeval", reason="trackeval is not installed")
    with contextlib.redirect_stdout(io.StringIO()):
        return importlib.import_module("trackeval.metrics")


def trackeval_data(frames: list[TrackFrame], zero_m: float) -> dict[str, object]:
    truth_ids = np.unique(np.concatenate([f.truth_id for f in frames]))
    track_ids = np.unique(np.concatenate([f.track_id for f in frames]))
    similarity = [
        np.maximum(0, 1 - np.linalg.norm(f.truth_xy[:, None] - f.track_xy[None], axis=2) / zero_m) for f in frames
    ]
    return {
        "gt_ids": [np.searchsorted(truth_ids, f.truth_id) for f in frames],
        "tracker_ids": [np.searchsorted(track_ids, f.track_id) for f in frames],
        "similarity_scores": similarity,
        "num_gt_ids": len(truth_ids),
        "num_tracker_ids": len(track_ids),
        "num_gt_dets": sum(len(f.truth_id) for f in frames),
        "num_tracker_dets": sum(len(f.track_id) for f in frames),
        "num_timesteps": len(frames),
    }


@pytest.mark.parametrize("seed", range(8))
def test_hota_clear_and_identity_are_trackevals(seed: int, trackeval: types.ModuleType) -> None:
    frames = random_tracks(np.random.default_rng(seed))
    data = trackeval_data(frames, 4.0)
    quiet = {"PRINT_CONFIG": False}
    peer = trackeval.HOTA().eval_sequence(data)
    mine = hota(frames, 4.0)
    np.testing.assert_allclose(mine.hota_curve, peer["HOTA"], atol=1e-6)
    for name, value in (("DetA", mine.deta), ("AssA", mine.assa), ("LocA", mine.loca), ("HOTA", mine.hota)):
        assert value == pytest.approx(np.mean(peer[name]), abs=1e-6), name

    peer, ours = trackeval.CLEAR(quiet).eval_sequence(data), clear(frames, 4.0)
    assert ours.mota == pytest.approx(peer["MOTA"], abs=1e-6)
    counts = (ours.switches, ours.fragmentations, ours.mostly_tracked, ours.mostly_lost)
    assert counts == (peer["IDSW"], peer["Frag"], peer["MT"], peer["ML"])
    assert (ours.hits, ours.misses, ours.false) == (peer["CLR_TP"], peer["CLR_FN"], peer["CLR_FP"])

    assert idf1(frames, 4.0) == pytest.approx(trackeval.Identity(quiet).eval_sequence(data)["IDF1"], abs=1e-6)


def test_clear_and_hota_of_no_tracks(trackeval: types.ModuleType) -> None:
    none = (np.zeros(0, int), np.zeros((0, 2)), np.zeros(0))
    frames = [TrackFrame(np.array([1, 2]), np.zeros((2, 2)), *none) for _ in range(3)]
    data = trackeval_data(frames, 4.0)
    peer = trackeval.CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
    ours = clear(frames, 4.0)
    assert (ours.mota, ours.misses, ours.mostly_lost) == (peer["MOTA"], 6, 2)
    assert hota(frames, 4.0).hota == np.mean(trackeval.HOTA().eval_sequence(data)["HOTA"]) == 0.0
    assert idf1(frames, 4.0) == 0.0


def test_the_random_tracks_exercise_switches_and_misses() -> None:
    """Guards the guards: the cases above are not trivially clean."""
    total = [account(random_tracks(np.random.default_rng(seed)), 2.0)[0] for seed in range(8)]
    assert sum(a.switches for a in total) > 5
    assert sum(a.misses for a in total) > 20
    assert sum(a.false for a in total) > 20
