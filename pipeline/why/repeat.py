"""A recorded run's fusion once more on its own frame sets, with accounts of chosen tracks.

Fusion is deterministic and frame sets are recorded, so nothing else has to be: what a step thought is had by taking it
again. The scenes that come out are compared with the recorded ones to the byte, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import yaml

from fusion.account import Account, Observed
from fusion.fuser import Fuser
from fusion.tracker import Tracker
from nodes.fuse import Fuse
from pipeline.core import wire
from pipeline.core.errors import BadInput
from pipeline.core.messages import FrameSet, Message, Scene
from pipeline.core.run_recording import RunRecording
from pipeline.core.settings import convert
from pipeline.graph import FuseNode


class Repeated(NamedTuple):
    """accounts: by track. differs_at: index of the first scene that is not as recorded, -1 = all are."""

    accounts: dict[int, list[Account]]
    differs_at: int


def fuse_node(recording: RunRecording) -> FuseNode:
    """The fusion step that made a recorded run; its other nodes may be of a version that this one does not know.

    Raises:
        BadInput: the recording names no graph with one.
    """
    try:
        document = yaml.safe_load(recording.info.graph_yaml)
    except yaml.YAMLError as error:
        raise BadInput(recording.path, "run/info graph_yaml", "the graph that ran", error) from error
    nodes = document.get("nodes") if isinstance(document, dict) else None
    found = [n for n in nodes or () if isinstance(n, dict) and n.get("node") == "fuse"]
    if len(found) != 1:
        raise BadInput(recording.path, "run/info graph_yaml", "a graph with one fuse node", len(found))
    return convert(found[0], FuseNode, source=f"{recording.path} run/info graph_yaml, fuse node")


def repeat(
    recording: RunRecording, tracks: Collection[int], on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Repeated:
    """Fuse the recorded frame sets as the run did.

    Raises:
        BadInput: no graph, no frame sets, or no scenes were recorded; or the graph cannot run here.
    """
    for topic in ("frames", "scene"):
        if topic not in recording.topics:
            raise BadInput(recording.path, "topics", f"{topic}, which a replay records", "none")
    fuser = fuse_node(recording).fuser(recording.rig)
    assert isinstance(fuser, Tracker)
    observed = Observed(fuser, frozenset(tracks).__contains__)
    recorded = {_place(m): wire.digest(m) for m in recording.messages(["scene"])}
    differs_at = -1
    for done, scene in enumerate(_scenes(observed, _fused(recording, recorded)), start=1):
        assert isinstance(scene.payload, Scene)
        if differs_at < 0 and recorded[_place(scene)] != wire.digest(scene):
            differs_at = scene.payload.index
        on_progress(done, len(recorded))
    return Repeated(observed.accounts, differs_at)


def _scenes(fuser: Fuser, frames: Iterator[Message]) -> Iterator[Message]:
    node = Fuse(fuser)
    for message in frames:
        yield from (m for m in node.step(message, 0) if m.topic == "scene")


def _fused(recording: RunRecording, scenes: Collection[tuple[int, int]]) -> Iterator[Message]:
    """The frame sets that the run fused, in the order of their making; a recording is in the order of arrival."""
    made = sorted(recording.messages(["frames"]), key=lambda m: (m.stamp.epoch, m.stamp.sequence))
    return (m for m in made if _place(m) in scenes)


def _place(message: Message) -> tuple[int, int]:
    payload = message.payload
    assert isinstance(payload, FrameSet | Scene)
    return message.stamp.epoch, payload.index
