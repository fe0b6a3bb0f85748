"""The message ledger: every message a sensor's source took in ends as fused, dropped with a reason, or is in flight.

    received = fused + sum(dropped) + in_flight, at every moment; at the end in_flight = 0

Two books are kept apart and must agree: the sequence numbers that a source gave out (`pipeline.sync.sequence`), and
what the aligner did with each message that came. Neither grows with the length of a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.core.messages import LedgerRow, LedgerState, NodeStatus
from pipeline.sync.sequence import Numbers, Sequencer

LOST = "lost_in_transit"
ALIGNER_DIED = "aligner_died"  # it came before the aligner was started again; earlier ledgers say what became of it
DETECTOR_FAILED = "detector_failed"  # an exception in the detector
DETECTOR_DIED = "detector_died"  # its process was lost, with what it was working on and what waited for it


class Account:
    """One sensor's messages, by what became of them."""

    def __init__(self, sensor: str) -> None:
        self.sensor = sensor
        self.fused = 0
        self.dropped: Counter[str] = Counter()
        self.held = 0  # here, not yet decided
        self.extra = 0  # came, but are not new numbers: duplicates and the like
        self._first: int | None = None  # sequence number of the first that came

    def take(self, sequence: int) -> None:
        """A new message is here."""
        if self._first is None:
            self._first = sequence
        self.held += 1

    def fuse(self) -> None:
        """A message that was here went into a frame set."""
        self.held -= 1
        self.fused += 1

    def drop(self, reason: str) -> None:
        """A message that was here is given up."""
        self.held -= 1
        self.dropped[reason] += 1

    def refuse(self, reason: str) -> None:
        """A message came that is not a new one: it counts as received once more, and as dropped."""
        self.extra += 1
        self.dropped[reason] += 1

    def row(
        self, numbers: Numbers, reported: Counter[str], otherwise: str = LOST, *, resumed: bool = False
    ) -> LedgerRow:
        """The balance, given what became of the sequence numbers.

        resumed: what was given out before the first message that came is the matter of an earlier aligner.

        ``reported`` losses between source and aligner, by reason, explain as many of the lost numbers as there are;
        what is left is booked as ``otherwise``.

        Raises:
            AssertionError: the two books disagree; a fault in this package, never in its input.
        """
        arrived = self.fused + self.dropped.total() + self.held - self.extra
        if numbers.known != arrived + numbers.lost + numbers.awaited + numbers.source.total():
            raise AssertionError(f"{self.sensor}: {arrived} messages were taken, the numbers say {numbers}")
        dropped = self.dropped + numbers.source
        unexplained = numbers.lost
        if resumed:
            dropped[ALIGNER_DIED] = unexplained if self._first is None else min(self._first, unexplained)
            unexplained -= dropped[ALIGNER_DIED]
        for reason, count in sorted(reported.items()):
            explained = min(count, unexplained)
            dropped[reason] += explained
            unexplained -= explained
        dropped[otherwise] += unexplained
        return LedgerRow(
            sensor=self.sensor,
            received=numbers.known + self.extra,
            fused=self.fused,
            in_flight=self.held + numbers.awaited,
            dropped={reason: count for reason, count in sorted(dropped.items()) if count},
        )


class LossReports:
    """What nodes report to have lost between a source and the aligner, from their heartbeats.

    Args:
        detectors: sensor -> name of the node that gives its detections.
        aligner: name of the aligning node itself, whose own losses on ``detections/*`` count too.
    """

    def __init__(self, detectors: Mapping[str, str], aligner: str) -> None:
        self._detectors = dict(detectors)
        self._aligner = aligner
        self._before: Counter[tuple[str, str, str]] = (
            Counter()
        )  # node, sensor, reason: counted by former lives of the node
        self._now: Counter[tuple[str, str, str]] = Counter()
        self._received: dict[str, int] = {}
        self._died: set[str] = set()

    def served_by(self, node: str) -> list[str]:
        """Sensors whose detections a node gives."""
        return [sensor for sensor, detector in self._detectors.items() if detector == node]

    def take(self, status: NodeStatus) -> None:
        """Take in a heartbeat. A count that falls means that the node was restarted: both lives count."""
        if self.served_by(status.node):
            if status.received < self._received.get(status.node, 0):
                self._died.add(status.node)
            self._received[status.node] = status.received
        for (sensor, reason), count in self._losses(status).items():
            key = (status.node, sensor, reason)
            if count < self._now[key]:
                self._before[key] += self._now[key]
            self._now[key] = count

    def of(self, sensor: str) -> Counter[str]:
        """Losses of one sensor's messages, by reason."""
        out: Counter[str] = Counter()
        for counts in (self._before, self._now):
            for (_, of, reason), count in counts.items():
                if of == sensor:
                    out[reason] += count
        return out

    def otherwise(self, sensor: str) -> str:
        """What must be held to have happened to messages of a sensor that nobody reports as lost."""
        return DETECTOR_DIED if self._detectors[sensor] in self._died else LOST

    def _losses(self, status: NodeStatus) -> dict[tuple[str, str], int]:
        losses: dict[tuple[str, str], int] = {}
        served = self.served_by(status.node)
        for key, count in status.losses.items():
            topic, _, reason = key.partition(" ")
            prefix, _, sensor = topic.rpartition("/")
            on_detections = prefix == "detections" and status.node == self._aligner
            if sensor in self._detectors and (on_detections or (sensor in served and prefix != "detections")):
                losses[sensor, reason] = losses.get((sensor, reason), 0) + count
        if len(served) == 1 and status.failed:
            losses[served[0], DETECTOR_FAILED] = status.failed
        return losses


class Ledger:
    """The accounts of all sensors.

    Args:
        books: per sensor its account and the stream that knows its sequence numbers.
        reports: losses that nodes reported.
        resumed: an earlier aligner of the run died; this is the account since then.
    """

    def __init__(
        self, books: Iterable[tuple[Account, Sequencer[Any]]], reports: LossReports, resumed: bool = False
    ) -> None:
        self._books = {account.sensor: (account, stream) for account, stream in books}
        self._reports = reports
        self._resumed = resumed

    def row(self, sensor: str) -> LedgerRow:
        """One sensor's balance.

        Raises:
            KeyError: the sensor is not in the ledger.
        """
        account, stream = self._books[sensor]
        reported, otherwise = self._reports.of(sensor), self._reports.otherwise(sensor)
        return account.row(stream.numbers, reported, otherwise, resumed=self._resumed)

    def revoke(self, sensor: str, reason: str) -> None:
        """A message of a frame set turned out not to be usable after all."""
        account, _ = self._books[sensor]
        account.fused -= 1
        account.dropped[reason] += 1

    def state(self) -> LedgerState:
        """The balance of every sensor."""
        return LedgerState(rows=tuple(self.row(sensor) for sensor in self._books))
