"""What every fusion method is: a step from aligned detections to a scene, with state that can be saved and restored."""

from __future__ import annotations

from typing import Protocol

from pipeline.core.messages import FrameSet, Scene


class Fuser(Protocol):
    """Deterministic: the same frame sets from the same state give the same scenes to the byte."""

    def step(self, frames: FrameSet, time_ns: int) -> Scene:
        """Advance to the reference instant ``time_ns`` (vehicle clock) and take in the frame set's detections."""
        ...

    def snapshot(self) -> bytes:
        """The whole state, as bytes that `restore` of the same class and version takes. Never pickle."""
        ...

    def restore(self, snapshot: bytes) -> None:
        """Raises ValueError where the bytes are not a snapshot of this class and version."""
        ...

    def close(self) -> None:
        """Release what is held outside this process; no step follows."""
        ...
