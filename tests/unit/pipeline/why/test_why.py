"""Recorded runs in which it is known what was wrong: the answer names it, and its sums are those of the tracker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Extrinsic, LidarSensor, RadarSensor, Rig
from nodes.fuse import Fuse
from pipeline.cli.app import app
from pipeline.core.errors import BadInput
from pipeline.core.messages import EgoPose, Message, RunInfo, Scene, SensorSlot, Stamp
from pipeline.core.recording import RecordingWriter
from pipeline.core.run_recording import RunRecording
from pipeline.core.settings import to_yaml
from pipeline.evaluate.run_log import load_run
from pipeline.graph import FuseNode, Graph
from pipeline.why.answer import Answer, answer
from tests.scenes import PERIOD_NS, Sensor, Thing, detections, frame_set, slot

# x forward, as a camera's z: the optical axis points ahead
_AHEAD = Extrinsic(translation=(0.0, 0.0, 1.5), rotation_wxyz=(0.5, -0.5, 0.5, -0.5))
_LEVEL = Extrinsic(translation=(0.0, 0.0, 1.5), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))
RIG = Rig(
    vehicle="small",
    sensors=(
        CameraSensor(
            name="front", extrinsic=_AHEAD, width=640, height=480, intrinsics=Pinhole(fx=600, fy=600, cx=320, cy=240)
        ),
        LidarSensor(name="top", extrinsic=_LEVEL),
        RadarSensor(name="bumper", extrinsic=_LEVEL),
    ),
)
GRAPH = Graph(name="test", nodes=(FuseNode(),))
FRONT = Sensor("front", "camera", (1.0, 0.3, 0.3), score=0.35)  # sees, but is not sure
TOP = Sensor("top", "lidar", (0.2, 0.2, 0.1))
BUMPER = Sensor("bumper", "radar", (0.5, 0.5, 0.5), radial_sigma=0.1, score=0.4)
CAR = Thing((20.0, 1.0, 0.8), (5.0, 0.0))
FAULTY = range(20, 30)
Spoil = Callable[[int, SensorSlot], SensorSlot]


def whole(_: int, one: SensorSlot) -> SensorSlot:
    return one


def at_fault(sensor: str, change: Callable[[SensorSlot], SensorSlot]) -> Spoil:
    """``change`` while FAULTY, to one sensor's slot."""
    return lambda i, one: change(one) if i in FAULTY and one.sensor == sensor else one


def lost(one: SensorSlot, reason: str = "lost") -> SensorSlot:
    return SensorSlot(sensor=one.sensor, modality=one.modality, missing=reason)


def blind(one: SensorSlot) -> SensorSlot:
    """It looks, and sees nothing: a field of view that was cut."""
    assert one.detections is not None
    nothing = detections(TOP, [], 0.0, np.random.default_rng(0))
    return one.updated(detections=nothing.updated(sensor=one.sensor, modality=one.modality))


def moved(one: SensorSlot, score: float) -> SensorSlot:
    seen = one.detections
    assert seen is not None
    place = seen.position + np.array([0.0, 2.8, 0.0], np.float32)
    return one.updated(detections=seen.updated(position=place, score=np.full_like(seen.score, score)))


def not_positive(one: SensorSlot) -> SensorSlot:
    assert one.detections is not None
    return one.updated(detections=one.detections.updated(position_cov=-one.detections.position_cov))


def run_of(
    folder: Path, spoil: Spoil, things: list[Thing], frames: int = 45, pause: tuple[int, int] = (0, 0),
    graph: Graph = GRAPH,
) -> Path:  # fmt: skip
    """A recorded run at 10 Hz; pause: before which frame set, and of how many periods."""
    rng, node = np.random.default_rng(1), Fuse(graph.fusion.fuser(RIG))
    info = RunInfo(drive="small", version="1", rig_yaml=to_yaml(RIG), graph_yaml=to_yaml(graph))
    folder.mkdir()
    start = Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0)
    with RecordingWriter(folder / "run.mcap", Message("run/info", start, info)) as recording:
        for i in range(frames):
            k = i + (pause[1] if i >= pause[0] else 0)
            slots = [slot(s, detections(s, things, 0.1 * k, rng)) for s in (FRONT, TOP, BUMPER)]
            time_ns = k * PERIOD_NS
            stamp = Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=i)
            pose = EgoPose(position=(0.0, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))
            frames_ = Message("frames", stamp, frame_set(i, [spoil(i, one) for one in slots]))
            for message in (Message("pose/ego", stamp, pose), frames_, *node.step(frames_, 0)):
                if message.topic != "progress":
                    recording.write(message)
    return folder


def ask(run: Path, track: int = 1, at_s: float | None = None) -> Answer:
    return answer(load_run(run), run, track, at_s, 0.5)


