"""One run as the judge sees it: its recording, read once, without the raw sensor data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.rig import Rig
from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from pipeline.core.arrays import Payload
from pipeline.core.labels import held_ns, in_odom
from pipeline.core.messages import (
    EgoPose,
    FrameSet,
    LedgerState,
    Message,
    NodeStatus,
    RunInfo,
    Scene,
    SensorSlot,
    StreamStatus,
    Timing,
)
from pipeline.core.run_recording import RunRecording
from pipeline.core.topics import topic_row
from pipeline.core.truth import TruthObjects, TruthSensor
from pipeline.evaluate.boxes import Boxes


@dataclass(frozen=True, eq=False)
class AlignedFrame:
    """A frame set with its detections as boxes in the odom frame.

    ego: odom_SE3_ego. slots: by sensor, their detections taken out. found: by sensor, where it is not missing; the
    boxes stand where the sensor saw them, each at its own instant measured_ns, since alignment moves only the vehicle.
    """

    index: int
    time_ns: int
    arrival_ns: int
    ego: SE3
    slots: dict[str, SensorSlot]
    found: dict[str, Boxes]
    measured_ns: dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class RunLog:
    """Messages of one run by kind, each list in order of the recording.

    sensors: names in the order of the first frame set. streams: the last count of each sensor's stream, by epoch.
    ego: odom_SE3_ego over the run, None where there is no pose. has_poses: the run heard poses; without, odom is ego at
    each instant, and nothing is known of its motion.
    damage: what of the recording could not be read. faults: what was injected, in the order of its beginning.
    """

    source: str
    info: RunInfo
    rig: Rig
    scenes: list[Message]
    frames: list[AlignedFrame]
    truth: list[Message]
    ledgers: list[Message]
    timings: list[Timing]
    statuses: dict[str, NodeStatus]
    streams: dict[tuple[str, int], StreamStatus]
    ego: Trajectory | None
    has_poses: bool
    damage: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def sensors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(sensor for frame in self.frames for sensor in frame.slots))

    @property
    def unusable(self) -> dict[str, int]:
        """Detections of each sensor that fusion could not use, in all; of those of which there are any."""
        total: Counter[str] = Counter()
        for message in self.scenes:
            if isinstance(message.payload, Scene):
                total.update(dict(zip(message.payload.sensors, message.payload.unusable.tolist(), strict=False)))
        return {sensor: n for sensor, n in total.items() if n}

    @property
    def modality(self) -> dict[str, str]:
        return {name: slot.modality for frame in self.frames for name, slot in frame.slots.items()}

    @property
    def start_ns(self) -> int:
        """Vehicle time of the first label, frame set or scene; 0 for an empty run."""
        return min(self._times(), default=0)

    @property
    def accounts(self) -> list[tuple[int, LedgerState]]:
        """The ledger's states in time. One without a stamp is the account at the end of the run."""
        end_ns = max(self._times(), default=0)
        states = [(m.stamp.time_ns or end_ns, m.payload) for m in self.ledgers if isinstance(m.payload, LedgerState)]
        received = [sum(row.received for row in state.rows) for _, state in states]
        order = sorted(range(len(states)), key=lambda i: (states[i][0], received[i]))
        return [states[i] for i in order]

    def ego_at(self, time_ns: int) -> SE3:
        """Ego pose, held at the ends of what is known.

        Raises:
            ValueError: the run has no pose at all.
        """
        if self.ego is None:
            raise ValueError(f"{self.source}: no ego pose: neither pose/ego nor frames nor scene were recorded")
        return self.ego.at(np.clip(time_ns, self.ego.times_ns[0], self.ego.times_ns[-1]))

    def _times(self) -> Iterator[int]:
        yield from (m.stamp.time_ns for m in self.truth)
        yield from (f.time_ns for f in self.frames)
        yield from (m.stamp.time_ns for m in self.scenes)


def load_run(run: Path) -> RunLog:
    """Read a run folder or recording. Raises BadInput where it is not one."""
    with RunRecording(run) as recording:
        log = collect(_judged(recording), recording.info, recording.rig, str(run))
        return replace(log, damage=tuple(d.what for d in recording.damage))


