"""A drive: the rig and the messages of one recording, simulated run or live vehicle, behind one interface."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from calibration.rig import Rig
from pipeline.core.messages import Message


class Drive(Protocol):
    """One recorded or simulated drive.

    name: short and unique, for reports. rig: sensors, extrinsics in the ego frame, and which clocks they have.
    duration: from `start_ns` to `end_ns` on the vehicle clock. A drive without `pose/ego` has no odom of its own: there
    odom is ego at each instant, for its truth too.
    """

    @property
    def name(self) -> str: ...

    @property
    def rig(self) -> Rig: ...

    @property
    def start_ns(self) -> int: ...

    @property
    def end_ns(self) -> int: ...

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics it can give, such as `camera/front`, `pose/ego`, `truth/objects`."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages per topic, known without reading the payloads."""
        ...

    def arrivals(self, topic: str) -> npt.NDArray[np.int64]:
        """(K,) int64: arrival_ns of a topic's messages in order, known without reading the payloads.

        Messages that turn out unreadable are among them.

        Raises:
            KeyError: a topic that the drive does not have.
        """
        ...

    def messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        """Messages of these topics (default: all) in order of arrival_ns, with time_ns in [start_ns, end_ns).

        Sequence numbers count from 0 per topic over the whole drive, whatever part is read. A frame that cannot be read
        raises nothing here: it is logged, counted in `unreadable` and skipped, leaving a gap in the sequence.

        Raises:
            KeyError: a topic that the drive does not have.
        """
        ...

    @property
    def unreadable(self) -> Mapping[str, int]:
        """Frames skipped so far, by "topic reason"; "topic points not finite" counts points dropped."""
        ...