def total(a: Answer, i: int) -> float:
    account = a.life[i]
    return account.carried + account.opinion + sum(c.evidence for c in account.contributions)


def test_a_sensor_that_is_gone_is_named_with_the_aligners_reason(tmp_path: Path) -> None:
    a = ask(run_of(tmp_path / "run", at_fault("top", lambda s: lost(s, "silent")), [CAR]))
    assert a.differs_at == -1, "the scenes are those of the run"
    (loss,) = a.losses
    blame = loss.blames[0]
    assert blame.sensor == "top"
    assert blame.what == {"missing: silent": sum(blame.what.values())}
    assert blame.before > 1.0
    assert blame.during == 0.0
    assert blame.kept > 0.5, "with it, the track would have been kept"
    assert 2.0 <= (loss.falls_ns - a.start_ns) / 1e9 <= 2.2, "the fall begins with the fault"
    assert loss.end_ns > 0
    assert loss.ending == ""


def test_a_sensor_that_looks_and_sees_nothing_counts_against(tmp_path: Path) -> None:
    a = ask(run_of(tmp_path / "run", at_fault("top", blind), [CAR]))
    blame = a.losses[0].blames[0]
    assert (blame.sensor, set(blame.what)) == ("top", {"silent"})
    assert blame.during < 0.0
    assert a.moment.time_ns // PERIOD_NS in FAULTY, "the moment shown is the worst"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: moved(one, 0.9), "other_track"),
        (lambda one: moved(one, 0.1), "gate"),  # too weak to start a track of its own
        (not_positive, "unusable"),
    ],
)
def test_a_detection_that_is_there_but_not_used_says_why(tmp_path: Path, change, reason: str) -> None:
    a = ask(run_of(tmp_path / "run", at_fault("top", change), [CAR]), at_s=2.1)
    (top,) = [c for c in a.moment.contributions if c.sensor == "top"]
    assert (top.what, top.reason) == ("rejected", reason)
    assert top.weight == 0.0
    if reason != "unusable":
        assert top.detection is not None
        assert top.detection.distance_m == pytest.approx(2.8, abs=1.0)
        assert top.detection.sigmas > 3.8
        assert (top.detection.other > 0) == (reason == "other_track")


def test_out_of_view_and_hidden_are_told_apart_from_not_seen(tmp_path: Path) -> None:
    beside = Thing((5.0, 30.0, 0.8), (0.0, 0.0))  # out of the camera's picture
    wall = Thing((10.0, 1.0, 0.8), (0.0, 0.0), "truck", (3.0, 8.0, 3.0))

    def blocked(i: int, one: SensorSlot) -> SensorSlot:
        """From then on nobody sees what is behind the truck; the camera never sees what is beside."""
        seen = one.detections
        assert seen is not None
        x, y = seen.position[:, 0], seen.position[:, 1]
        kept = ~((x > 14.0) & (np.abs(y - 1.0) < 6.0) & (i >= 20)) & ~((y > 15.0) & (one.sensor == "front"))
        rows = {n: getattr(seen, n)[kept] for n in _COLUMNS}
        return one.updated(detections=msgspec.structs.replace(seen, **rows))

    run = run_of(tmp_path / "run", blocked, [Thing((20.0, 1.0, 0.8), (0.0, 0.0)), beside, wall], frames=30)
    log = load_run(run)
    behind, side = (_near(log.scenes[15].payload, x, y) for x, y in ((20.0, 1.0), (5.0, 30.0)))
    kinds = {c.sensor: c.what for c in ask(run, behind, 2.2).moment.contributions}
    assert kinds == {"front": "hidden", "top": "hidden", "bumper": "hidden"}
    kinds = {c.sensor: c.what for c in ask(run, side, 2.2).moment.contributions}
    assert kinds == {"front": "out_of_view", "top": "used", "bumper": "used"}


_COLUMNS = (
    "position", "position_cov", "size", "size_sigma", "yaw", "yaw_sigma", "velocity", "velocity_cov", "radial_speed",
    "radial_sigma", "class_score", "score", "box2d", "time_offset_ns", "points", "embedding",
)  # fmt: skip


def _near(scene: object, x: float, y: float) -> int:
    assert isinstance(scene, Scene)
    return int(scene.track_id[np.hypot(*(scene.track_position[:, :2] - [x, y]).T).argmin()])


