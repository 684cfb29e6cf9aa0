"""Old opsets raised to the canonical one, operator by operator, against ONNX Runtime on the original."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from sliceflow.errors import UserError
from sliceflow.frontend import OPSET, load_model
from tests.support.models import Graph, assert_same_outputs, operators


def ints(g, *values):
    return g.constant(list(values), "int64")


TWO = onnx.numpy_helper.from_array(np.float32(2))
OLD = {
    ("Clip", 7): lambda g, x: g.node("Clip", x, min=-0.5, max=1.0),
    ("Clip low", 7): lambda g, x: g.node("Clip", x, min=-0.5),
    ("Clip high", 10): lambda g, x: g.node("Clip", x, max=0.5),
    ("Clip none", 7): lambda g, x: g.node("Clip", x),
    ("Pad", 8): lambda g, x: g.node("Pad", x, pads=[0, 0, 1, 0, 0, 0, 0, 2], value=0.5),
    ("Pad edge", 10): lambda g, x: g.node("Pad", x, pads=[0, 0, 1, 0, 0, 0, 0, 2], mode="edge"),
    ("Slice", 9): lambda g, x: g.node("Slice", x, starts=[1, 0], ends=[99, -1], axes=[2, 3]),
    ("Squeeze", 11): lambda g, x: g.node("Squeeze", g.node("ReduceMax", x, axes=[2], keepdims=1), axes=[2]),
    ("Unsqueeze", 12): lambda g, x: g.node("Unsqueeze", x, axes=[0, -1]),
    ("ReduceMean", 7): lambda g, x: g.node("ReduceMean", x, axes=[2, 3], keepdims=0),
    ("ReduceMean 13", 13): lambda g, x: g.node("ReduceMean", x, axes=[1]),
    ("ReduceSum", 11): lambda g, x: g.node("ReduceSum", x, axes=[1, 2]),
    ("ReduceL2", 17): lambda g, x: g.node("ReduceL2", x, axes=[3]),
    ("ReduceProd all", 8): lambda g, x: g.node("ReduceProd", x, keepdims=0),
    ("Split", 11): lambda g, x: g.node("Split", x, outputs=["a", "b"], axis=1, split=[1, 3]),
    ("Split equal", 7): lambda g, x: g.node("Split", x, outputs=["a", "b"], axis=1),
    ("Split 13", 13): lambda g, x: g.node("Split", x, outputs=["a", "b"], axis=1),
    ("Upsample", 7): lambda g, x: g.node("Upsample", x, scales=[1.0, 1.0, 2.0, 3.0], mode="nearest"),
    ("Upsample 9", 9): lambda g, x: g.node("Upsample", x, g.constant([1, 1, 2, 1.5]), mode="linear"),
    ("Resize", 10): lambda g, x: g.node("Resize", x, g.constant([1, 1, 3, 2]), mode="nearest"),
    ("Resize small", 10): lambda g, x: g.node("Resize", x, g.constant([1, 1, 0.6, 0.4]), mode="nearest"),
    ("Resize linear", 10): lambda g, x: g.node("Resize", x, g.constant([1, 1, 1.5, 2]), mode="linear"),
    ("Resize 11", 11): lambda g, x: g.node("Resize", x, g.constant([]), g.constant([]), ints(g, 2, 4, 9, 9)),
    ("Dropout", 7): lambda g, x: g.node("Dropout", g.node("Relu", x), ratio=0.3),
    ("TopK", 9): lambda g, x: g.node("TopK", x, outputs=["v", "i"], k=2, axis=1),
    ("Softmax 1", 9): lambda g, x: g.node("Softmax", x),
    ("Softmax 2", 12): lambda g, x: g.node("Softmax", x, axis=2),
    ("Softmax last", 7): lambda g, x: g.node("Softmax", x, axis=3),
    ("Softmax unit", 9): lambda g, x: g.node("Softmax", g.node("GlobalAveragePool", x), axis=1),
    ("Softmax 0", 11): lambda g, x: g.node("LogSoftmax", x, axis=0),
    ("Hardmax", 11): lambda g, x: g.node("Hardmax", x, axis=-2),
    ("BatchNormalization", 8): lambda g, x: g.batch_norm(x, 4),
    ("Gemm", 7): lambda g, x: g.node("Gemm", g.node("Flatten", x), g.random(120, 3), g.random(3)),
    ("Constant", 8): lambda g, x: g.node("Add", x, g.node("Constant", value=TWO)),
    ("Flatten", 8): lambda g, x: g.node("Flatten", x, axis=2),
}


@pytest.mark.parametrize(("kind", "opset"), OLD)
def test_an_old_operator_keeps_its_meaning(kind, opset):
    g = Graph(1, opset=opset, ir_version=3 if opset < 9 else 6)
    first = OLD[kind, opset](g, g.input(2, 4, 5, 6))
    model = g.model(first, *(["b"] if kind.startswith("Split") else []))
    for tensor in model.graph.initializer if opset < 9 else ():
        model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    after = load_model(model)
    assert after.graph.opset_imports[""] == OPSET
    assert_same_outputs(model, after, batches=[2])


def test_a_computed_shape_does_not_hide_the_axis_of_softmax():
    g = Graph(2, opset=9)
    x = g.input("N", 4, 5)
    batch = g.node("Unsqueeze", g.node("Gather", g.node("Shape", x), g.constant(0, "int64")), axes=[0])
    model = g.model(g.node("Softmax", g.node("Reshape", x, g.node("Concat", batch, ints(g, 2, -1), axis=0)), axis=1))
    after = load_model(model)
    assert operators(after) == ["Reshape", "Flatten", "Softmax", "Reshape"]
    assert_same_outputs(model, after)


@pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
def test_every_opset_is_read(opset):
    g = Graph(3, opset=opset)
    y = g.node("Relu", g.node("Conv", g.input("N", 3, 5, 5), g.random(4, 3, 3, 3)))
    model = g.model(g.node("Flatten", g.node("MaxPool", y, kernel_shape=[3, 3])))
    after = load_model(model)
    assert after.graph.opset_imports[""] == OPSET
    assert operators(after) == ["Conv", "Relu", "GlobalMaxPool", "Flatten"]


def test_a_newer_operator_keeps_its_opset():
    g = Graph(4, opset=24)
    x = g.input(1, 2, 3, 8)
    after = load_model(g.model(g.node("Attention", x, x, x)))
    assert after.graph.opset_imports[""] == 24


@pytest.mark.parametrize(("opset", "fix"), [(6, "version_converter"), (99, "upgrade"), (-1, "version_converter")])
def test_other_opsets_are_refused(opset, fix):
    g = Graph(5, opset=opset)
    with pytest.raises(UserError, match="opset") as caught:
        load_model(g.model(g.node("Relu", g.input("N", 3))))
    assert fix in caught.value.fix


REFUSED = {
    "BatchNormalization": lambda g, x: g.node(
        "BatchNormalization", x, *(g.random(3, 2, 2) for _ in range(4)), spatial=0
    ),
    "training outputs": lambda g, x: g.node(
        "BatchNormalization", x, *(g.random(3) for _ in range(4)), outputs=["y", "m", "v"]
    ),
    "Resize": lambda g, x: g.node("Resize", x, g.constant([1, 1, 2, 0.5])),
    "Upsample": lambda g, x: g.node("Upsample", x, scales=[1.0, 1.0, 2.0, 2.0], mode="strange"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_equivalent_is_refused_by_name(kind):
    g = Graph(6, opset=10 if kind == "Resize" else 8)
    results = [REFUSED[kind](g, g.input("N", 3, 2, 2)), *(["m", "v"] if kind == "training outputs" else [])]
    with pytest.raises(UserError, match="cannot be converted"):
        load_model(g.model(*results))
