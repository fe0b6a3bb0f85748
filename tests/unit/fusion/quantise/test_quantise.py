"""Quantised graphs: their form, how near they come to float, what is kept in float, and what is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fusion.detect.weights import resolve
from fusion.quantise.bias import corrected
from fusion.quantise.half import in_half
from fusion.quantise.layers import Graph
from fusion.quantise.parity import ClassParity, answers, class_parity, compare, sqnr_db, worst_loss
from fusion.quantise.qdq import channel_scales, in_steps, quantised
from fusion.quantise.quantise import QuantiseSettings, check_representative, quantise, saturation
from fusion.quantise.ranges import Feed, Magnitudes, observe
from pipeline.core.errors import BadInput


def small(seed: int = 0) -> onnx.ModelProto:
    """Two convolutions that a third adds to, an upsampling, and a Concat of two heads."""
    rng = np.random.default_rng(seed)
    nodes, weights = [], []

    def conv(name: str, given: str, n_in: int, n_out: int, **more: object) -> None:
        side = 3 if more else 1
        weight = rng.normal(0.0, 1.0 / np.sqrt(n_in * side**2), (n_out, n_in, side, side)) * rng.lognormal(
            0.0, 0.3, (n_out, 1, 1, 1)
        )
        weights.extend(
            numpy_helper.from_array(values.astype(np.float32), f"{name}.{part}")
            for part, values in (("weight", weight), ("bias", rng.normal(size=n_out)))
        )
        nodes.append(helper.make_node("Conv", [given, f"{name}.weight", f"{name}.bias"], [name], **more))

    conv("first", "x", 3, 8, pads=[1, 1, 1, 1])
    nodes.append(helper.make_node("Relu", ["first"], ["first_relu"]))
    conv("second", "first_relu", 8, 8)
    nodes.append(helper.make_node("Relu", ["second"], ["second_relu"]))
    nodes.append(helper.make_node("Add", ["first_relu", "second_relu"], ["sum"]))
    weights.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"))
    conv("third", "sum", 8, 8)
    nodes.append(helper.make_node("Resize", ["third", "", "twice"], ["larger"], mode="nearest",
                                  coordinate_transformation_mode="asymmetric", nearest_mode="floor"))  # fmt: skip
    conv("left", "larger", 8, 2)
    conv("right", "larger", 8, 4)
    nodes.append(helper.make_node("Concat", ["left", "right"], ["y"], axis=1))
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
        for n, s in (("x", [1, 3, 16, 16]), ("y", [1, 6, 32, 32]))
    ]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def feeds(count: int = 6, seed: int = 1, scale: float = 1.0) -> list[Feed]:
    rng = np.random.default_rng(seed)
    return [{"x": (scale * rng.normal(size=(1, 3, 16, 16))).astype(np.float32)} for _ in range(count)]


def test_the_answer_of_8_bits_is_near_the_float_one_and_weights_take_a_quarter() -> None:
    model = small()
    found = quantise(model, feeds(), "small")
    noise = compare(answers(model, feeds(seed=5)), answers(found.model, feeds(seed=5)))
    assert noise["y"] > 25.0
    assert found.kept == ()
    stored = {w.name: w for w in found.model.graph.initializer}
    for layer in Graph(model).layers():
        assert stored[f"{layer.weight}.q"].data_type == TensorProto.INT8
        assert layer.weight not in stored


def test_everything_in_8_bits_is_symmetric_and_weights_have_a_scale_for_each_channel() -> None:
    out = quantise(small(), feeds(), "small").model
    graph = Graph(out)
    pairs = [n for n in out.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert {n.op_type for n in pairs} == {"QuantizeLinear", "DequantizeLinear"}
    for node in pairs:
        assert len(node.input) == 2 or (graph.array(node.input[2]).dtype, graph.array(node.input[2]).any()) == (
            np.int8,
            False,
        )
        if node.input[0] in graph.weights:
            steps, scale = graph.array(node.input[0]), graph.array(node.input[1])
            assert np.abs(steps.astype(int)).max() <= 127
            assert scale.shape == (steps.shape[0],)
        else:
            assert graph.array(node.input[1]).shape == ()


def test_what_is_added_in_a_layer_stays_in_its_sums_and_an_upsampling_moves_bytes() -> None:
    graph = Graph(small())
    tensors = graph.quantised_tensors(graph.layers())
    assert set(tensors) == {"x", "first_relu", "sum", "third", "larger"}
    out = quantised(small(), graph.layers(), dict.fromkeys(tensors, 1.0) | {"third": 3.0})
    scales = Graph(out)
    assert scales.array("third.s") == scales.array("larger.s") == np.float32(3.0 / 127)


def test_layers_that_lose_too_much_go_back_to_float_the_worst_first() -> None:
    model, asked = small(), []

    def judge(candidate: onnx.ModelProto) -> float:
        in_8_bits = sum(
            n.op_type == "DequantizeLinear" and n.input[0].endswith(".weight.q") for n in candidate.graph.node
        )
        asked.append(in_8_bits)
        return 0.0 if in_8_bits <= 3 else 0.5

    found = quantise(model, feeds(), "small", judge)
    assert asked == [5, 4, 3]
    worst = sorted(found.sensitivity, key=lambda name: found.sensitivity[name])[:2]
    assert set(found.kept) == set(worst)
    kept = {n.output[0]: n for n in found.model.graph.node if n.op_type == "Conv"}
    assert all(not kept[name].input[1].endswith(".d") for name in found.kept)


def test_corrected_biases_give_each_channel_the_mean_that_it_has_in_float() -> None:
    model = small()
    graph = Graph(model)
    limits = dict.fromkeys(graph.quantised_tensors(graph.layers()), 0.8)  # cuts off much, and so shifts the means
    rough = quantised(model, graph.layers(), limits)
    mended = corrected(model, rough, graph.layers(), feeds())
    means = [
        np.mean([a.mean(axis=(0, 2, 3)) for a in answers(m, feeds())["y"]], axis=0) for m in (model, rough, mended)
    ]
    assert np.abs(means[1] - means[0]).max() > 0.05
    np.testing.assert_allclose(means[2], means[0], atol=1e-3)


def test_a_judge_that_nothing_pleases_is_named() -> None:
    with pytest.raises(BadInput, match="a float network that loses at most"):
        quantise(small(), feeds(), "small", lambda candidate: 1.0)


def test_calibration_data_that_cannot_serve_are_named() -> None:
    with pytest.raises(BadInput, match="calibration data: expected at least one sample, found none"):
        quantise(small(), [], "small")
    spoiled = feeds()
    spoiled[2]["x"][0, 0, 0, 0] = np.inf  # type: ignore[index]
    with pytest.raises(BadInput, match="tensor x: expected finite numbers, found infinite or NaN on sample 3"):
        quantise(small(), spoiled, "small")


def test_data_unlike_those_calibrated_on_are_told_by_what_overflows() -> None:
    model = small()
    found = quantise(model, feeds(), "small")
    like, unlike = (saturation(model, found.limits, feeds(seed=9, scale=s), "small") for s in (1.0, 5.0))
    check_representative(like, QuantiseSettings(), "small")
    with pytest.raises(BadInput, match=r"beyond its range, found \d+\.\d % of "):
        check_representative(unlike, QuantiseSettings(), "small")


def test_a_network_without_layers_is_refused() -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "none", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(BadInput, match="operators: expected a layer with weights"):
        quantise(model, [{"x": np.zeros((1, 3), np.float32)}], "none")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([90.0, 99.0, 99.9, 100.0]))
def test_a_percentile_of_the_histogram_is_that_of_the_values(seed: int, percentile: float) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.lognormal(0.0, 2.0, 4000) * rng.choice([-1.0, 1.0], 4000)).astype(np.float32)
    values[: int(rng.integers(0, 2000))] = 0.0
    magnitudes = Magnitudes()
    for part in np.array_split(values, 7):
        magnitudes.add(part)
    limit, sizes = magnitudes.limit(percentile), np.abs(values)
    assert (sizes <= 1.0001 * limit).mean() >= percentile / 100.0 - 1e-3
    assert (sizes < limit / 1.05).mean() <= percentile / 100.0 + 1e-3
    assert magnitudes.beyond(limit) <= (100.0 - percentile) / 100.0 + 1e-3


def test_a_sparse_tensor_keeps_its_rare_large_values_and_one_outlier_is_given_up() -> None:
    rng = np.random.default_rng(0)
    sparse, dense = np.zeros(100_000, np.float32), rng.normal(size=100_000).astype(np.float32)
    sparse[:300] = rng.uniform(3.0, 5.0, 300)
    dense[0] = 400.0
    limits = []
    for values in (sparse, dense):
        magnitudes = Magnitudes()
        magnitudes.add(values)
        tried = [magnitudes.limit(p) for p in (100.0, 99.99, 99.9, 99.5)]
        limits.append(min(tried, key=magnitudes.error))
        exact = [np.square(values - (values / s).round().clip(-127, 127) * s).sum() for s in np.array(tried) / 127]
        assert tried[int(np.argmin(exact))] == pytest.approx(limits[-1])
    assert limits[0] > 4.5


def test_a_tensor_of_zeros_has_a_range_all_the_same() -> None:
    magnitudes = Magnitudes()
    magnitudes.add(np.zeros(10, np.float32))
    assert magnitudes.limit(99.9) == 1.0
    assert magnitudes.beyond(1.0) == 0.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 3))
def test_no_weight_is_off_by_more_than_half_a_step(seed: int, axis: int) -> None:
    weight = np.random.default_rng(seed).normal(size=(4, 3, 2, 5)).astype(np.float32)
    scale = channel_scales(weight, axis)
    along = scale.reshape([-1 if k == axis else 1 for k in range(4)])
    assert (np.abs(in_steps(weight, along) * along - weight) <= 0.501 * along).all()


def test_ranges_of_inner_tensors_are_seen() -> None:
    found = observe(small(), ["x", "sum"], feeds(3), "small")
    assert found["sum"].largest > 0.0
    assert found["x"].counts.sum() + found["x"].zeros == 3 * 3 * 16 * 16


@pytest.mark.parametrize(("kind", "least_db"), [("fp16", 55.0)])
def test_16_bits_are_nearer_than_8_and_keep_the_ends(kind: str, least_db: float) -> None:
    model = small()
    half = in_half(model, kind, "small")  # type: ignore[arg-type]
    assert {w.data_type for w in half.graph.initializer} == {TensorProto.FLOAT16, TensorProto.FLOAT}  # scales of Resize
    noise = compare(answers(model, feeds()), answers(half, feeds()))
    assert noise["y"] > least_db


def test_bf16_says_so_in_a_valid_file() -> None:
    half = in_half(small(), "bf16", "small")
    assert half.opset_import[0].version >= 22
    assert TensorProto.BFLOAT16 in {w.data_type for w in half.graph.initializer}


def test_weights_that_fp16_cannot_hold_are_named() -> None:
    model = small()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((8, 3, 3, 3), 1e6, np.float32), "first.weight"))
    with pytest.raises(BadInput, match=r"weights first\.weight: expected at most 65504"):
        in_half(model, "fp16", "small")


def test_a_loss_is_of_what_was_there_and_judged_where_it_means_something() -> None:
    parity = class_parity({"car": (100, 0.5), "bus": (5, 0.5), "bicycle": (100, 0.01)},
                          {"car": (100, 0.49), "bus": (5, 0.1), "bicycle": (100, 0.0)})  # fmt: skip
    assert parity["car"] == ClassParity(100, 0.5, 0.49)
    assert worst_loss(parity) == pytest.approx(0.02)
    assert [name for name, one in parity.items() if one.judged] == ["car"]


def test_sqnr_is_the_ratio_of_powers() -> None:
    signal = np.array([3.0, 4.0])
    assert sqnr_db(signal, signal + np.array([0.3, 0.4])) == pytest.approx(20.0)
    assert sqnr_db(signal, signal) == 200.0


def test_the_shipped_networks_have_something_to_quantise() -> None:
    for name in ("camera_simulated", "lidar_simulated", "graph"):
        assert len(Graph(onnx.load(str(resolve(name)))).layers()) > 20