@pytest.mark.parametrize("spoil", [whole, at_fault("top", lost), at_fault("top", blind)])
def test_shares_sum_to_the_existence_and_the_weights_that_were_published(tmp_path: Path, spoil: Spoil) -> None:
    run = run_of(tmp_path / "run", spoil, [CAR, Thing((30.0, -4.0, 0.8), (-3.0, 0.0))], frames=40)
    scenes = {m.payload.index: m.payload for m in load_run(run).scenes if isinstance(m.payload, Scene)}
    a = ask(run)
    for i, account in enumerate(a.life):
        assert 1.0 / (1.0 + np.exp(-total(a, i))) == pytest.approx(account.existence, abs=1e-9)
        scene = scenes[account.index]
        (row,) = np.flatnonzero(scene.track_id == 1)
        assert account.existence == pytest.approx(float(scene.existence[row]), abs=1e-6)
        np.testing.assert_allclose([c.weight for c in account.contributions], scene.weight[row], atol=1e-6)


def test_a_track_that_a_pause_ended_says_so_and_names_its_successor(tmp_path: Path) -> None:
    a = ask(run_of(tmp_path / "run", whole, [Thing((20.0, 1.0, 0.8), (0.0, 0.0))], frames=30, pause=(15, 15)))
    assert a.life[-1].ending == "time_jump"
    assert a.after is not None
    assert a.after.gap_s == pytest.approx(1.6)
    assert a.after.distance_m < 1.0


def test_a_recording_of_other_code_is_not_passed_off_as_repeated(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", whole, [CAR], frames=12)
    with RecordingWriter(tmp_path / "other.mcap", _info(run)) as changed:
        for message in _messages(run):
            if isinstance(message.payload, Scene) and message.payload.index >= 7:
                existence = message.payload.existence * np.float32(0.5)
                message = Message("scene", message.stamp, message.payload.updated(existence=existence))
            changed.write(message)
    assert ask(run).differs_at == -1
    assert ask(tmp_path / "other.mcap").differs_at == 7


def _info(run: Path) -> Message:
    start = Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0)
    return Message("run/info", start, load_run(run).info)


def _messages(run: Path) -> list[Message]:
    with RunRecording(run) as recording:
        return list(recording.messages(["pose/ego", "frames", "scene"]))


def test_the_command_says_it_in_words_numbers_and_a_picture(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", at_fault("top", lambda s: lost(s, "late")), [CAR])
    ran = CliRunner().invoke(
        app, ["why", str(run), "--at", "2.5", "--near", "33,1", "--picture", str(tmp_path / "w.png")]
    )
    assert ran.exit_code == 0, ran.output
    assert "LOST for" in ran.output
    assert "top: brought" in ran.output
    assert "missing: late: it arrived after the deadline of its frame set" in ran.output
    assert (tmp_path / "w.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads(CliRunner().invoke(app, ["why", str(run), "--track", "1", "--json"]).stdout)
    assert told["losses"][0]["blames"][0]["sensor"] == "top"
    assert len(told["life"]) == 45
    assert "1" in CliRunner().invoke(app, ["why", str(run)]).output


def test_where_nothing_was_it_says_what_the_sensors_had(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", whole, [CAR], frames=8)
    ran = CliRunner().invoke(app, ["why", str(run), "--at", "0.5", "--near", "-40,0"])
    assert ran.exit_code == 1
    assert "no track came within" in ran.output
    assert ran.output.count("nothing there") == 3


@pytest.mark.parametrize(("options", "match"), [(["--near", "1"], "--near"), (["--near", "1,2"], "--at")])
def test_a_question_that_is_none_is_refused(tmp_path: Path, options: list[str], match: str) -> None:
    run = run_of(tmp_path / "run", whole, [CAR], frames=3)
    ran = CliRunner().invoke(app, ["why", str(run), *options])
    assert isinstance(ran.exception, BadInput)
    assert match in str(ran.exception)


def test_a_track_that_is_none_and_a_run_without_a_graph_are_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", whole, [CAR], frames=3)
    with pytest.raises(BadInput, match="--track"):
        ask(run, 99)
    with pytest.raises(BadInput, match="fuse node"):
        _without_graph(tmp_path, run)


def test_other_nodes_may_be_of_another_version(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", whole, [CAR], frames=3)
    info = load_run(run).info
    start = Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0)
    older = info.updated(graph_yaml=f"{info.graph_yaml}- node: detect_smell\n  settings: {{nose: 3}}\n")
    older = older.updated(graph_yaml=older.graph_yaml.replace("description: ''\n", ""))
    assert "detect_smell" in older.graph_yaml
    with RecordingWriter(tmp_path / "older.mcap", Message("run/info", start, older)) as recording:
        for message in _messages(run):
            recording.write(message)
    assert ask(tmp_path / "older.mcap").differs_at == -1


def _without_graph(tmp_path: Path, run: Path) -> None:
    info = load_run(run).info.updated(graph_yaml="name: nothing\nnodes: []\n")
    start = Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0)
    with RecordingWriter(tmp_path / "none.mcap", Message("run/info", start, info)) as bare:
        for message in _messages(run):
            bare.write(message)
    ask(tmp_path / "none.mcap")
