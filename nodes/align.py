"""Align: detections and ego poses in, frame sets out, each at one reference instant; and the ledger of every message.

The decisions are made in `pipeline.sync.align`; here each set gets its ego pose, its detections are brought to the
instant, and what is left of the time error is put into numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np

from calibration.rig import Rig
from pipeline.core.messages import (
    Detections,
    EgoPose,
    FrameSet,
    Message,
    NodeStatus,
    SensorSlot,
    Stamp,
    StreamStatus,
)
from pipeline.core.node import FIRST_LIFE, Life
from pipeline.core.settings import Settings
from pipeline.sync.align import Aligned, Aligner, AlignerSettings, Recorded
from pipeline.sync.ego import Ego, EgoAt, EgoSettings
from pipeline.sync.lane import LaneSettings, Slot
from pipeline.sync.ledger import Ledger
from pipeline.sync.motion import compensate_detections

_UNDER_WAY = 128  # frame sets that may have been given out after the last that is known


class AlignSettings(Settings, frozen=True):
    """reference: sensor whose messages set the instants; ``first_lidar`` = that of the rig, none where it has none.

    period_ns: time between the instants without a reference sensor. ledger_every: frame sets between two ledgers.
    lane: what holds for each sensor; ego: how the pose at an instant is found.
    """

    reference: str = "first_lidar"
    period_ns: int = 100_000_000
    lane: LaneSettings = LaneSettings()
    ego: EgoSettings = EgoSettings()
    start_wait_ns: int = 500_000_000
    max_held: int = 1024
    ledger_every: int = 10
    detectors: dict[str, str] = {}

    def __post_init__(self) -> None:
        if self.period_ns <= 0 or self.ledger_every <= 0:
            raise ValueError(f"period_ns, ledger_every: expected > 0, got {self.period_ns}, {self.ledger_every}")


class Align:
    """detections/*, pose/ego, stream/* and status/* in, frames and ledger out.

    Args:
        follow: frame sets of an earlier run, whose decisions are repeated exactly. A replay of a live run thereby gives
            the same bytes, even where the live run could not wait for a message. A set of which the recording lacks a
            message, because the recorder could not keep up, is given out as it was recorded.
        journal: called with sensor, stamp and outcome whenever a message's fate is decided.
        life: a node that was started again numbers its frame sets above all that may be under way, and books what came
            before its time as ``aligner_died``: what became of that stands in the ledgers of the life before.

    A frame set's stamp holds no time of this machine: sensor_ns = time_ns = the instant, arrival_ns = that of the last
    message in it, sequence = its number, epoch = how often time has jumped back.

    Where ``now_ns`` is 0, as in a replay that goes as fast as it can, no deadline ever passes by itself.
    """

    def __init__(
        self,
        settings: AlignSettings,
        rig: Rig,
        follow: Sequence[FrameSet] | None = None,
        journal: Callable[[str, Stamp, str], None] | None = None,
        life: Life = FIRST_LIFE,
    ) -> None:
        sensors = [*rig.cameras, *rig.lidars, *rig.radars]
        if not sensors:
            raise ValueError(f"rig {rig.vehicle!r}: expected a camera, LiDAR or radar to align")
        reference = settings.reference
        if reference == "first_lidar":
            reference = rig.lidars[0].name if rig.lidars else ""
        self._modality: dict[str, Literal["camera", "lidar", "radar"]] = {
            **{sensor.name: "camera" for sensor in rig.cameras},
            **{sensor.name: "lidar" for sensor in rig.lidars},
            **{sensor.name: "radar" for sensor in rig.radars},
        }
        self._aligner = Aligner(
            {sensor.name: round(1e9 / sensor.rate_hz) for sensor in sensors},
            AlignerSettings(
                reference=reference,
                period_ns=settings.period_ns,
                start_wait_ns=settings.start_wait_ns,
                max_held=settings.max_held,
                lane=settings.lane,
                detectors=settings.detectors,
            ),
            None if follow is None else [_recorded(frames) for frames in follow],
            journal,
            life.number + _UNDER_WAY if life.restart else None,
        )
        self._first_epoch = life.epoch
        self._ego = Ego(settings.ego)
        self._followed = None if follow is None else deque(follow)
        self._undated: deque[Aligned] = deque()  # wait for the ego pose
        self._ledger_every = settings.ledger_every
        self._last_stamp = Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0)  # of the newest frame set
        self._newest_ns = 0  # latest arrival of anything taken

    @property
    def ledger(self) -> Ledger:
        """The account of every message so far."""
        return self._aligner.ledger

    @property
    def refused_poses(self) -> dict[str, int]:
        """Ego poses that were not used, by reason."""
        return dict(self._ego.refused)

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        payload, stamp = message.payload, message.stamp
        host_ns = now_ns if now_ns > 0 else None
        if isinstance(payload, Detections):
            self._aligner.push(message.source, stamp, payload, host_ns)
            self._newest_ns = max(self._newest_ns, stamp.arrival_ns)
        elif isinstance(payload, EgoPose):
            self._ego.push(message, host_ns)
            self._newest_ns = max(self._newest_ns, stamp.arrival_ns)
        elif isinstance(payload, StreamStatus):
            if message.source in self._modality:
                self._aligner.stream_status(message.source, stamp.epoch, payload)
            elif message.source == "ego":
                self._ego.stream_status(stamp.epoch, payload)
        elif isinstance(payload, NodeStatus):
            self._aligner.node_status(payload)
        else:
            raise TypeError(
                f"align takes detections, poses and counts, not {type(payload).__name__} on {message.topic}"
            )
        # What waits in front of this node may be what is waited for: go by the time of what was taken, not the clock.
        return self._give(host_ns and self._newest_ns)

    def tick(self, now_ns: int) -> Iterable[Message]:
        return self._give(now_ns if now_ns > 0 else None)

    def finish(self) -> Iterable[Message]:
        self._undated.extend(self._aligner.finish())
        self._ego.close()
        out = self._date(None)
        return [*out, self._ledger_message(self._last_stamp)]

    # --- inside

    def _give(self, now_ns: int | None) -> list[Message]:
        self._undated.extend(self._aligner.advance(now_ns))
        return self._date(now_ns)

    def _date(self, now_ns: int | None) -> list[Message]:
        """Give out the sets whose ego pose is known, in order."""
        out: list[Message] = []
        while self._undated:
            aligned = self._undated[0]
            times_ns = [slot.item.stamp.time_ns for slot in aligned.slots if slot.item]
            followed = self._followed[0] if self._followed else None
            pose = None if followed is None else (followed.pose_epoch, followed.pose_sequence)
            ego = self._ego.at(aligned.time_ns, times_ns, aligned.timeline, now_ns, pose)
            if ego is None:
                break
            self._undated.popleft()
            frames = self._frames(aligned, ego)
            if self._followed and followed is not None:
                self._followed.popleft()
                if ego.last != pose or any(slot.missing == "not_replayed" for slot in aligned.slots):
                    frames = Message(frames.topic, frames.stamp, followed)
            out.append(frames)
            if frames.stamp.sequence % self._ledger_every == 0:
                out.append(self._ledger_message(frames.stamp))
            self._last_stamp = frames.stamp
        return out

    def _frames(self, aligned: Aligned, ego: EgoAt) -> Message:
        used = [slot.item for slot in aligned.slots if slot.item]
        place = {id(item): index for index, item in enumerate(used)}
        slots = tuple(
            self._slot(slot, aligned.time_ns, ego, place[id(slot.item)] if slot.item else -1) for slot in aligned.slots
        )
        x, y, z = ego.odom_SE3_ego.translation.tolist()
        qw, qx, qy, qz = ego.odom_SE3_ego.quaternion.tolist()
        frames = FrameSet(
            index=aligned.number,
            position=(x, y, z),
            rotation_wxyz=(qw, qx, qy, qz),
            slots=slots,
            pose=ego.source,
            pose_epoch=ego.last[0],
            pose_sequence=ego.last[1],
        )
        stamp = Stamp(
            sensor_ns=aligned.time_ns,
            arrival_ns=max((item.stamp.arrival_ns for item in used), default=aligned.time_ns),
            time_ns=aligned.time_ns,
            sequence=aligned.number,
            epoch=self._first_epoch + aligned.timeline,
        )
        return Message("frames", stamp, frames)

    def _slot(self, slot: Slot, instant_ns: int, ego: EgoAt, place: int) -> SensorSlot:
        """A slot with its detections in the ego frame of the instant."""
        modality = self._modality[slot.sensor]
        if slot.item is None:
            return SensorSlot(sensor=slot.sensor, modality=modality, missing=slot.missing)
        stamp, detections = slot.item
        offset_ns = stamp.time_ns - instant_ns
        if ego.source == "none":
            self.ledger.revoke(slot.sensor, "no_pose")
            detections = None
        else:
            detections = compensate_detections(detections, ego.ego_SE3_then[place], offset_ns)
        return SensorSlot(
            sensor=slot.sensor,
            modality=modality,
            sequence=stamp.sequence,
            epoch=stamp.epoch,
            time_ns=stamp.time_ns,
            offset_ns=offset_ns,
            residual_ns=stamp.sigma_ns,
            residual_m=float(np.hypot(ego.speed * stamp.sigma_ns * 1e-9, ego.sigma_m[place])),
            missing="" if detections is not None else "no_pose",
            detections=detections,
        )

    def _ledger_message(self, stamp: Stamp) -> Message:
        return Message("ledger", stamp, self.ledger.state())


def _recorded(frames: FrameSet) -> Recorded:
    """The decisions of a recorded frame set.

    Raises:
        ValueError: it holds no message, so that its instant is not known.
    """
    instants = {slot.time_ns - slot.offset_ns for slot in frames.slots if slot.sequence >= 0}
    if len(instants) != 1:
        raise ValueError(f"frame set {frames.index}: expected messages of one instant, found {sorted(instants)}")
    slots = {s.sensor: (s.epoch, s.sequence) if s.sequence >= 0 else s.missing for s in frames.slots}
    return Recorded(instants.pop(), slots, frames.index)
