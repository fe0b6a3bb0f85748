"""A whole made-up run through the judge."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline.core.errors import BadInput
from pipeline.core.run_recording import recording_files
from pipeline.evaluate.bias import measure_bias
from pipeline.evaluate.config import load_config
from pipeline.evaluate.judge import Evaluation, evaluate, judge
from pipeline.evaluate.latency import measure_latency
from pipeline.evaluate.metrics import of_run
from pipeline.evaluate.page import tables
from pipeline.evaluate.pairing import samples, scene_outputs, truth_of
from pipeline.evaluate.run_log import load_run
from pipeline.evaluate.uncertainty import measure_uncertainty
from pipeline.evaluate.units import figure
from tests.recordings import split_run

CONFIG = load_config(Path(__file__).parents[4] / "configs" / "eval" / "nuscenes.yaml")
WriteRun = Callable[..., Path]


def test_scores_of_a_good_run(good: Evaluation) -> None:
    values = good.metrics.values
    assert values["detection/fused/mAP"] > 0.9
    assert values["detection/fused/mAP"] > values["detection/front/mAP"]
    assert good.best_sensor in ("top", "bumper")
    assert values["tracking/AMOTA"] > 0.8
    assert values["tracking/switches"] == 0
    assert values["ledger/balanced"] is True
    assert values["ledger/top/dropped/late"] == 4
    assert values["alignment/top/missing"] == 4
    assert values["alignment/front/abs_offset_ms_p50"] == 30.0
    assert values["run/truth_frames_scored"] == 20
    assert good.metrics.graph == "made_up_graph"
    assert json.loads(good.metrics.to_json())["values"] == values


def test_every_figure_says_its_unit_and_what_it_is_measured_against(good: Evaluation) -> None:
    rows = {row["name"]: row for row in json.loads(good.metrics.to_json())["figures"]}
    assert {name: row["value"] for name, row in rows.items()} == good.metrics.values
    covers = rows["uncertainty/position_coverage_90"]
    assert (covers["limit"], covers["limit_name"]) == (0.9, "calibrated")
    assert covers["ratio"] == pytest.approx(covers["value"] / 0.9)
    assert rows["detection/fused/car/AVE"]["unit"] == "m/s"
    assert rows["detection/fused/car/ATE"]["unit"] == "m"
    assert rows["latency/sensor_to_scene_ms_p50"]["unit"] == "ms"
    assert rows["ledger/top/dropped/late"]["unit"] == "messages"
    assert "limit" not in rows["run/scenes"]
    assert "ratio" not in rows["tracking/AMOTP"]
    with pytest.raises(KeyError, match="bribes"):
        figure("run_by/bribes", 1)


def test_sensor_to_scene_is_the_slowest_path(good: Evaluation) -> None:
    """Arrival to scene: camera at -30 + 20 ms needs 30 ms, LiDAR at 5 ms needs 40 ms: the LiDAR plus fusion."""
    values = good.metrics.values
    assert values["latency/paced"] is False
    assert values["latency/sensor_to_scene_ms_max"] == pytest.approx(46.0)
    assert values["latency/age_at_scene_ms_max"] == pytest.approx(51.0)
    assert values["latency/detect_top/step_ms_p50"] == pytest.approx(40.0)


def test_streaming_pays_for_latency(good: Evaluation) -> None:
    """Scenes are out 50 ms after their instant, so each label meets the scene before it; moving it helps."""
    values = good.metrics.values
    assert values["streaming/held/mAP"] < values["streaming/predicted/mAP"] < values["detection/fused/mAP"]


def test_the_gap_is_found_and_explained(good: Evaluation) -> None:
    (gap,) = good.gaps
    assert (gap.history.object_id, gap.history.class_name, gap.kind) == (14, "truck", "between")
    assert gap.duration_ns == 400_000_000
    assert [m.scene_index for m in gap.moments] == [8, 9, 10, 11]
    views = {v.sensor: v for v in gap.sensors}
    assert views["top"].missing == {"late": 4}
    assert (views["front"].saw, views["front"].silent) == (0, 4)
    assert gap.dropped == {"top": {"late": 4}}
    assert gap.verdict == "No sensor detected it; 30–30 LiDAR returns on it; top missing (late)."
    assert good.metrics.values["tracking/longest_gap_s"] == 0.4


def test_without_identities_tracking_is_left_out_and_says_so(write_run: WriteRun) -> None:
    evaluation = judge(load_run(write_run(images=False, identities=False, frames=6)), CONFIG)
    assert evaluation.tracking is None
    assert not evaluation.gaps
    assert "tracking/HOTA" not in evaluation.metrics.values
    assert any("no identities" in note for note in evaluation.metrics.notes)
    assert evaluation.metrics.values["detection/fused/mAP"] > 0.9


def test_an_unbalanced_ledger_is_loud(write_run: WriteRun) -> None:
    metrics = evaluate(write_run(images=False, unbalanced=True, frames=4), CONFIG)
    assert metrics.values["ledger/balanced"] is False
    assert metrics.notes[0].startswith("LEDGER: front: received 8 is not fused 1 + dropped 0 + in flight 0")


def test_honest_covariance_covers_and_wrong_one_does_not(write_run: WriteRun) -> None:
    """Tracks carry 0.2 m of noise and say so; moved by 1 m the same covariance is wrong."""
    good, bad = (
        measure_uncertainty(run, truth_of(run, CONFIG), CONFIG)
        for run in (
            load_run(write_run("good", images=False, frames=60)),
            load_run(write_run("bad", images=False, wobble=1.0, wobble_from=0)),
        )
    )
    assert good.coverage(0.9) == pytest.approx(0.9, abs=0.05)
    assert good.coverage(0.5) == pytest.approx(0.5, abs=0.08)
    assert bad.coverage(0.9) < 0.1
    assert bad.nll.mean() > good.nll.mean() + 5
    assert good.existence_ece == pytest.approx(0.05, abs=0.01)  # existence 0.95, all real


def test_a_silent_pipeline_misses_everything(good: Evaluation) -> None:
    values = judge(dataclasses.replace(good.run, scenes=[]), CONFIG).metrics.values
    assert values["run/truth_frames_scored"] == 20
    assert values["detection/fused/mAP"] == 0.0
    assert values["tracking/AMOTA"] == 0.0


def test_weights_follow_the_errors(good: Evaluation) -> None:
    rho, pairs = good.weight_correlation
    assert pairs > 100
    assert rho > 0.5


def test_a_run_of_several_parts_is_judged_as_one(good: Evaluation, good_run: Path, tmp_path: Path) -> None:
    run = load_run(split_run(good_run, tmp_path / "parts"))
    assert judge(run, CONFIG).metrics.values == good.metrics.values


def test_nothing_to_judge_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="recording"):
        recording_files(tmp_path)


def test_boxes_of_detections_turn_with_the_ego(good: Evaluation) -> None:
    boxes = good.run.frames[2].found["top"]
    truth = good.run.truth[2].payload
    assert np.hypot(*(boxes.position - truth.position)[:, :2].T).max() < 0.8  # type: ignore[attr-defined]
    np.testing.assert_allclose(boxes.yaw, truth.yaw, atol=1e-5)  # type: ignore[attr-defined]


def test_in_a_paced_run_waiting_counts(good: Evaluation) -> None:
    """Fusion of frame k ends 90 ms after its instant on the host's clock, which runs 7 s behind the drive's."""
    start_ns = good.run.frames[0].time_ns
    info = msgspec.structs.replace(good.run.info, rate=1.0, start_ns=start_ns, started_ns=start_ns - 7_000_000_000)
    timings = [
        t
        if t.sensor != "frames"
        else msgspec.structs.replace(
            t, started_ns=(at := info.started_ns + t.sequence * 100_000_000 + 84_000_000), ended_ns=at + 6_000_000
        )
        for t in good.run.timings
    ]
    latency = measure_latency(dataclasses.replace(good.run, info=info, timings=timings))
    assert latency.paced
    assert {s.age_ms for s in latency.scenes} == {90.0}
    assert latency.parts[0]["waiting"] == pytest.approx(90.0 - 5.0 - 40.0 - 6.0)  # LiDAR arrives at 5 ms, works 40 ms


def test_no_scene_waits_for_the_recorder(good: Evaluation) -> None:
    """It hears of every frame set later than fusion does."""
    late = [
        msgspec.structs.replace(t, node="record", started_ns=t.ended_ns, ended_ns=t.ended_ns + 500_000_000)
        for t in good.run.timings
        if t.sensor == "frames"
    ]
    assert late
    latency = measure_latency(dataclasses.replace(good.run, timings=[*good.run.timings, *late]))
    assert [s.from_arrival_ms for s in latency.scenes] == [s.from_arrival_ms for s in good.latency.scenes]
    assert latency.parts == good.latency.parts


def test_a_constant_shift_shows_as_bias(good: Evaluation, write_run: WriteRun) -> None:
    """Tracks moved by 0.7 m along x: for an object straight ahead that is away, and nothing to the side."""
    assert good.metrics.values["bias/fused/radial_m"] == pytest.approx(0.0, abs=0.06)
    run = load_run(write_run(images=False, wobble=0.7, wobble_from=0, frames=10))
    truth = truth_of(run, CONFIG)
    ahead = [
        dataclasses.replace(s, truth=s.truth[s.truth.identity == 12])
        for s in samples(run, scene_outputs(run), truth, CONFIG)
    ]
    bias = measure_bias(run, ahead, 4.0)
    assert len(bias.errors) == 10
    np.testing.assert_allclose(bias.median, [0.7, 0.0, 0.0], atol=0.25)
    assert bias.spread[0] == pytest.approx(0.2, abs=0.15)


def test_detections_that_could_not_be_fused_are_counted_and_told(good: Evaluation) -> None:
    """In two scenes one of the second sensor's, in all other scenes nobody counts."""
    scenes = list(good.run.scenes)
    for i in (1, 4):
        scene = scenes[i].payload
        count = np.zeros(len(scene.sensors), np.int32)  # type: ignore[attr-defined]
        count[1] = 1
        scenes[i] = msgspec.structs.replace(scenes[i], payload=msgspec.structs.replace(scene, unusable=count))
    run, sensor = dataclasses.replace(good.run, scenes=scenes), scenes[1].payload.sensors[1]  # type: ignore[attr-defined]
    assert good.run.unusable == {}
    assert run.unusable == {sensor: 2}
    values = of_run(run, ())
    assert values["run/unusable_detections"] == values[f"run/unusable_detections/{sensor}"] == 2
    alerts = tables(dataclasses.replace(good, run=run))["alerts"]
    assert any(text.startswith(f"{sensor}: 2 detections could not be fused") for text in alerts)
    assert not any("could not be fused" in text for text in tables(good)["alerts"])
