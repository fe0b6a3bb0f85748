"""Asking the assistant of a run that goes on: `text` on its bus, the reply back."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.clock import SystemClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message, Stamp
from pipeline.core.speech import MAX_TEXT, Answer, Intent, Utterance
from pipeline.run.process import run_name
from pipeline.transport.shared_memory import SharedMemoryBus

_FIND_S = 5.0
_ANSWER_S = 20.0  # a busy machine; the assistant itself takes milliseconds


class Asker:
    """One person on the bus of the run in ``folder``.

    Raises:
        BadInput: no assistant listens there.
    """

    def __init__(self, bus: SharedMemoryBus, folder: Path) -> None:
        self._bus, self._folder = bus, folder
        self._clock = SystemClock()
        self._replies = bus.subscribe(["intent", "reply"])
        self._sequence = 0
        if not bus.wait_for_subscribers("text", 1, _FIND_S):
            raise BadInput(folder, "run", "one that goes on, of a graph with the node `assistant`", "nobody listens")

    def ask(self, text: str) -> tuple[Intent, Answer]:
        """What ``text`` meant, and the reply. Raises BadInput: none came within seconds."""
        now_ns, own = self._clock.now_ns(), uuid.uuid4().hex
        stamp = Stamp(sensor_ns=now_ns, arrival_ns=now_ns, time_ns=0, sequence=self._sequence)
        self._sequence += 1
        self._bus.publish(Message("text", stamp, Utterance(id=own, text=text[:MAX_TEXT])))
        meant: Intent | None = None
        while (left_s := _ANSWER_S - (self._clock.now_ns() - now_ns) * 1e-9) > 0:
            message = self._replies.receive(left_s)
            payload = message.payload if message is not None else None
            if isinstance(payload, Intent) and payload.id == own:
                meant = payload
            elif isinstance(payload, Answer) and payload.id == own and meant is not None:
                return meant, payload
        raise BadInput(self._folder, "run", f"a reply within {_ANSWER_S:.0f} s", "none")


@contextlib.contextmanager
def asking(folder: Path) -> Iterator[Asker]:
    """Someone to ask with, until the end of the block."""
    with contextlib.closing(SharedMemoryBus(run_name(folder), f"say-{os.getpid()}")) as bus:
        yield Asker(bus, folder)
