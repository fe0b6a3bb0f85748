"""Looking at a run while it goes on: hands what is on its bus to viewers, from a process of their own.

A watcher is a spectator: nobody waits for it, what it is too slow for is lost to it alone and counted, and it may come
and go at any time.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline.core.clock import SystemClock
from pipeline.core.messages import Message, NodeStatus, RunInfo
from pipeline.core.node import Node
from pipeline.core.topics import topic_row
from pipeline.run.process import run_name
from pipeline.transport.run_folder import living_nodes
from pipeline.transport.shared_memory import SharedMemoryBus

logger = logging.getLogger(__name__)

_POLL_S = 0.1
_LOOK_NS = 1_000_000_000  # how often it is asked whether the run still lives


def is_running(folder: Path, base: Path | None = None) -> bool:
    """Whether a run of this folder goes on now, on this machine."""
    return "supervisor" in living_nodes(run_name(folder), base)


def watch(folder: Path, viewers: Sequence[Node], stopping: Callable[[], bool] = lambda: False) -> Mapping[str, int]:
    """Show the run of ``folder`` until it ends, or ``stopping``; what came before this call is not shown.

    Returns:
        What the viewers missed, by topic and reason, and their failed steps.
    """
    name = f"view-{os.getpid()}"
    with contextlib.closing(SharedMemoryBus(run_name(folder), name)) as bus:
        subscription = bus.spectate()
        failed, known = 0, False
        clock = SystemClock()
        next_look_ns = clock.now_ns() + _LOOK_NS
        while not stopping():
            message = subscription.receive(_POLL_S)
            if message is not None:
                known = known or isinstance(message.payload, RunInfo)
                failed += known and _show(message, viewers)
                if _is_last(message):
                    break
            elif clock.now_ns() >= next_look_ns:
                next_look_ns = clock.now_ns() + _LOOK_NS
                if not is_running(folder):
                    break
        missed = {f"{topic} {reason}": count for (topic, reason), count in subscription.losses.items()}
    for viewer in viewers:
        list(viewer.finish())
    return {**missed, "failed steps": failed} if failed else missed


def _show(message: Message, viewers: Sequence[Node]) -> int:
    """How many viewers failed at it; none takes the others down, and flow control is nothing to look at."""
    return sum(_fails(viewer, message) for viewer in viewers) if topic_row(message.topic).recorded else 0


def _fails(viewer: Node, message: Message) -> bool:
    try:
        list(viewer.step(message, 0))
    except Exception:
        logger.exception("%s failed on %s", type(viewer).__name__, message.topic)
        return True
    return False


def _is_last(message: Message) -> bool:
    payload = message.payload
    return isinstance(payload, NodeStatus) and payload.node == "record" and payload.ended
