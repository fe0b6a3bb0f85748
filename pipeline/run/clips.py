"""Clips for Monte-Carlo evaluation: drawn at detection level with a fault, fused by any fuser, ready for the judge.

`outcome` is a pure function of a fuser, the faults and the clip's number; a cell of a table pools several clips.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Annotated

import msgspec

from calibration.rig import Rig
from fusion.fuser import Fuser
from fusion.training.clips import Clip, FaultSpan
from fusion.training.graph.windows import FAULT_OF
from nodes.simulator.detections.draw import draw_clip
from nodes.simulator.detections.faults import EFFECTS, ONLY_DRAWN
from nodes.simulator.detections.random_traffic import random_traffic
from nodes.simulator.world.world import World
from nodes.sources.faults.fault import SOURCE, Fault, befalls_nothing, parse_fault
from pipeline.core.errors import BadInput
from pipeline.core.messages import EgoPose, Message, RunInfo, Scene, Stamp
from pipeline.core.settings import Settings, to_yaml
from pipeline.evaluate.alarms import Ailing, Alarms, Told, alarms, of_alarms
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.evidence import Evidence, evidence, pooled
from pipeline.evaluate.robustness import Cell, RobustnessSettings
from pipeline.evaluate.run_log import RunLog, collect
from pipeline.evaluate.units import Value
from pipeline.graph import Graph
from pipeline.run.fused_anew import fused_anew

HELD_OUT = 1 << 60
"""Seeds of evaluation begin here; those of training clips are below."""
_PERIOD_S = 0.1


class ClipSettings(Settings, frozen=True):
    """count: clips under each fault; the same for all faults and fusers. seconds: of each. warm_up_s: not scored.

    label_every: frame sets from one that is scored to the next. scenarios: placed ones, by name or file, taken in turn
    by every second clip; the others are quick traffic at random. first: number of the first clip.
    """

    count: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 4
    seconds: Annotated[float, msgspec.Meta(ge=2.0, le=60.0)] = 8.0
    warm_up_s: Annotated[float, msgspec.Meta(ge=0.0, le=30.0)] = 1.0
    label_every: Annotated[int, msgspec.Meta(ge=1, le=50)] = 2
    scenarios: tuple[str, ...] = ()
    first: Annotated[int, msgspec.Meta(ge=0, lt=1 << 40)] = 0


class ClipRobustness(RobustnessSettings, frozen=True, kw_only=True):
    """rig: name under configs/rigs, or a YAML file. scoring: the same under configs/eval."""

    clips: ClipSettings = ClipSettings()
    rig: str = "demo"
    scoring: str = "clips"


@dataclass(frozen=True)
class ClipCells:
    """Makes the cells of a table from clips."""

    rig: Rig
    clips: ClipSettings
    scoring: EvalConfig

    def scores(self, cell: Cell, graphs: Sequence[Graph]) -> list[dict[str, Value]]:
        """The numbers of each graph's fuser, all on the same clips."""
        parts: list[list[Evidence]] = [[] for _ in graphs]
        named: list[list[Alarms]] = [[] for _ in graphs]
        for number in range(self.clips.count):
            for graph, of_graph, told in zip(graphs, parts, named, strict=True):
                run = outcome(graph, self.rig, self.clips, cell.faults, number)
                of_graph.append(evidence(run, self.scoring, round(_PERIOD_S * 1e9)))
                heard = alarms_of(run, drawn(self.rig, self.clips, cell.faults, number))
                told += [heard] if heard else []
        return [
            pooled(of_graph, self.scoring) | (of_alarms(told) if told else {})
            for of_graph, told in zip(parts, named, strict=True)
        ]


def alarms_of(run: RunLog, clip: Clip) -> Alarms | None:
    """What was named of the sensors, against what ailed them."""
    told = [
        Told(m.stamp.time_ns, dict(zip(m.payload.sensors, m.payload.sensor_fault, strict=False)))
        for m in run.scenes
        if isinstance(m.payload, Scene)
    ]
    last = len(clip) - 1
    ailings = [
        Ailing(s.sensor, FAULT_OF[s.name], int(clip.time_ns[s.start]), int(clip.time_ns[min(s.end, last)]))
        for s in clip.faults
        if s.name in FAULT_OF and s.start <= last
    ]
    return alarms(told, ailings)


