"""float16, bfloat16 and float64 models, read as float32, against ONNX Runtime on the original."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from sliceflow.frontend import load_model, notes_of
from sliceflow.graph.program import Value
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import check
from sliceflow.runtime.values import check_inputs, widened
from tests.support.models import Graph, operators, run_model

TYPES = {"float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE}


def types_in(model: ir.Model) -> set[str]:
    """Float types of all constants, values and attributes, in sub-graphs too."""
    found = set()
    for graph in (model.graph, *model.graph.subgraphs()):
        values = [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]
        found |= {value.dtype for value in values} | {v.const_value.dtype for v in values if v.const_value is not None}
        for node in graph:
            found |= {a.as_tensor().dtype for a in node.attributes.values() if a.type == ir.AttributeType.TENSOR}
    return {kind.name for kind in found if kind is not None and kind.is_floating_point()}


def run_original(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """By ONNX Runtime, or onnx's evaluator where that has no kernels."""
    if any(tensor.data_type == TensorProto.DOUBLE for tensor in model.graph.initializer):
        return ReferenceEvaluator(model).run(None, feeds)
    return run_model(model, feeds)


def assert_close(before: onnx.ModelProto, feeds: dict[str, np.ndarray], tolerance: float) -> ir.Model:
    after = load_model(before)
    assert types_in(after) <= {"FLOAT"}
    wide = {n: a.astype(np.float32) if a.dtype.kind == "f" else a for n, a in feeds.items()}
    for expected, found in zip(run_original(before, feeds), run_model(after, wide), strict=True):
        assert found.dtype == np.float32 if expected.dtype.kind == "f" else found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected.astype(found.dtype), rtol=tolerance, atol=tolerance)
    return after


def layers(g: Graph, x: str, kind: str, channels: int) -> str:
    """Two convolutions with a Relu and a Clip, whose constants are of one float type."""
    weights = [g.rng.uniform(-0.3, 0.3, (4, channels, 3, 3)), g.rng.uniform(-0.3, 0.3, (4, 4, 3, 3))]
    y = g.node("Conv", x, g.constant(weights[0], kind), g.constant(g.rng.uniform(-1, 1, 4), kind))
    y = g.node("Clip", g.node("Relu", y), g.constant(0.1, kind), g.constant(3.0, kind))
    return g.node("Conv", y, g.constant(weights[1], kind))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("casts", [True, False])
@pytest.mark.parametrize("opset", [11, 21])
def test_a_network_in_one_float_type(kind, casts, opset):
    g = Graph(3, opset=opset)
    x = g.input(2, 3, 8, 8, dtype=TensorProto.FLOAT if casts else TYPES[kind])
    inner = g.node("Cast", x, to=TYPES[kind]) if casts else x
    y = layers(g, inner, kind, 3)
    g.output(g.node("Cast", y, to=TensorProto.FLOAT) if casts else y, None, TensorProto.FLOAT if casts else TYPES[kind])
    feed = np.random.default_rng(1).uniform(-1, 1, (2, 3, 8, 8)).astype(np.float32 if casts else kind)
    after = assert_close(g.model(), {"x": feed}, 1e-2 if kind == "float16" else 1e-5)
    assert operators(after) == ["Conv", "Relu", "Clip", "Conv"]
    assert kind in notes_of(after)[0]


def test_a_network_with_only_its_middle_in_float16():
    g = Graph(4)
    y = g.node("Conv", g.input(1, 3, 8, 8), g.random(3, 3, 3, 3))
    y = layers(g, g.node("Cast", y, to=TensorProto.FLOAT16), "float16", 3)
    y = g.node("Conv", g.node("Cast", y, to=TensorProto.FLOAT), g.random(2, 4, 1, 1))
    feed = np.random.default_rng(2).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)
    assert "Cast" not in operators(assert_close(g.model(y), {"x": feed}, 1e-2))


def test_casts_from_and_to_integers_keep_their_meaning():
    g = Graph(5)
    x = g.input(2, 6, dtype=TensorProto.INT32)
    y = g.node("Mul", g.node("Cast", x, to=TensorProto.FLOAT16), g.constant(0.5, "float16"))
    g.output(g.node("Cast", y, to=TensorProto.INT64), None, TensorProto.INT64)
    like = g.node("CastLike", x, g.constant(0, "float16"))
    g.output(like, None, TensorProto.FLOAT16)
    feed = np.random.default_rng(3).integers(-100, 100, (2, 6), dtype=np.int32)
    after = assert_close(g.model(), {"x": feed}, 0)
    assert operators(after) == ["Cast", "Mul", "Cast", "CastLike"]


