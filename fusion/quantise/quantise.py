"""A float network to its 8-bit form: calibrate, find out what each layer loses, and keep in float what loses too much.

ranges of tensors over calibration data -> which percentile serves best -> the loss of each layer by itself
-> all layers in 8 bits, biases corrected; while the judge finds too much lost, what loses most goes back to float
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import onnx

from fusion.quantise.bias import corrected
from fusion.quantise.layers import Graph, Layer
from fusion.quantise.parity import MAX_LOSS, answers, compare
from fusion.quantise.qdq import quantised
from fusion.quantise.ranges import Feed, Magnitudes, observe
from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings

OWN = "each tensor's own percentile"
Share = Annotated[float, msgspec.Meta(gt=50.0, le=100.0)]


class QuantiseSettings(Settings, frozen=True):
    """percentiles: of magnitudes, tried as one for all tensors, and as the one for each by which its own squared error
    is least; what gives the answers nearest to the float ones is taken. samples: for comparing answers, of those given.
    max_loss: relative, of any class's metric. max_beyond: share of a tensor's values that may lie beyond its range on
    data that it was not calibrated on.
    """

    percentiles: tuple[Share, ...] = (100.0, 99.999, 99.99, 99.9, 99.5)
    samples: Annotated[int, msgspec.Meta(ge=1)] = 12
    max_loss: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = MAX_LOSS
    max_beyond: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.02


class Quantised(NamedTuple):
    """sensitivity: SQNR, dB, of the worst output with only that layer in 8 bits. kept: layers in float. limits: of the
    tensors. ranges: which percentile gave them."""

    model: onnx.ModelProto
    ranges: str
    limits: dict[str, float]
    sensitivity: dict[str, float]
    kept: tuple[str, ...]


def quantise(
    model: onnx.ModelProto,
    samples: Sequence[Feed],
    source: object,
    judge: Callable[[onnx.ModelProto], float] = lambda model: 0.0,
    settings: QuantiseSettings | None = None,
    told: Callable[[str], None] = lambda text: None,
) -> Quantised:
    """``model`` in 8 bits.

    Args:
        samples: calibration data, as the network is fed. source: names the model where something is wrong.
        judge: relative loss of the worst class with a quantised model. told: what is being done.

    Raises:
        BadInput: no samples, nothing to quantise, numbers that are not finite, or a loss that even the float network
            has by the judge.
    """
    settings = settings or QuantiseSettings()
    graph = Graph(model)
    layers = graph.layers()
    if not layers:
        raise BadInput(source, "operators", "a layer with weights (Conv, Gemm, MatMul)", "none")
    tensors = graph.quantised_tensors(layers)
    told(f"ranges of {len(tensors)} tensors")
    found = observe(model, tensors, samples, source)
    few = [samples[k] for k in np.linspace(0, len(samples) - 1, min(settings.samples, len(samples))).astype(int)]
    wanted = answers(model, few)
    tried = {f"percentile {p:g}": {name: found[name].limit(p) for name in tensors} for p in settings.percentiles}
    tried[OWN] = {name: _own(found[name], settings.percentiles) for name in tensors}
    near = {
        ranges: min(compare(wanted, answers(quantised(model, layers, limits), few)).values())
        for ranges, limits in tried.items()
    }
    ranges = max(near, key=lambda name: near[name])
    limits = tried[ranges]
    told("what each layer loses")
    loses = {layer.name: _alone(model, layer, limits, few, wanted) for layer in layers}
    order = sorted(layers, key=lambda layer: loses[layer.name])
    kept = 0
    while True:
        chosen = [layer for layer in layers if layer not in order[:kept]]
        out = _mended(model, quantised(model, chosen, limits), chosen, few, wanted) if chosen else model
        loss = judge(out)
        told(f"{kept} of {len(layers)} layers in float: worst class loses {100 * loss:.2f} %")
        if loss <= settings.max_loss:
            names = tuple(layer.name for layer in order[:kept])
            return Quantised(out, ranges, limits, loses, names)
        if kept == len(layers):
            raise BadInput(source, "judge", f"a float network that loses at most {settings.max_loss:.3f}", loss)
        kept = min(max(1, 2 * kept), len(layers))


def saturation(
    model: onnx.ModelProto, limits: Mapping[str, float], samples: Sequence[Feed], source: object
) -> dict[str, float]:
    """Share of each tensor's values beyond its range on these samples, where there are any. model: the float one."""
    found = observe(model, list(limits), samples, source)
    shares = {name: found[name].beyond(limits[name]) for name in limits}
    return {name: share for name, share in shares.items() if share > 0.0}


def check_representative(shares: Mapping[str, float], settings: QuantiseSettings, source: object) -> None:
    """Raises BadInput where a tensor overflows its range so often that calibration cannot have seen such data."""
    name = max(shares, key=lambda n: shares[n], default="")
    if name and shares[name] > settings.max_beyond:
        expected = f"like what is run: at most {100 * settings.max_beyond:g} % of a tensor beyond its range"
        raise BadInput(source, "calibration data", expected, f"{100 * shares[name]:.1f} % of {name}")


def _mended(
    model: onnx.ModelProto,
    out: onnx.ModelProto,
    layers: Sequence[Layer],
    few: Sequence[Feed],
    wanted: Mapping[str, list[npt.NDArray[np.floating]]],
) -> onnx.ModelProto:
    """With corrected biases, where that comes nearer to the float answers."""
    mended = corrected(model, out, layers, few)
    before, after = (min(compare(wanted, answers(one, few)).values()) for one in (out, mended))
    return mended if after > before else out


def _own(magnitudes: Magnitudes, percentiles: Sequence[float]) -> float:
    return min((magnitudes.limit(p) for p in percentiles), key=magnitudes.error)


def _alone(
    model: onnx.ModelProto,
    layer: Layer,
    limits: Mapping[str, float],
    few: Sequence[Feed],
    wanted: Mapping[str, list[npt.NDArray[np.floating]]],
) -> float:
    return min(compare(wanted, answers(quantised(model, [layer], limits), few)).values())
