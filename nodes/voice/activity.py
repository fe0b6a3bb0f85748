"""Who speaks, and when they have done: a probability of speech per block, and turns made of it."""

from __future__ import annotations

import importlib.util
from collections import deque
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from nodes.voice.audio import RATE, Samples
from pipeline.core.errors import BadInput

BLOCK = 512
"""Samples of a block: 32 ms."""


class VoiceActivity(Protocol):
    def probability(self, block: Samples) -> float:
        """That someone speaks in the next (BLOCK,) samples; blocks come in order."""
        ...

    def reset(self) -> None:
        """What comes next has nothing to do with what came."""
        ...


class Loudness:
    """Speech is what is louder than the quietest of the last seconds by some decibels: the floor without a network.

    It takes any loud noise for speech; where Silero is installed that is better.
    """

    def __init__(self, above_db: float = 12.0, memory: int = 64) -> None:
        self._above_db = above_db
        self._levels: deque[float] = deque(maxlen=memory)

    def probability(self, block: Samples) -> float:
        level = 10 * np.log10(float(np.mean(np.square(block, dtype=np.float64))) + 1e-7)
        self._levels.append(level)
        over = level - float(np.percentile(self._levels, 10)) - self._above_db
        return float(1 / (1 + np.exp(-np.clip(over, -50, 50)))) if len(self._levels) > 3 else 0.0

    def reset(self) -> None:
        self._levels.clear()


class Silero:
    """Silero's network on ONNX Runtime, from the wheel `silero-vad`, without its torch.

    Raises:
        BadInput: the wheel is not installed.
    """

    def __init__(self) -> None:
        import onnxruntime

        spec = importlib.util.find_spec("silero_vad")
        where = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
        path = where / "data" / "silero_vad.onnx" if where else None
        if path is None or not path.exists():
            raise BadInput("silero-vad", "package", "installed: pip install --no-deps silero-vad", "none")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros(64, np.float32)

    def probability(self, block: Samples) -> float:
        window = np.concatenate([self._context, block.astype(np.float32)])
        self._context = window[-64:]
        out, self._state = self._session.run(
            None, {"input": window[None], "state": self._state, "sr": np.array(RATE, np.int64)}
        )
        return float(out[0, 0])

    def reset(self) -> None:
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros(64, np.float32)


class TurnSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """begins, ends: probability above which someone begins to speak, below which they pause. least_s: shorter is noise.
    pause_s: silence that ends a turn. before_s: kept from before the first sound. most_s: a turn is cut there."""

    begins: float = 0.5
    ends: float = 0.35
    least_s: float = 0.1
    pause_s: float = 0.6
    before_s: float = 0.3
    most_s: float = 20.0


class Turns:
    """Cuts a stream of sound into what was said in one breath.

    is_speaking: someone does now; the speaker should be silent (barge-in).
    """

    def __init__(self, activity: VoiceActivity, settings: TurnSettings | None = None) -> None:
        self._activity = activity
        self._settings = settings or TurnSettings()
        self._rest: Samples = np.zeros(0, np.float32)
        self._before: deque[Samples] = deque(maxlen=max(1, round(self._settings.before_s * RATE / BLOCK)))
        self._turn: list[Samples] = []
        self._voiced = self._silent = 0
        self.is_speaking = False

    def hear(self, samples: Samples) -> list[Samples]:
        """Take in the next samples, any number; the turns that ended in them."""
        waiting = np.concatenate([self._rest, samples])
        whole = len(waiting) - len(waiting) % BLOCK
        self._rest = waiting[whole:]
        return [turn for at in range(0, whole, BLOCK) for turn in self._block(waiting[at : at + BLOCK])]

    def _block(self, block: Samples) -> list[Samples]:
        s, probability = self._settings, self._activity.probability(block)
        if not self._turn:
            if probability < s.begins:
                self._before.append(block)
                return []
            self._turn = [*self._before, block]
            self._voiced, self._silent = 1, 0
            return []
        self._turn.append(block)
        self._silent = self._silent + 1 if probability < s.ends else 0
        self._voiced += probability >= s.begins
        self.is_speaking = self._voiced * BLOCK >= s.least_s * RATE
        done = self._silent * BLOCK >= s.pause_s * RATE or len(self._turn) * BLOCK >= s.most_s * RATE
        if not done:
            return []
        turn, spoke = np.concatenate(self._turn), self.is_speaking
        self._turn, self.is_speaking = [], False
        self._before.clear()
        return [turn] if spoke else []
