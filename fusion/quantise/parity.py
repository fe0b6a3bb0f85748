"""How far a quantised network's answers are from the float one's, by output and by what they are for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
import numpy.typing as npt
import onnx

from fusion.quantise.ranges import Feed, session_of

_JUDGED_FROM = 0.05  # a class that the float network hardly finds says nothing of rounding
_LEAST_LABELS = 20
MAX_LOSS = 0.01


class ClassParity(msgspec.Struct, frozen=True):
    """A class's metric, of which more is better, with the float network and with the quantised one."""

    labels: int
    reference: float
    quantised: float

    @property
    def loss(self) -> float:
        """Relative; negative where the quantised one is better."""
        return 1.0 - self.quantised / self.reference if self.reference > 0 else 0.0

    @property
    def judged(self) -> bool:
        """Whether there is enough to lose, on enough labels, for the loss to mean anything."""
        return self.labels >= _LEAST_LABELS and self.reference >= _JUDGED_FROM


Scores = Mapping[str, tuple[int, float]]
"""By class: on how many labels, and the metric."""


def class_parity(reference: Scores, quantised: Scores) -> dict[str, ClassParity]:
    return {name: ClassParity(labels, value, quantised[name][1]) for name, (labels, value) in reference.items()}


def worst_loss(parity: Mapping[str, ClassParity]) -> float:
    """The largest relative loss of a class that is judged; 0 where none is."""
    return max((one.loss for one in parity.values() if one.judged), default=0.0)


def sqnr_db(reference: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """Signal over quantisation noise: 10 log10(sum r^2 / sum (r - o)^2), dB; 200 where both are the same."""
    wanted = reference.astype(np.float64)
    noise = float(np.square(wanted - other).sum())
    signal = float(np.square(wanted).sum())
    return min(10.0 * float(np.log10(signal / noise)), 200.0) if noise and signal else 200.0 if not noise else 0.0


def answers(model: onnx.ModelProto, feeds: Iterable[Feed]) -> dict[str, list[npt.NDArray[np.floating]]]:
    """What ONNX Runtime says to each feed, by output."""
    session = session_of(model)
    names = [value.name for value in model.graph.output]
    said = [session.run(names, dict(feed)) for feed in feeds]
    return {name: [np.asarray(one[k]) for one in said] for k, name in enumerate(names)}


def compare(
    reference: Mapping[str, list[npt.NDArray[np.floating]]], other: Mapping[str, list[npt.NDArray[np.floating]]]
) -> dict[str, float]:
    """SQNR of each output over all feeds, dB."""
    return {
        name: sqnr_db(*(np.concatenate([part.ravel() for part in side[name]]) for side in (reference, other)))
        for name in reference
    }