def outcome(graph: Graph, rig: Rig, clips: ClipSettings, faults: Sequence[str], number: int) -> RunLog:
    """Clip ``number`` under these faults as ``graph``'s fuser sees it."""
    clip = drawn(rig, clips, tuple(faults), number)
    return fused(clip, graph.fusion.fuser(rig), rig, clips, graph.name)


@functools.lru_cache(maxsize=2)
def drawn(rig: Rig, clips: ClipSettings, faults: tuple[str, ...], number: int) -> Clip:
    """Clip ``number`` under faults as on the command line, such as ``lidar.fog:3``; all fusers are given this one.

    Raises:
        BadInput: a fault that cannot be, or that no detection-level model has.
    """
    seed = HELD_OUT + clips.first + number
    world = _world(clips, number)
    frames = round(world.duration / _PERIOD_S) - 1
    spans = tuple(span for text in faults for span in _spans(parsed(text, rig), frames))
    return draw_clip(world, rig, seed, spans, period_s=_PERIOD_S)


@functools.lru_cache(maxsize=64)
def _world(clips: ClipSettings, number: int) -> World:
    seed = HELD_OUT + clips.first + number
    if clips.scenarios and number % 2:
        from nodes.simulator.named import placed_world  # ray casting and rendering take long to import

        world = placed_world(clips.scenarios[number // 2 % len(clips.scenarios)], seed)
        return replace(world, duration=min(world.duration, clips.seconds))
    return random_traffic(seed, clips.seconds)


def parsed(text: str, rig: Rig) -> Fault:
    """Raises BadInput where no such fault can be drawn."""
    fault = parse_fault(text, rig, _topics(rig), ONLY_DRAWN)
    if fault.kind.name not in EFFECTS:
        raise BadInput(SOURCE, text, f"one that is drawn at detection level: {', '.join(sorted(EFFECTS))}", "another")
    return fault


def befalls_no_sensor(text: str, rig: Rig) -> bool:
    """Whether the rig has none of the sensors that a fault befalls."""
    return befalls_nothing(text, rig, _topics(rig), ONLY_DRAWN)


def _topics(rig: Rig) -> tuple[str, ...]:
    kinds = {"camera": rig.cameras, "lidar": rig.lidars, "radar": rig.radars}
    return tuple(f"{kind}/{sensor.name}" for kind, sensors in kinds.items() for sensor in sensors)


def _spans(fault: Fault, frames: int) -> Iterable[FaultSpan]:
    period_ns = round(_PERIOD_S * 1e9)
    start, end = min(fault.start_ns // period_ns, frames), min(fault.end_ns // period_ns, frames)
    return [FaultSpan(sensor, fault.kind.name, fault.amount, start, end) for sensor in fault.sensors]


def fused(clip: Clip, fuser: Fuser, rig: Rig, clips: ClipSettings, graph: str) -> RunLog:
    """What a fuser makes of a clip, as the judge reads a run, with labels and frame sets of the scored instants."""
    frames = [Message("frames", _stamp(time_ns, i), f) for i, (f, time_ns) in enumerate(clip.frames())]
    scenes = fused_anew(frames, fuser)
    first = round(clips.warm_up_s / _PERIOD_S)
    scored = range(first, len(clip), clips.label_every)
    truth = [Message("truth/objects", frames[i].stamp, clip.truth_at(i)) for i in scored]
    poses = [Message("pose/ego", frames[i].stamp, _pose(clip, i)) for i in range(len(clip))]
    info = RunInfo(drive=clip.name, version=version("syncline"), rig_yaml=to_yaml(rig), graph_yaml=f"name: {graph}\n")
    return collect([*poses, *truth, *(frames[i] for i in scored), *scenes], info, rig, clip.name)


def _pose(clip: Clip, frame: int) -> EgoPose:
    x, y, z = clip.ego_position[frame].tolist()
    qw, qx, qy, qz = clip.ego_rotation[frame].tolist()
    return EgoPose(position=(x, y, z), rotation_wxyz=(qw, qx, qy, qz))


def _stamp(time_ns: int, sequence: int) -> Stamp:
    return Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=sequence)
