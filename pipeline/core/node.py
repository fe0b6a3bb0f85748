"""What a node is: a step from one message to some messages. No sockets, no clock of its own, no threads.

The runner (`pipeline.run`) feeds it from a bus, a recording or a test, times each step and publishes what it returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from pipeline.core.messages import Message


class Life(NamedTuple):
    """Which life a node is in. restart: how often its process was started again. epoch, number: of the newest frame set
    before this life, as far as the supervisor knew; number -1: there was none."""

    restart: int = 0
    epoch: int = 0
    number: int = -1


FIRST_LIFE = Life()


class Node(Protocol):
    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        """Take one input, return what to publish. ``now_ns``: host time at which the input was taken.

        An exception is counted by the runner as a failed step, with the message's key, and the node goes on.
        """
        ...

    def tick(self, now_ns: int) -> Iterable[Message]:
        """Called when no input came for a while: deadlines pass here."""
        ...

    def finish(self) -> Iterable[Message]:
        """No input will follow: give out what is still held."""
        ...
