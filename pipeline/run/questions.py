"""Questions about simulated drives of which the truth is known, asked of the assistant in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from calibration.rig import Rig
from fusion.training.clips import Clip
from nodes.intent.assistant import Assistant
from nodes.intent.language.understand import Understanding
from nodes.intent.scene import VEHICLES, View
from pipeline.core.messages import CLASSES, Message, Scene, Stamp
from pipeline.core.truth import TruthObjects
from pipeline.evaluate.grounding import SIDES, Asked, Side, Thing, is_clear, matched, meant, outcome
from pipeline.graph import Graph
from pipeline.run.clips import ClipSettings, drawn
from pipeline.run.fused_anew import fused_anew

_KINDS = ("car", "truck", "bus", "pedestrian", "bicycle", "motorcycle", "vehicle")
_WORDS: dict[str, tuple[str, str]] = {
    "car": ("car", "轿车"), "truck": ("truck", "卡车"), "bus": ("bus", "公交车"), "pedestrian": ("pedestrian", "行人"),
    "bicycle": ("cyclist", "自行车"), "motorcycle": ("motorbike", "摩托车"), "vehicle": ("vehicle", "车"),
}  # fmt: skip
_SIDE_WORDS: dict[Side, tuple[str, str]] = {
    "ahead": ("ahead", "前面的"), "behind": ("behind us", "后面的"), "left": ("on the left", "左边的"),
    "right": ("on the right", "右边的"),
}  # fmt: skip
_FORMS = (
    ("how far is the {kind} {side}", "{side}{kind}有多远"),
    ("how fast is the {kind} {side}", "{side}{kind}开多快"),
    ("where is the {kind} {side}", "{side}{kind}在哪"),
    ("and the {kind} {side}?", "那{side}{kind}呢"),
)
_AGE_NS = 100_000_000  # of the scene when it is asked about
_HIDDEN = 0.2  # share of an object below which a person could not mean it either


def ask_clip(graph: Graph, rig: Rig, clips: ClipSettings, number: int, understanding: Understanding) -> Iterator[Asked]:
    """All questions about clip ``number``, fused by ``graph``: every kind and side that is there, and one that is not.

    The language and the form change from one to the next; the last form leans on what was asked before.
    """
    clip = drawn(rig, clips, (), number)
    rng = np.random.default_rng(clip.seed % (1 << 32))
    assistant = Assistant(understanding)
    for frame, scene in _scenes(clip, graph, rig):
        if frame < clips.warm_up_s * 10 or frame % clips.label_every:
            continue
        view = View(scene, 0, _AGE_NS)
        things = _things(clip.truth_at(frame), scene)
        tracks = [Thing(s.track_id, s.kind, s.forward, s.left) for s in view.seen]
        cases = [(kind, side) for kind in _KINDS for side in SIDES]
        there = [case for case in cases if meant(things, _kinds(case[0]), case[1])]
        absent = [case for case in cases if case not in there]
        for kind, side in [*there, absent[rng.integers(len(absent))]]:
            yield _ask(assistant, view, things, tracks, kind, side, rng)


def _ask(
    assistant: Assistant,
    view: View,
    things: list[Thing],
    tracks: list[Thing],
    kind: str,
    side: Side,
    rng: np.random.Generator,
) -> Asked:
    language, kinds = int(rng.integers(2)), _kinds(kind)
    forms = _FORMS if assistant.session.last and assistant.session.last.intent.startswith("how_") else _FORMS[:3]
    form = forms[rng.integers(len(forms))][language]
    reply = assistant.hear(form.format(kind=_WORDS[kind][language], side=_SIDE_WORDS[side][language]), view)
    seen = [t for t in things if not t.hidden]
    wanted = meant(seen, kinds, side)
    of_track = {track.number: matched(track, things) for track in tracks}
    there = sorted(of_track[track.number] for track in tracks if track.kind in kinds and track.side == side)
    real = {thing.number for thing in things if thing.kind in kinds}
    perceived = set(wanted) <= set(there) <= real and len(there) == len(set(there))
    cannot = "cannot tell" in reply.text or "无法判断" in reply.text
    answered = [of_track.get(track, -1) for track in reply.tracks]
    told = outcome(wanted, answered, reply.waits, cannot)
    return Asked(wanted, is_clear(things, kinds, side), perceived, told)


def _kinds(kind: str) -> tuple[str, ...]:
    return VEHICLES if kind == "vehicle" else (kind,)


def _scenes(clip: Clip, graph: Graph, rig: Rig) -> Iterator[tuple[int, Scene]]:

    frames = []
    for i, (frame_set, ns) in enumerate(clip.frames()):
        stamp = Stamp(sensor_ns=ns, arrival_ns=ns, time_ns=ns, sequence=i)
        frames.append(Message("frames", stamp, frame_set))
    for i, message in enumerate(fused_anew(frames, graph.fusion.fuser(rig))):
        if isinstance(message.payload, Scene):
            yield i, message.payload


def _things(truth: TruthObjects, scene: Scene) -> list[Thing]:
    """The truth in the ego frame of the scene."""
    ego_SE3_odom = scene.odom_SE3_ego.inverse()
    found = []
    for i, number in enumerate(truth.object_id.tolist()):
        x, y, _ = ego_SE3_odom @ truth.position[i]
        hidden = bool(truth.visibility[i] < _HIDDEN) and int(truth.lidar_points[i]) < 3
        found.append(Thing(number, CLASSES[int(truth.class_id[i])], float(x), float(y), hidden))
    return found
