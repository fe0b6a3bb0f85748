"""A source of a run: one topic of a drive, or all of its truth, played from a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from nodes.sources.player import Player, PlayerSettings
from nodes.sources.stamp import EPOCHS_PER_RESTART
from pipeline.core.bus import Bus
from pipeline.core.clock import SystemClock
from pipeline.core.messages import Control, Message, Progress, RunInfo, StreamStatus
from pipeline.graph import source_of
from pipeline.run.config import RunClock, RunConfig
from pipeline.run.heartbeat import Heartbeat

_MUST_FOLLOW = {"progress", "progress/record"}  # nothing is played faster than these can take it
_RESTART_WAIT_NS = 2_000_000_000


class Source:
    """Plays ``topics``, which have one source: as fast as fusion follows, or paced by the run's clock.

    Live, the arrival is stamped when it happens, and where the drive is played again and again, time goes on from lap
    to lap; otherwise the stamps are the recorded ones. A source that was started again goes on where the run has come
    to, in an epoch above all that it has had.
    """

    def __init__(
        self,
        config: RunConfig,
        topics: Sequence[str],
        bus: Bus,
        restart: int,
        stopping: Callable[[], bool],
        ready: Callable[[], bool],
    ) -> None:
        self._config = config
        self._topics = topics
        self._bus = bus
        self._restart = restart
        self._stopping = stopping
        self._clock = SystemClock()
        self._run_clock = RunClock(self._clock)
        self._published = 0
        self._done: dict[str, Progress] = {}  # by who must follow: the last that they told
        self._heartbeat = Heartbeat(source_of(topics[0]), bus, self._clock, stopping, ready)
        self._subscription = self._heartbeat.subscription
        self._drive = config.open()

    def play(self) -> None:
        """Wait for the signal to begin, then give out the drive to its end."""
        info = self._heartbeat.signal()
        if info is not None:
            self._run_clock.start(info.started_ns, self._config.start_ns, self._config.rate)
            player = self._player(info)
            for message in player.play(lambda: self._attend(player)):
                self._give(message)
        self._heartbeat.status(self._published, self._losses, ended=True)

    def _player(self, info: RunInfo) -> Player:
        config = self._config
        at_ns, begin_ns = config.start_ns, info.started_ns
        if self._restart:
            at_ns, begin_ns = self._reached(), self._clock.now_ns()
        settings = PlayerSettings(
            rate=config.rate,
            start_ns=config.start_ns,
            end_ns=config.end_ns,
            window=0 if config.live else config.window,
            loop=config.loop,
            time_goes_on=config.live,
        )
        return Player(self._drive, self._clock, settings, topics=self._topics, begin_ns=begin_ns, at_ns=at_ns)

    def _reached(self) -> int:
        """Drive time at which a source that comes back goes on: now, or where fusion has come to."""
        config = self._config
        if config.rate:
            gone_ns = self._run_clock.now_ns() - config.start_ns
            if config.loop and not config.live:
                gone_ns %= config.end_ns - config.start_ns
            return config.start_ns + gone_ns
        give_up_ns = self._clock.now_ns() + _RESTART_WAIT_NS
        while self._clock.now_ns() < give_up_ns:
            message = self._subscription.receive(0.05)
            if message is not None and isinstance(message.payload, Progress):
                return message.payload.reference_ns
        return config.start_ns

    def _attend(self, player: Player) -> bool:
        """Hand progress to the player; False ends the play."""
        message = self._subscription.receive(0.0)
        while message is not None:
            if isinstance(message.payload, Progress):
                self._done[message.topic] = message.payload
                if self._done.keys() == _MUST_FOLLOW:
                    player.progress(min(self._done.values(), key=lambda done: done.reference_ns))
            elif isinstance(message.payload, Control):
                _obey(player, message.payload)
            message = self._subscription.receive(0.0)
        self._heartbeat.beat(self._published, self._losses)
        return not self._stopping()

    def _give(self, message: Message) -> None:
        stamp, payload = message.stamp, message.payload
        if self._restart:
            above = self._restart * EPOCHS_PER_RESTART
            stamp = msgspec.structs.replace(stamp, epoch=stamp.epoch + above)
            if isinstance(payload, StreamStatus) and payload.next_epoch >= 0:
                payload = payload.updated(next_epoch=payload.next_epoch + above)
        if self._config.live and not isinstance(payload, StreamStatus):
            stamp = msgspec.structs.replace(stamp, arrival_ns=max(self._run_clock.now_ns(), stamp.arrival_ns))
        self._bus.publish(Message(message.topic, stamp, payload))
        if not isinstance(payload, StreamStatus):
            self._published += 1

    @property
    def _losses(self) -> dict[str, int]:
        """What the data of these topics lacked; the drive counts all of its topics."""
        own = tuple(f"{topic} " for topic in self._topics)
        return {key: count for key, count in self._drive.unreadable.items() if key.startswith(own)}


def _obey(player: Player, control: Control) -> None:
    if control.command == "pause":
        player.pause_at(control.time_ns)
    elif control.command == "resume":
        player.resume()
    elif control.command == "step":
        player.step()
    elif control.command == "seek":
        player.seek(control.time_ns)
    else:
        player.set_rate(control.rate)