def _judged(recording: RunRecording) -> Iterator[Message]:
    """What the judge reads of a recording. Frame sets hold the detections that were used."""
    topics = [t for t in recording.topics if t == "pose/ego" or topic_row(t).role in ("run", "truth", "derived")]
    return recording.messages([t for t in topics if not t.startswith("detections/")])


def collect(messages: Iterable[Message], info: RunInfo, rig: Rig, source: str) -> RunLog:
    """Sort messages by kind; topics that the judge does not use are passed over."""
    kinds: dict[type[Payload], list[Message]] = {}
    frames: list[AlignedFrame] = []
    for message in messages:
        if isinstance(message.payload, FrameSet):
            frames.append(_aligned(message, message.payload))
        else:
            kinds.setdefault(type(message.payload), []).append(message)
    poses = [m for m in kinds.get(EgoPose, []) if m.topic == "pose/ego"]
    scenes = kinds.get(Scene, [])
    ego = _ego(poses, frames, scenes)
    return RunLog(
        source,
        info,
        rig,
        scenes,
        frames,
        [_in_odom(m, ego) for m in kinds.get(TruthObjects, [])],
        kinds.get(LedgerState, []),
        [m.payload for m in kinds.get(Timing, []) if isinstance(m.payload, Timing)],
        {m.source: m.payload for m in kinds.get(NodeStatus, []) if isinstance(m.payload, NodeStatus)},
        {
            (m.source, m.stamp.epoch): m.payload
            for m in kinds.get(StreamStatus, [])
            if isinstance(m.payload, StreamStatus)
        },
        ego,
        bool(poses),
        faults=_faults(kinds.get(TruthSensor, []), rig),
    )


def _aligned(message: Message, frames: FrameSet) -> AlignedFrame:
    pose = frames.odom_SE3_ego
    return AlignedFrame(
        frames.index,
        message.stamp.time_ns,
        message.stamp.arrival_ns,
        pose,
        {slot.sensor: msgspec.structs.replace(slot, detections=None) for slot in frames.slots},
        {s.sensor: Boxes.of_detections(s.detections, pose) for s in frames.slots if s.detections is not None},
        {
            s.sensor: message.stamp.time_ns + s.detections.time_offset_ns.astype(np.int64)
            for s in frames.slots
            if s.detections is not None
        },
    )


def _faults(told: list[Message], rig: Rig) -> tuple[str, ...]:
    """What was injected, as it would be written to do so again: for a sensor, all of a kind, or all."""
    befell: dict[str, set[str]] = {}
    for message in told:
        if isinstance(message.payload, TruthSensor):
            for fault in message.payload.faults:
                befell.setdefault(fault, set()).add(message.payload.sensor)
    out = []
    for fault, sensors in befell.items():
        kinds = {sensor.modality for sensor in rig.sensors if sensor.name in sensors}
        alike = {sensor.name for sensor in rig.sensors if sensor.modality in kinds}
        if len(kinds) > 1:
            out.append(fault)
        elif sensors == alike and len(sensors) > 1:
            out.append(f"{min(kinds)}.{fault}")
        else:
            out += [f"{sensor}.{fault}" for sensor in sorted(sensors)]
    return tuple(out)


def _in_odom(message: Message, ego: Trajectory | None) -> Message:
    """Labels given in the ego frame, brought to odom; where there is no pose they stay."""
    labels = message.payload
    if not isinstance(labels, TruthObjects) or labels.frame == "odom" or ego is None:
        return message
    poses = ego.at(np.clip(held_ns(labels, message.stamp.time_ns), ego.times_ns[0], ego.times_ns[-1]))
    return Message(message.topic, message.stamp, in_odom(labels, poses))


def _ego(poses: list[Message], frames: list[AlignedFrame], scenes: list[Message]) -> Trajectory | None:
    """From pose/ego; where it was not recorded, from the poses that frame sets and scenes carry."""
    known = {m.stamp.time_ns: m.payload.odom_SE3_ego for m in poses if isinstance(m.payload, EgoPose)}
    if not known:
        known = {m.stamp.time_ns: m.payload.odom_SE3_ego for m in scenes if isinstance(m.payload, Scene)}
        known |= {f.time_ns: f.ego for f in frames}
    if not known:
        return None
    times = sorted(known)
    return Trajectory(times, SE3.stack([known[t] for t in times]))
