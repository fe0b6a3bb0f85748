"""Runs a plan as separate processes: has them started, begins together, restarts what dies, ends in order."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.clock import SystemClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import Control, LedgerState, Message, NodeStatus, Progress, Stamp
from pipeline.core.node import Life
from pipeline.core.run_recording import RECORDING_FILE, recording_parts
from pipeline.graph import source_of
from pipeline.run.config import RunConfig, run_info, save_config
from pipeline.run.crew import Crew, ForkedCrew
from pipeline.run.networks import networks
from pipeline.run.process import recorder, run_name
from pipeline.transport.run_folder import cleanup
from pipeline.transport.shared_memory import SharedMemoryBus

logger = logging.getLogger(__name__)

_READY_TIMEOUT_NS = 300_000_000_000  # who dies is noticed at once; Ray alone takes minutes to start on a busy machine
_REPEAT_NS = 1_000_000_000


@dataclass
class RunState:
    """What the supervisor knows while a run goes on; handed to ``on_change`` for whoever shows it."""

    ready: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    names: tuple[str, ...] = ()
    started_ns: int = 0  # host time at which the drive began; 0 until every process is ready
    ended_ns: int = 0  # when all that was driven had been recorded
    epoch: int = 0
    index: int = -1
    reference_ns: int = 0
    restarts: dict[str, int] = field(default_factory=dict)
    given_up: dict[str, int] = field(default_factory=dict)  # process -> exit code
    status: dict[str, NodeStatus] = field(default_factory=dict)
    ledger: LedgerState | None = None

    @property
    def started(self) -> bool:
        return self.started_ns > 0


class Supervisor:
    """One run. `run` returns when everything has ended.

    Args:
        crew: who runs the processes; None: they are forked here.

    Raises:
        BadInput: a process did not come up; the message names its log.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        on_change: Callable[[RunState], None] = lambda _: None,
        controls: Callable[[RunState], Control | None] = lambda _: None,
        crew: Crew | None = None,
    ) -> None:
        self._config = config
        self._networks = networks(config.graph, config.rig)
        self._folder = folder
        self._on_change = on_change
        self._controls = controls
        self._clock = SystemClock()
        self._plan = config.plan()
        self._members = {name: tuple(i.name for i in members) for name, members in self._plan.processes.items()}
        self._members |= {source_of(topic): (source_of(topic),) for topic in config.topics}
        self._members["record"] = (recorder(self._plan, config, folder).name,)
        self._crew = crew or ForkedCrew(folder)
        self._sequence = 0
        self.state = RunState(names=tuple(name for members in self._members.values() for name in members))

    def run(self) -> RunState:
        if recording_parts(self._folder):
            raise BadInput(self._folder, RECORDING_FILE, "a folder without an earlier recording", "one")
        save_config(self._config, self._folder)
        (self._folder / "logs").mkdir(exist_ok=True)
        cleanup(run_name(self._folder))
        with contextlib.closing(SharedMemoryBus(run_name(self._folder), "supervisor")) as bus:
            subscription = bus.subscribe(["status/*", "progress", "ledger"])
            try:
                for name in self._members:
                    self._start(name)
                self._until_ready(subscription)
                self._until_ended(bus, subscription)
            except KeyboardInterrupt:
                logger.warning("interrupted: ending the sources, the rest drains")
                if self.state.started:  # else there is nothing to drain
                    self._crew.terminate(name for name in self._members if name.startswith("source_"))
                    self._until_ended(bus, subscription)
            finally:
                self._crew.end(self._clock)
        cleanup(run_name(self._folder))
        return self.state

    def pid(self, process: str) -> int | None:
        """Of a process that was forked here, by its name in the plan; for fault tests."""
        assert isinstance(self._crew, ForkedCrew)
        return self._crew.pid(process)

    def _start(self, name: str) -> None:
        self._crew.start(name, Life(self.state.restarts.get(name, 0), self.state.epoch, self.state.index))

    def _until_ready(self, subscription: object) -> None:
        give_up_ns = self._clock.now_ns() + _READY_TIMEOUT_NS
        while self.state.ready < set(self.state.names):
            self._listen(subscription)
            for name in self._members:
                code = self._crew.exit_code(name)
                if code is not None:
                    raise BadInput(self._log(name), "process", "to start", f"exit code {code}")
            if self._clock.now_ns() > give_up_ns:
                late = sorted(set(self.state.names) - self.state.ready)
                raise BadInput(self._folder / "logs", "processes", "all ready within 300 s", f"not ready: {late}")

    def _until_ended(self, bus: SharedMemoryBus, subscription: object) -> None:
        """Tell everyone to begin; until the recorder has ended, restart what dies and speak for what cannot be."""
        started_ns = self._clock.now_ns() + 200_000_000
        self.state.started_ns = self.state.started_ns or started_ns  # an interrupted run comes here twice
        next_repeat_ns = 0
        while not ("record" in self.state.ended or "record" in self.state.given_up):
            now_ns = self._clock.now_ns()
            if now_ns >= next_repeat_ns:
                next_repeat_ns = now_ns + _REPEAT_NS
                bus.publish(run_info(self._config, started_ns, self._count(), self._networks))
                self._speak_for_the_dead(bus)
            self._listen(subscription)
            self._watch()
            control = self._controls(self.state)
            if control is not None:
                bus.publish(self._say("run/control", control))
        self.state.ended_ns = self._clock.now_ns()

    def _watch(self) -> None:
        """Start again what died before its end, until its restarts are used up."""
        for name in self._members:
            code = self._crew.exit_code(name)
            if code is None or set(self._members[name]) <= self.state.ended or name in self.state.given_up:
                continue
            used = self.state.restarts.get(name, 0)
            logger.warning("%s died with exit code %s; see %s", name, code, self._log(name))
            if used < self._config.restarts:
                self.state.restarts[name] = used + 1
                self._start(name)
            else:
                self.state.given_up[name] = code
            self._on_change(self.state)

    def _speak_for_the_dead(self, bus: SharedMemoryBus) -> None:
        """Repeat every end, for nodes that were restarted and missed it, and tell the end of what stays dead."""
        dead = {member for name in self.state.given_up for member in self._members[name]}
        restarted = self.state.restarts or not self._crew.sees
        for member in sorted(dead | (self.state.ended if restarted else set())):
            last = self.state.status.get(member)
            ended = NodeStatus(
                node=member,
                received=last.received if last else 0,
                published=last.published if last else 0,
                failed=last.failed if last else 0,
                losses=last.losses if last else {},
                last_error="process died" if member in dead else (last.last_error if last else ""),
                ended=True,
            )
            bus.publish(self._say(f"status/{member}", ended))

    def _listen(self, subscription: object) -> None:
        message = subscription.receive(0.05)  # type: ignore[attr-defined]
        while message is not None:
            payload = message.payload
            if isinstance(payload, NodeStatus):
                self.state.ready.add(payload.node)
                self.state.status[payload.node] = payload
                if payload.ended:
                    self.state.ended.add(payload.node)
            elif isinstance(payload, Progress):
                self.state.epoch = message.stamp.epoch
                self.state.index, self.state.reference_ns = payload.index, payload.reference_ns
                self._crew.progress(self.state.epoch, self.state.index)
            elif isinstance(payload, LedgerState):
                self.state.ledger = payload
            message = subscription.receive(0.0)  # type: ignore[attr-defined]
        self._on_change(self.state)

    def _say(self, topic: str, payload: NodeStatus | Control) -> Message:
        now_ns = self._clock.now_ns()
        stamp = Stamp(sensor_ns=now_ns, arrival_ns=now_ns, time_ns=now_ns, sequence=self._count())
        return Message(topic, stamp, payload)

    def _count(self) -> int:
        self._sequence += 1
        return self._sequence

    def _log(self, name: str) -> Path:
        return self._folder / "logs" / f"{name}.log"
