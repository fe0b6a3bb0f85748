"""Several sensor streams as one, in order of arrival, whatever the order in which their messages are worked on."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pipeline.core.messages import Message, StreamStatus
from pipeline.sync.sequence import Sequencer


class ArrivalOrder:
    """A message comes out once no other stream can have an earlier one: so says its next message, or its own count.

    Args:
        sources: names of the streams. patience_ns: in a live run, a message waits no longer than this for the others.
    """

    def __init__(self, sources: Collection[str], patience_ns: int) -> None:
        self._streams: dict[str, Sequencer[Message]] = {source: Sequencer(0) for source in sorted(sources)}
        self._patience_ns = patience_ns

    def push(self, message: Message) -> None:
        """Take a message of one of the streams."""
        self._streams[message.source].push(message)

    def status(self, source: str, epoch: int, status: StreamStatus) -> None:
        """Take what a stream says of itself; of others nothing is to be known."""
        if source in self._streams:
            self._streams[source].status(epoch, status)

    def ready(self, now_ns: int = 0, everything: bool = False) -> Iterator[Message]:
        """Messages whose turn it is. now_ns: the run's clock, 0 = it does not count. everything: none will follow."""
        if everything:
            for stream in self._streams.values():
                stream.close()
        while True:
            waiting = [stream for stream in self._streams.values() if stream.ready]
            if not waiting:
                return
            first = min(waiting, key=lambda stream: stream.ready[0].stamp.arrival_ns)
            arrival_ns = first.ready[0].stamp.arrival_ns
            known = all(stream.ready or stream.known_ns >= arrival_ns for stream in self._streams.values())
            if not known and not (now_ns > 0 and now_ns > arrival_ns + self._patience_ns):
                return
            yield first.ready.popleft()