def test_branches_and_loop_bodies_follow():
    half = TensorProto.FLOAT16
    g = Graph(6)
    x, flag = g.input(2, 3, dtype=half), g.input(1, name="flag", dtype=TensorProto.BOOL)
    two = numpy_helper.from_array(np.float16(2.5))
    branches = {}
    for name, nodes in {
        "then_branch": [helper.make_node("Constant", [], ["k"], value=two), helper.make_node("Mul", [x, "k"], ["t"])],
        "else_branch": [helper.make_node("Cast", [x], ["f"], to=1), helper.make_node("Cast", ["f"], ["t"], to=half)],
    }.items():
        branches[name] = helper.make_graph(nodes, name, [], [helper.make_tensor_value_info("t", half, None)])
    y = g.node("If", flag, **branches)
    infos = [helper.make_tensor_value_info(n, t, s) for n, t, s in (("i", 7, []), ("c", 9, []), ("s", half, [2, 3]))]
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Add", ["s", "one"], ["r"])],
        "body",
        infos,
        [helper.make_tensor_value_info("d", 9, []), helper.make_tensor_value_info("r", half, [2, 3])],
        [numpy_helper.from_array(np.float16(1), "one")],
    )
    rounds = g.constant(3, "int64")
    g.output(g.node("Loop", rounds, g.constant(True, "bool"), y, body=body), None, half)
    feed = np.random.default_rng(4).uniform(-1, 1, (2, 3)).astype(np.float16)
    for flag in (True, False):
        assert_close(g.model(), {"x": feed, "flag": np.array([flag])}, 1e-2)


def test_bfloat16_is_widened_exactly():
    g = Graph(7)
    weights = g.rng.uniform(-1, 1, (4, 3)).astype(ml_dtypes.bfloat16)
    g.initializers.append(helper.make_tensor("w", TensorProto.BFLOAT16, (4, 3), weights.tobytes(), raw=True))
    x = g.node("Cast", g.input(2, 3), to=TensorProto.BFLOAT16)
    y = g.node("Gemm", x, "w", transB=1)
    after = load_model(g.model(g.node("Cast", y, to=TensorProto.FLOAT)))
    feed = np.random.default_rng(5).uniform(-1, 1, (2, 3)).astype(np.float32)
    (found,) = run_model(after, {"x": feed})
    np.testing.assert_allclose(found, feed @ weights.astype(np.float32).T, rtol=1e-6, atol=1e-6)
    assert types_in(after) == {"FLOAT"}


def test_numbers_beyond_float32_stay_finite_and_infinities_infinite():
    g = Graph(8)
    x = g.input(2, 4, dtype=TensorProto.DOUBLE)
    g.output(g.node("Max", x, g.constant([-1e300, -np.inf, 1e300, 0.1], "float64")), None, TensorProto.DOUBLE)
    after = load_model(g.model())
    (found,) = run_model(after, {"x": np.full((2, 4), -np.inf, np.float32)})
    limit = np.finfo(np.float32).max
    np.testing.assert_array_equal(found[0], np.array([-limit, -np.inf, limit, 0.1], np.float32))


def test_float64_beside_a_float32_network_is_left_alone():
    g = Graph(9)
    y = g.node("Conv", g.input(1, 3, 4, 4), g.random(2, 3, 1, 1))
    y = g.node("Exp", g.node("Cast", y, to=TensorProto.DOUBLE))
    after = load_model(g.model(g.node("Cast", y, to=TensorProto.FLOAT)))
    assert operators(after) == ["Conv", "Cast", "Exp", "Cast"]
    assert notes_of(after) == ()


def test_a_model_in_memory_is_not_changed():
    g = Graph(10)
    x = g.input(1, 3, 8, 8, dtype=TensorProto.FLOAT16)
    g.output(layers(g, x, "float16", 3), None, TensorProto.FLOAT16)
    source = ir.from_proto(g.model())
    load_model(source)
    assert "FLOAT16" in types_in(source)
    assert "FLOAT" not in types_in(source)


def test_a_float32_input_takes_float16_arrays():
    inputs = [Value(name="x", shape=(0, 3), dtype="float32"), Value(name="n", shape=(0, 1), dtype="int64")]
    given = {"x": np.array([[0.1, 2, -65504]], np.float16), "n": np.array([[1]])}
    feed = widened(inputs, given)
    assert feed["x"].dtype == np.float32
    assert len(check_inputs(inputs, feed)) == 1
    np.testing.assert_array_equal(feed["x"], given["x"])
    assert feed["n"] is given["n"]


@pytest.mark.parametrize("kind", ["FLOAT8E4M3FN", "FLOAT8E5M2", "INT32"])
def test_other_types_are_refused_by_name(kind):
    g = Graph(11)
    number = getattr(TensorProto, kind)
    g.initializers.append(helper.make_tensor("zero", number, [], [0]))
    scale = g.constant(0.5)
    x = g.input(1, 3, 8, 8)
    stored = g.node("Cast", x, to=number) if kind == "INT32" else g.node("QuantizeLinear", x, scale, "zero")
    y = g.node("Conv", g.node("DequantizeLinear", stored, scale, "zero"), g.dequantized((4, 3, 3, 3)))
    findings, _ = check(load_model(g.model(y)), Profile.load("int8-8x8"))
    (found,) = [finding for finding in findings if finding.op == "Conv"]
    assert kind.lower() in found.reason
