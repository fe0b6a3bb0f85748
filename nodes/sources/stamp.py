"""Puts time on what a driver delivers: a device's raw stamps in, stamped messages and the stream's own account out.

Everything taken in gets a sequence number; what must be given up keeps it, so that a gap in the stream is always a loss
and `stream/<sensor>` says how many for which reason. `clock/<sensor>` says what is believed of the sensor's clock.
"""

from __future__ import annotations

from collections import Counter

from calibration.rig import Clock as ClockSpec
from pipeline.core.arrays import Payload
from pipeline.core.messages import Message, Stamp, StreamStatus
from pipeline.core.settings import Settings
from pipeline.sync.clock_model import ClockSettings, Reading, SensorClock
from pipeline.sync.ptp import PtpPort
from pipeline.sync.sequence import FOREVER_NS

EPOCHS_PER_RESTART = 1 << 16


class StampSettings(Settings, frozen=True):
    """status_every_ns: how often a stream that flows tells its count; clock_every_ns: and the state of its clock."""

    clock: ClockSettings = ClockSettings()
    status_every_ns: int = 50_000_000
    clock_every_ns: int = 1_000_000_000


class Stamper:
    """Stamps the messages of one sensor.

    Args:
        topic: where its messages go, such as ``camera/front``.
        restart: how often this source has been started again in this run; its epochs begin above all earlier ones.
    """

    def __init__(self, topic: str, spec: ClockSpec, settings: StampSettings, restart: int = 0) -> None:
        self._topic = topic
        self._sensor = topic.rpartition("/")[2]
        self._settings = settings
        self._clock = SensorClock(spec, settings.clock, restart * EPOCHS_PER_RESTART)
        self._epoch = self._clock.epoch
        self._sent = 0
        self._losses: Counter[str] = Counter()
        self._arrival_ns = 0
        self._statuses = self._states = 0
        self._status_due_ns = self._clock_due_ns = 0
        self._alarm = ""

    @property
    def epoch(self) -> int:
        """Epoch of the newest message."""
        return self._epoch

    def pulse(self, time_ns: int) -> None:
        """A hardware pulse fired at this vehicle time; for a sensor that is triggered."""
        self._clock.pulse(time_ns)

    def take(
        self,
        payload: Payload,
        sensor_ns: int,
        arrival_ns: int,
        counter: int | None = None,
        port: PtpPort | None = None,
    ) -> list[Message]:
        """One message as the driver has it.

        Args:
            sensor_ns: the device's own stamp; any integer. arrival_ns: host time when it was complete.
            counter: of the exposure, where a pulse fired it. port: state of the device's PTP port.

        Returns:
            The stamped message, unless its stamp is refused, and the states of stream and clock where they are due.
        """
        self._arrival_ns = arrival_ns = max(arrival_ns, self._arrival_ns)
        corrected = self._clock.take(Reading(sensor_ns, arrival_ns, counter, port))
        out = []
        if self._clock.epoch != self._epoch:
            out.append(self._status(arrival_ns, next_epoch=self._clock.epoch))
            self._epoch, self._sent, self._losses = self._clock.epoch, 0, Counter()
            self._status_due_ns = arrival_ns
        number = self._sent + self._losses.total()
        if corrected.refused:
            self._losses[corrected.refused] += 1
            self._status_due_ns = arrival_ns  # what waits for this number should hear soon that it will not come
        else:
            self._sent += 1
            stamp = Stamp(
                sensor_ns=sensor_ns,
                arrival_ns=arrival_ns,
                time_ns=corrected.time_ns,
                sigma_ns=corrected.sigma_ns,
                sequence=number,
                epoch=self._epoch,
            )
            out.append(Message(self._topic, stamp, payload))
        return [*out, *self.tick(arrival_ns)]

    def lose(self, reason: str, count: int = 1) -> None:
        """The driver or the device gave up messages, before the next one that is taken; each has its number."""
        self._losses[reason] += count
        self._status_due_ns = self._arrival_ns

    def tick(self, now_ns: int) -> list[Message]:
        """States that are due; call it also while nothing comes, so that others learn that nothing does.

        ``now_ns``: host time; whatever arrived before it has been taken.
        """
        self._arrival_ns = now_ns = max(now_ns, self._arrival_ns)
        out = []
        if now_ns >= self._status_due_ns:
            out.append(self._status(now_ns))
        if now_ns >= self._clock_due_ns or self._clock.alarm != self._alarm:
            out.append(self._clock_message(now_ns))
        return out

    def finish(self, now_ns: int) -> list[Message]:
        """The stream is over."""
        now_ns = max(now_ns, self._arrival_ns)
        return [self._status(now_ns, over=True), self._clock_message(now_ns)]

    # --- inside

    def _status(self, now_ns: int, next_epoch: int = -1, over: bool = False) -> Message:
        payload = StreamStatus(
            sent=self._sent,
            watermark_ns=FOREVER_NS if over else now_ns,
            ended=over or next_epoch >= 0,
            losses=dict(self._losses),
            next_epoch=next_epoch,
        )
        self._statuses += 1
        self._status_due_ns = now_ns + self._settings.status_every_ns
        return Message(f"stream/{self._sensor}", self._about(now_ns, self._statuses), payload)

    def _clock_message(self, now_ns: int) -> Message:
        state = self._clock.state
        self._states += 1
        self._clock_due_ns = now_ns + self._settings.clock_every_ns
        self._alarm = state.alarm
        return Message(f"clock/{self._sensor}", self._about(now_ns, self._states), state)

    def _about(self, now_ns: int, sequence: int) -> Stamp:
        return Stamp(sensor_ns=now_ns, arrival_ns=now_ns, time_ns=now_ns, sequence=sequence, epoch=self._epoch)
