"""What a node is: a step from one message to some messages. No sockets, no clock of its own, no threads.

The runner (`pipeline.run`) feeds it from a bus, a recording or a test, times each step and publishes what it returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pipeline.core.messages import Message


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
