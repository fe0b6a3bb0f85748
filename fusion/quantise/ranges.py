"""How large the numbers between the layers become: a histogram of each tensor over calibration data, and percentiles.

A largest value alone is set by one pixel in a million; a percentile gives it up, so that all others are finer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from pipeline.core.errors import BadInput

Array = npt.NDArray[np.generic]
Feed = Mapping[str, Array]

_PER_OCTAVE = 32  # bins: a limit is good to 2 %
_LOWEST, _HIGHEST = -24, 24  # powers of two


class Magnitudes:
    """Histogram of the absolute values of one tensor, in bins of equal ratio; what is 0 counts beside them."""

    def __init__(self) -> None:
        self.counts = np.zeros((_HIGHEST - _LOWEST) * _PER_OCTAVE, np.int64)
        self.zeros, self.largest = 0, 0.0

    def add(self, values: npt.NDArray[np.floating]) -> None:
        size = np.abs(values[values != 0], dtype=np.float32)
        self.zeros += values.size - size.size
        if size.size:
            self.largest = max(self.largest, float(size.max()))
            place = (np.log2(size) - _LOWEST) * _PER_OCTAVE
            self.counts += np.bincount(place.astype(np.int64).clip(0, len(self.counts) - 1), minlength=len(self.counts))

    def limit(self, percentile: float) -> float:
        """The value that so many percent of all do not exceed; the largest for 100. 1 where nothing is but 0."""
        if not self.largest or percentile >= 100.0:
            return self.largest or 1.0
        rank = percentile / 100.0 * (self.zeros + int(self.counts.sum())) - self.zeros
        bin_ = int(np.searchsorted(np.cumsum(self.counts), max(rank, 1.0)))
        return float(min(2.0 ** ((bin_ + 1) / _PER_OCTAVE + _LOWEST), self.largest))

    def error(self, limit: float) -> float:
        """Sum of the squared errors of all values in 8 bits with this limit: rounded within, cut off beyond."""
        middle = 2.0 ** ((np.arange(len(self.counts)) + 0.5) / _PER_OCTAVE + _LOWEST)
        rounded = np.minimum(middle**2, (limit / 127.0) ** 2 / 12.0)
        return float((self.counts * np.where(middle > limit, (middle - limit) ** 2, rounded)).sum())

    def beyond(self, limit: float) -> float:
        """Share of the values above ``limit``, 0..1."""
        if limit >= self.largest:
            return 0.0
        first = int((np.log2(limit) - _LOWEST) * _PER_OCTAVE) + 1
        return float(self.counts[first:].sum() / max(self.zeros + int(self.counts.sum()), 1))


def observe(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    samples: Iterable[Feed],
    source: object,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Magnitudes]:
    """What each tensor holds over the samples.

    Raises:
        BadInput: no samples, or a tensor that becomes infinite.
    """
    outputs = {value.name for value in model.graph.output}
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    given = {value.name for value in model.graph.input}
    inner = [name for name in tensors if name not in given]
    tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner if name not in outputs)
    session = session_of(tapped)
    found = {name: Magnitudes() for name in tensors}
    count = 0
    for count, feed in enumerate(samples, 1):
        held = dict(zip(inner, session.run(inner, dict(feed)), strict=True)) if inner else {}
        for name in tensors:
            values = np.asarray(held[name] if name in held else feed[name])
            if not np.isfinite(values).all():
                raise BadInput(source, f"tensor {name}", "finite numbers", f"infinite or NaN on sample {count}")
            found[name].add(values)
        progress(count)
    if not count:
        raise BadInput(source, "calibration data", "at least one sample", "none")
    return found


def session_of(model: onnx.ModelProto, optimise: bool = True) -> onnxruntime.InferenceSession:
    """ONNX Runtime on one thread: what is calibrated and compared with."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
