"""What a publisher sends for each message: who says what, which one it is, and where it lies.

One ZeroMQ frame: topic NUL node NUL and fixed numbers. The topic stands first because subscribers filter by prefix. The
encoded message follows as a second frame, or lies in the ring at `place`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pipeline.core.topics import topic_row
from pipeline.transport.ring import Place
from pipeline.transport.run_folder import is_name

# instance, counter; segment, slot, generation, size
_NUMBERS = struct.Struct("<Q Q I I Q Q")
_INLINE = Place(0, 0, 0, 0)


class Notify(NamedTuple):
    """instance: random number of the publisher's life. counter: messages it published on the topic before this one."""

    topic: str
    node: str
    instance: int
    counter: int
    place: Place | None

    def pack(self) -> bytes:
        return f"{self.topic}\0{self.node}\0".encode() + _NUMBERS.pack(
            self.instance, self.counter, *(self.place or _INLINE)
        )


def unpack(frame: bytes) -> Notify:
    """Raises:
    ValueError: anything but a frame that `Notify.pack` makes for a topic of the table.
    """
    topic_bytes, node_bytes, numbers = frame.split(b"\0", 2)
    topic, node = topic_bytes.decode(), node_bytes.decode()
    try:
        topic_row(topic)
    except KeyError as error:
        raise ValueError(f"no topic {topic!r}") from error
    if not is_name(node) or len(numbers) != _NUMBERS.size:
        raise ValueError(f"not a notify frame: {frame[:80]!r}")
    instance, counter, *place = _NUMBERS.unpack(numbers)
    return Notify(topic, node, instance, counter, None if tuple(place) == _INLINE else Place(*place))
