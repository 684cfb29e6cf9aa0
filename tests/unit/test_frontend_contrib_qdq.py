"""com.microsoft QuantizeLinear and DequantizeLinear, against ONNX Runtime on the original."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from sliceflow.frontend import load_model, notes_of
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import check
from tests.support.models import Graph, assert_same_outputs, operators

CONTRIB = "com.microsoft"


def network(kind: str, *, opset: int, vector: bool, zero_point: bool = True, axis: int = 0) -> Graph:
    """Conv + Relu between quantizers of one type, all of them com.microsoft's."""
    g = Graph(11, opset=opset, ir_version=8)
    g.domains[CONTRIB] = 1
    info = np.iinfo(kind)
    low = info.min if info.min < 0 else 0
    zero = int(g.rng.integers(low // 2, info.max // 2 + 1)) if zero_point else 0

    def pair(source: str, scale: float) -> str:
        parameters = [g.constant([scale] if vector else scale)]
        parameters += [g.constant([zero] if vector else zero, kind)] if zero_point else []
        quantized = g.node("QuantizeLinear", source, *parameters, domain=CONTRIB)
        return g.node("DequantizeLinear", quantized, *parameters, domain=CONTRIB)

    step = 4.0 / (info.max - info.min)
    x = pair(g.input("N", 3, 8, 8), step)
    weights = g.constant(g.rng.integers(-127, 128, (4, 3, 3, 3)), "int8")
    scales = [g.constant(g.rng.uniform(0.001, 0.01, 4)), g.constant(np.zeros(4), "int8")]
    w = g.node("DequantizeLinear", weights, *scales, axis=axis, domain=CONTRIB)
    g.output(pair(g.node("Relu", g.node("Conv", x, w)), step), None)
    return g


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("opset", [10, 17, 21, 22])
@pytest.mark.parametrize("vector", [True, False])
def test_they_mean_what_onnxs_mean(kind, opset, vector):
    model = network(kind, opset=opset, vector=vector, axis=-4 if opset == 21 else 0).model()
    after = load_model(model)
    assert {node.domain for node in after.graph} == {""}
    assert operators(after).count("DequantizeLinear") == 3
    assert_same_outputs(model, after, steps=0)
    profile = Profile.load("int8-8x8" if kind.endswith("t8") else "w8a16-8x8")
    findings, macs = check(after, profile)
    assert findings == []
    assert macs == 4 * 27 * 36
    assert notes_of(after) == (
        "com.microsoft QuantizeLinear and DequantizeLinear mean the same as ONNX's: 5 nodes renamed",
    )


def test_without_a_zero_point_they_are_unsigned():
    model = network("uint8", opset=13, vector=False, zero_point=False).model()
    assert_same_outputs(model, load_model(model), steps=0)


@pytest.mark.parametrize("kind", ["int4", "uint4"])
def test_weights_of_four_bits(kind):
    g = Graph(12, opset=21)
    g.domains[CONTRIB] = 1
    x = g.quantize(g.input("N", 3, 8, 8))
    values = g.rng.integers(-8, 8, (4, 3, 3, 3)) if kind == "int4" else g.rng.integers(0, 16, (4, 3, 3, 3))
    tensor = onnx.helper.make_tensor("w", getattr(onnx.TensorProto, kind.upper()), values.shape, values.reshape(-1))
    g.initializers.append(tensor)
    scales = g.constant(g.rng.uniform(0.01, 0.1, 4))
    y = g.quantize(g.node("Conv", x, g.node("DequantizeLinear", "w", scales, axis=0, domain=CONTRIB)))
    after = load_model(g.model(y))
    findings, _ = check(after, Profile.load("w4a8-8x8" if kind == "int4" else "int8-8x8"))
    assert findings == []


def test_in_a_model_of_that_domain_alone():
    g = Graph(13, opset=17)
    scale, zero = g.constant(0.1), g.constant(3, "uint8")
    stored = g.node("QuantizeLinear", g.input(1, 4), scale, zero, domain=CONTRIB)
    model = g.model(g.node("DequantizeLinear", stored, scale, zero, domain=CONTRIB))
    model.opset_import[0].domain, model.opset_import[0].version = CONTRIB, 1
    after = load_model(model)
    assert operators(after) == ["QuantizeLinear", "DequantizeLinear"]
    assert after.graph.opset_imports[""] == 21
