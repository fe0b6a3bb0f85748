"""The heads beside the scenes that they read: they follow a track by its number and forget it when it is gone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from fusion.heads.features import FEATURES, Ego, features, kinematics
from fusion.heads.heads import Follow, Heads, HeadsSettings
from fusion.heads.network import HeadsNetwork
from fusion.training.graph.export import export as export_graph
from fusion.training.heads.export import export
from nodes.fuse import Fuse
from pipeline.core.errors import BadInput
from pipeline.core.heads import INTENTS
from pipeline.core.messages import C, FrameSet, Message, Scene, Stamp
from pipeline.core.wire import decode, encode_bytes
from tests.graphs import random_network

STEP_NS = 100_000_000


def scene(index: int, tracks: dict[int, tuple[float, float, float, float]], x: float = 0.0) -> Scene:
    """tracks: number -> place and velocity, odom frame; the vehicle at ``x``, looking along it."""
    m, rows = len(tracks), np.array(list(tracks.values())).reshape(-1, 4)
    return Scene(
        index=index, position=(x, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0), sensors=(), missing=(),
        track_id=np.array(list(tracks), np.int64), track_position=np.append(rows[:, :2], np.ones((m, 1)), axis=1),
        track_velocity=rows[:, 2:].copy(), track_size=np.tile(np.array([4.0, 2.0, 1.5], np.float32), (m, 1)),
        track_yaw=np.zeros(m), state_cov=np.tile(np.eye(5, dtype=np.float32), (m, 1, 1)),
        class_score=np.full((m, C), 1 / C, np.float32), existence=np.ones(m, np.float32),
        weight=np.zeros((m, 0), np.float32), age=np.full(m, 9, np.int32), coasted=np.zeros(m, np.int32),
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Untrained heads."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("heads") / "heads.onnx"
    export(HeadsNetwork(), path)
    return str(path)


def test_what_is_told_is_told_in_the_scenes_order(model: str) -> None:
    tracks = {7: (30.0, 0.0, 0.0, 0.0), 3: (20.0, 5.0, 1.0, 0.0), 9: (-10.0, -4.0, 0.0, 0.0)}
    told = Heads(HeadsSettings(model=model)).step(scene(0, tracks), 0)
    assert told.track_id.tolist() == [7, 3, 9]
    np.testing.assert_allclose(told.intent.sum(axis=1), 1.0, atol=1e-6)
    assert ((told.hazard >= 0) & (told.hazard <= 1)).all()
    assert sorted(told.attention.tolist()) == [0, 1, 2]
    turned = dict(reversed(tracks.items()))
    again = Heads(HeadsSettings(model=model)).step(scene(0, turned), 0)
    np.testing.assert_array_equal(told.intent, again.intent[::-1])
    np.testing.assert_array_equal(told.attention, again.attention[::-1])


def test_memory_follows_the_track_and_not_its_row(model: str) -> None:
    one, two = Heads(HeadsSettings(model=model)), Heads(HeadsSettings(model=model))
    a, b = (30.0, 0.0, 0.0, 0.0), (20.0, 5.0, 1.0, 0.0)
    one.step(scene(0, {1: a, 2: b}), 0)
    two.step(scene(0, {2: b, 1: a}), 0)
    first, second = one.step(scene(1, {1: a, 2: b}), STEP_NS), two.step(scene(1, {2: b, 1: a}), STEP_NS)
    np.testing.assert_allclose(first.intent, second.intent[::-1], atol=1e-6)
    fresh = Heads(HeadsSettings(model=model)).step(scene(1, {1: a, 2: b}), STEP_NS)
    assert np.abs(first.intent - fresh.intent).max() > 1e-4


def test_a_gap_in_time_or_another_epoch_begins_anew(model: str) -> None:
    tracks = {1: (30.0, 0.0, -3.0, 0.0)}
    fresh = Heads(HeadsSettings(model=model)).step(scene(1, tracks), 0)
    for time_ns, epoch in ((STEP_NS * 50, 0), (STEP_NS, 1), (-STEP_NS, 0)):
        heads = Heads(HeadsSettings(model=model))
        heads.step(scene(0, tracks), 0)
        np.testing.assert_array_equal(heads.step(scene(1, tracks), time_ns, epoch).intent, fresh.intent)


def test_no_tracks_and_no_weights(model: str, tmp_path: Path) -> None:
    heads = Heads(HeadsSettings(model=model))
    assert heads.step(scene(0, {}), 0).intent.shape == (0, len(INTENTS))
    assert len(heads.step(scene(1, {4: (9.0, 0.0, 0.0, 0.0)}), STEP_NS).hazard) == 1
    with pytest.raises(BadInput):
        Heads(HeadsSettings(model=str(tmp_path / "none.onnx")))
    export_graph(random_network(), tmp_path / "graph.onnx")
    with pytest.raises(BadInput, match="inputs"):
        Heads(HeadsSettings(model=str(tmp_path / "graph.onnx")))


def test_time_to_contact_is_that_of_the_boxes() -> None:
    """A car 40 m ahead that stands, the vehicle at 10 m/s: from bumper to bumper."""
    ego = Ego(np.array([10.0, 0.0]), 0.0)
    moving = kinematics(scene(0, {1: (40.0, 0.0, 0.0, 0.0), 2: (40.0, 8.0, 0.0, 0.0)}), ego)
    gap = 40.0 - 2.0 - (4.6 - 0.9)
    np.testing.assert_allclose(moving.contact, [gap / 10.0, np.inf])
    one = scene(0, {1: (40.0, 0.0, 0.0, 0.0)})
    given = features(one, ego, kinematics(one, ego))
    assert given[0, FEATURES.index("contact")] == pytest.approx(1.0 / (1.0 + gap / 10.0))


def test_the_vehicles_motion_is_that_of_its_poses() -> None:
    follow = Follow((4.6, 1.9), 0.9)
    assert not follow.step(scene(0, {}), 0)[1]
    ego, goes_on = follow.step(scene(1, {}, x=1.5), STEP_NS)
    assert goes_on
    np.testing.assert_allclose(ego.velocity, [15.0, 0.0])


def test_the_fuse_node_puts_them_on_the_scene_and_beside_it(model: str) -> None:
    class Given:
        def step(self, frames: FrameSet, time_ns: int) -> Scene:
            weather = np.array([0.7, 0.1, 0.1, 0.1], np.float32)
            return msgspec.structs.replace(scene(frames.index, {5: (20.0, 0.0, 0.0, 0.0)}), weather=weather)

        def close(self) -> None: ...

    frames = FrameSet(index=4, position=(0.0, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0), slots=())
    stamp = Stamp(sensor_ns=9, arrival_ns=11, time_ns=9, sequence=4)
    node = Fuse(Given(), heads=Heads(HeadsSettings(model=model)))  # type: ignore[arg-type]
    sent = {m.topic: m for m in node.step(Message("frames", stamp, frames), 0)}
    assert list(sent) == ["scene", "heads/tracks", "heads/weather", "progress"]
    assert all(m.stamp == sent["scene"].stamp for m in sent.values())
    whole = decode("scene", encode_bytes(sent["scene"]))
    assert isinstance(whole.payload, Scene)
    assert whole.payload.heads is not None
    assert whole.payload.heads.track_id.tolist() == [5]
    assert sent["heads/tracks"].payload.fresh_ns > 0  # type: ignore[attr-defined]


def test_the_shipped_heads_know_whom_to_brake_for() -> None:
    """At 10 m/s: a car ahead that hardly moves, one that follows in the lane beside, one ahead that keeps its speed."""
    heads = Heads()
    for i in range(15):
        x = float(i)
        given = {1: (28.0 + 0.1 * i, 0.0, 1.0, 0.0), 2: (x - 20.0, 3.5, 10.0, 0.0), 3: (x + 30.0, -3.5, 10.0, 0.0)}
        seen = scene(i, given, x)
        kind = np.full((3, C), 0.01, np.float32)
        kind[:, 0] = 0.91
        known = np.tile(np.diag([0.1, 0.1, 0.1, 0.3, 0.3]).astype(np.float32), (3, 1, 1))
        told = heads.step(msgspec.structs.replace(seen, class_score=kind, state_cov=known), i * STEP_NS)
    assert told.attention[0] == 0
    assert told.hazard[0] > 2.0 * told.hazard[1:].max()
    assert told.time_to_collision[0] == pytest.approx((28.0 + 1.4 - 14.0 - 2.0 - 3.7) / 9.0, rel=0.01)
    assert np.isinf(told.time_to_collision[1:]).all()
    assert told.deceleration[0] > 3.0
