"""Fusion in a supervised Ray actor, with the results of the same fuser in this process, to the byte; and batches.

The actor may die at any time: Ray starts it again, and this side, which keeps the last checkpoint and the frame sets
since, brings it back to where it was. Every call carries a number; the actor answers a number it has just done from
memory and refuses one that is not its next, so calls may safely arrive more than once. What crosses are bytes of our
own encoding. Ordinary actor calls: compiled graphs hang on teardown in the Ray releases at hand.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

import msgspec
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError

from fusion.tracker import Tracker, TrackerSettings
from pipeline.core.messages import FrameSet, Message, Scene, Stamp
from pipeline.core.settings import Settings
from pipeline.core.wire import decode, encode_bytes

_log = logging.getLogger(__name__)
Result = TypeVar("Result")

_START = -1  # number of a fuser that has done nothing
LOCAL = "local"
"""In the place of an address of `spread`: an instance of our own on this machine, which ends with the work."""
_ATTEMPTS = 3  # a worker that dies has its work done again elsewhere
_LOST = -2  # number of an actor that Ray has just started: it does not know where it is until it is told


class RaySettings(Settings, frozen=True):
    """address: cluster to join, empty = a small one of our own on this machine, which ends with this process.

    cpus, object_store_bytes: size of our own. checkpoint_every: steps between checkpoints; a restart repeats at most so
    many. attempts: how often one frame set may kill or hang the actor before it is given up. timeout_s: per call.
    """

    address: str = ""
    cpus: int = 1
    object_store_bytes: int = 80 << 20
    checkpoint_every: int = 10
    attempts: int = 3
    timeout_s: float = 60.0


class FusionLost(RuntimeError):
    """One frame set could not be fused: its actor died or hung at each attempt. The state is that before it."""


class FusionActor:
    """Runs inside Ray: a tracker that knows the number of the last step it did."""

    def __init__(self, settings: bytes) -> None:
        self._tracker = Tracker(msgspec.msgpack.decode(settings, type=TrackerSettings))
        self._number = _LOST
        self._answer = b""

    @ray.method(max_task_retries=0)
    def step(self, number: int, frames: bytes, checkpoint: bool) -> tuple[int, bytes, bytes]:
        """Number of the last step done, its scene, and a snapshot where asked for. Where the first is not ``number``,
        this actor is not where the caller thinks it is, and nothing was done."""
        if self._number != _LOST and number == self._number + 1:
            message = decode("frames", frames)
            assert isinstance(message.payload, FrameSet)
            scene = self._tracker.step(message.payload, message.stamp.time_ns)
            self._answer = encode_bytes(Message("scene", message.stamp, scene))
            self._number = number
        return self._number, self._answer, self._tracker.snapshot() if checkpoint else b""

    def snapshot(self) -> tuple[int, bytes]:
        return self._number, self._tracker.snapshot()

    def restore(self, number: int, snapshot: bytes) -> None:
        if snapshot:
            self._tracker.restore(snapshot)
        self._number, self._answer = number, b""

    def process(self) -> int:
        return os.getpid()


class RayFuser:
    """A `fusion.fuser.Fuser` whose work is done by a `FusionActor`. Use as a context manager, or call `close`."""

    def __init__(self, settings: TrackerSettings | None = None, deploy: RaySettings | None = None) -> None:
        self._deploy = deploy or RaySettings()
        self._started_ray = _connect(self._deploy)
        self._settings = settings or TrackerSettings()
        encoded = msgspec.msgpack.encode(self._settings)
        self._actor = _start_actor(encoded)
        self._number = _START
        self._checkpoint = (_START, b"")
        self._actor.restore.remote(*self._checkpoint)
        self._since: list[bytes] = []  # frame sets after the checkpoint
        self.restarts = 0

    def step(self, frames: FrameSet, time_ns: int) -> Scene:
        """Raises FusionLost when the actor died or hung at every attempt; the next frame set may well succeed."""
        stamp = Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=0)
        encoded = encode_bytes(Message("frames", stamp, frames))
        checkpoint = len(self._since) + 1 >= self._deploy.checkpoint_every
        answer, snapshot = self._call(self._number + 1, encoded, checkpoint)
        self._number += 1
        if checkpoint:
            self._checkpoint, self._since = (self._number, snapshot), []
        else:
            self._since.append(encoded)
        scene = decode("scene", answer).payload
        assert isinstance(scene, Scene)
        return scene

    def snapshot(self) -> bytes:
        number, snapshot = self._get(self._actor.snapshot.remote())
        if number != self._number:  # a new actor: bring it here, then ask it
            self._catch_up()
            _, snapshot = self._get(self._actor.snapshot.remote())
        return bytes(snapshot)

    def restore(self, snapshot: bytes) -> None:
        Tracker(self._settings).restore(snapshot)  # raises here, before the actor is touched
        self._checkpoint, self._since = (self._number, snapshot), []
        self._get(self._actor.restore.remote(self._number, snapshot))

    def close(self) -> None:
        """End the actor, and the Ray instance where it is our own."""
        if self._actor is not None and ray.is_initialized():
            ray.kill(self._actor, no_restart=True)
        self._actor = None
        if self._started_ray:
            self._started_ray = False
            ray.shutdown()

    def __enter__(self) -> RayFuser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def actor_process(self) -> int:
        """Process id of the actor as it runs now."""
        return int(self._get(self._actor.process.remote()))

    def _call(self, number: int, encoded: bytes, checkpoint: bool) -> tuple[bytes, bytes]:
        """Do step ``number``, whatever happens to the actor meanwhile."""
        for _ in range(self._deploy.attempts):
            answer = self._attempt(number, encoded, checkpoint)
            if answer is not None:
                return answer
        raise FusionLost(f"step {number} was given up after {self._deploy.attempts} attempts")

    def _attempt(self, number: int, encoded: bytes, checkpoint: bool) -> tuple[bytes, bytes] | None:
        """Scene and snapshot, or None when the actor died on it."""
        try:
            done, answer, snapshot = self._get(self._actor.step.remote(number, encoded, checkpoint))
            if done != number:
                self._catch_up()
                done, answer, snapshot = self._get(self._actor.step.remote(number, encoded, checkpoint))
        except GetTimeoutError:
            _log.warning("the fusion actor gave no answer to step %d: killing it", number)
            ray.kill(self._actor, no_restart=False)
            return None
        except (ActorDiedError, ActorUnavailableError):
            _log.warning("the fusion actor died in step %d", number)
            _log.info("started again as process %d", self.actor_process)  # waits until it has
            return None
        return answer, snapshot

    def _catch_up(self) -> None:
        """Bring a fresh actor to where the last one was: checkpoint, then the frame sets since."""
        self.restarts += 1
        number, snapshot = self._checkpoint
        _log.warning("a new fusion actor starts from step %d and repeats %d", number, len(self._since))
        self._get(self._actor.restore.remote(number, snapshot))
        for step, encoded in enumerate(self._since, number + 1):
            self._get(self._actor.step.remote(step, encoded, False))

    def _get(self, reference: Any) -> Any:
        return ray.get(reference, timeout=self._deploy.timeout_s)


def ray_fuser(settings: TrackerSettings, address: str = "") -> RayFuser:
    """The fuser for a graph whose fusion step is placed on Ray; an empty address starts a local instance."""
    return RayFuser(settings, RaySettings(address=address))


def spread(
    work: Callable[..., Result], jobs: Sequence[tuple[Any, ...]], address: str, cpus: int
) -> Iterator[tuple[int, Result]]:
    """The number of each job of ``jobs``, arguments of ``work``, with what it gave, in the order of their ends.

    Every machine of the cluster needs this checkout, and the arguments must be such as other processes can be sent.

    Args:
        address: of a cluster, or `LOCAL`. cpus: size of our own.

    Raises:
        What ``work`` raises; what still runs is then cancelled.
    """
    if not jobs:
        return
    started = _connect(RaySettings(address="" if address == LOCAL else address, cpus=cpus))
    task = ray.remote(num_cpus=1, max_retries=_ATTEMPTS)(work)
    running = {task.remote(*arguments): number for number, arguments in enumerate(jobs)}
    try:
        while running:
            done, _ = ray.wait(list(running))
            for reference in done:
                yield running.pop(reference), ray.get(reference)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if started:
            ray.shutdown()


def _start_actor(settings: bytes) -> Any:
    """Restarts are without limit, and calls wait for them, but `step` is retried by `RayFuser`, which counts: a frame
    set that kills its actor is given up, the actor is not.
    """
    return ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(FusionActor).remote(settings)


def _connect(deploy: RaySettings) -> bool:
    """Join or start Ray unless this process already has; whether it was started here."""
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing about a drive leaves the vehicle
    os.environ.setdefault("RAY_worker_niceness", "0")  # else fusion stands behind all else that the machine does
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    own = not deploy.address
    on_sigterm = signal.getsignal(signal.SIGTERM)
    ray.init(
        address=deploy.address or "local",
        num_cpus=deploy.cpus if own else None,
        num_gpus=0 if own else None,
        object_store_memory=deploy.object_store_bytes if own else None,
        include_dashboard=False if own else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts its own there; when to end is for this process to say
    return True
