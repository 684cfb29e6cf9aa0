"""Which axes count images: proved on the graph, and what runs image by image equals the whole batch."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from sliceflow.errors import UserError
from sliceflow.frontend import bind_shapes, interface, load_model
from sliceflow.graph.images import put_together, take_apart
from tests.support.models import Graph, run_model

N = 5


def check(model, feeds, shapes=None):
    """Bind the model and run it image by image: the results are those of the whole batch."""
    expected = run_model(model, feeds)
    bound = bind_shapes(load_model(model, input_shapes=shapes))
    inputs, outputs = interface(bound)
    feed = take_apart(inputs, feeds)
    results = [run_model(bound, image) for image in feed.images()]
    for index, (value, wanted) in enumerate(zip(outputs, expected, strict=True)):
        found = put_together(value, [result[index] for result in results], feed, inputs)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    return bound


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ints(graph, *values):
    return graph.constant(list(values), "int64")


MIXING = {
    "ReduceMean": lambda g, y: g.node("ReduceMean", y, ints(g, 0), name="mixer"),
    "ReduceMax of all": lambda g, y: g.node("ReduceMax", y, name="mixer", keepdims=1),
    "ReduceSum of the last axis from the end": lambda g, y: g.node("ReduceSum", y, ints(g, -4), name="mixer"),
    "Softmax": lambda g, y: g.node("Softmax", y, axis=0, name="mixer"),
    "LogSoftmax": lambda g, y: g.node("LogSoftmax", y, axis=-4, name="mixer"),
    "Hardmax": lambda g, y: g.node("Hardmax", y, axis=0, name="mixer"),
    "LpNormalization": lambda g, y: g.node("LpNormalization", y, axis=0, name="mixer"),
    "CumSum": lambda g, y: g.node("CumSum", y, g.constant(0, "int64"), name="mixer"),
    "Slice": lambda g, y: g.node("Slice", y, ints(g, 0), ints(g, 2), ints(g, 0), name="mixer"),
    "Slice beyond a large batch": lambda g, y: g.node("Slice", y, ints(g, 0), ints(g, 32), ints(g, 0), name="mixer"),
    "flipped": lambda g, y: g.node("Slice", y, ints(g, -1), ints(g, -100), ints(g, 0), ints(g, -1), name="mixer"),
    "Gather": lambda g, y: g.node("Gather", y, ints(g, 0), axis=0, name="mixer"),
    "Concat": lambda g, y: g.node("Concat", y, y, axis=0, name="mixer"),
    "Tile": lambda g, y: g.node("Tile", y, ints(g, 2, 1, 1, 1), name="mixer"),
    "Pad": lambda g, y: g.node("Pad", y, ints(g, 1, 0, 0, 0, 0, 0, 0, 0), name="mixer"),
    "TopK": lambda g, y: g.node("TopK", y, ints(g, 1), axis=0, outputs=["top", "where"], name="mixer"),
    "ArgMax": lambda g, y: g.node("Cast", g.node("ArgMax", y, axis=0, name="mixer"), to=TensorProto.FLOAT),
    "MeanVarianceNormalization": lambda g, y: g.node("MeanVarianceNormalization", y, axes=[0, 2, 3], name="mixer"),
    "products of all images": lambda g, y: g.node(
        "Gemm", g.node("Flatten", y), g.node("Flatten", y), transB=1, name="mixer"
    ),
    "sum over the images": lambda g, y: g.node(
        "MatMul", g.node("Transpose", g.node("Flatten", y), perm=[1, 0]), g.node("Flatten", y), name="mixer"
    ),
    "Einsum": lambda g, y: g.node("Einsum", y, y, equation="nchw,mchw->nm", name="mixer"),
    "the batch as channels": lambda g, y: g.node(
        "Conv", g.node("Transpose", y, perm=[1, 0, 2, 3]), g.random(4, N, 1, 1), name="mixer"
    ),
    "the batch as rows": lambda g, y: g.node(
        "MaxPool", g.node("Transpose", y, perm=[1, 2, 0, 3]), kernel_shape=[2, 2], name="mixer"
    ),
    "ranges of all": lambda g, y: g.node(
        "Cast", g.node("DynamicQuantizeLinear", y, outputs=["q", "s", "z"], name="mixer"), to=TensorProto.FLOAT
    ),
    "another image's part": lambda g, y: g.node(
        "Reshape", g.node("Reshape", y, ints(g, 3, -1), name="mixer"), ints(g, -1, 4, 2, 2)
    ),
    "constants for each image": lambda g, y: g.node("Add", y, g.random(N, 1, 1, 1), name="mixer"),
    "NonZero": lambda g, y: g.node("Cast", g.node("NonZero", y, name="mixer"), to=TensorProto.FLOAT),
    "mean by the number of images": lambda g, y: g.node(
        "Mul", y, g.node("Cast", g.node("Shape", y, start=0, end=1), to=TensorProto.FLOAT), name="mixer"
    ),
    "ScatterND": lambda g, y: g.node("ScatterND", y, ints(g, [0]), g.random(1, 4, 2, 2), name="mixer"),
}


@pytest.mark.parametrize("form", MIXING)
def test_a_node_that_mixes_images_is_named(form):
    g = Graph(1)
    y = g.node("Relu", g.node("Conv", g.input("N", 3, 4, 4), g.random(4, 3, 3, 3)), name="relu")
    y = MIXING[form](g, y)
    proto = g.model(g.node("Identity", y))
    with pytest.raises(UserError, match="is no batch") as caught:
        bind_shapes(load_model(proto))
    assert caught.value.where.startswith("node mixer ("), str(caught.value)
    assert "--shape x=1x3x4x4" in caught.value.fix


def attention(g, x):
    q, k = (g.node("MatMul", x, g.random(6, 6)) for _ in range(2))
    scores = g.node("Softmax", g.node("MatMul", q, g.node("Transpose", k, perm=[0, 2, 1])), axis=-1)
    return g.node("LayerNormalization", g.node("MatMul", scores, x), g.random(6), g.random(6))


def class_token(g, x):
    count = g.node("Shape", x, start=0, end=1)
    token = g.node("Expand", g.random(1, 1, 6), g.node("Concat", count, ints(g, 1, 6), axis=0))
    return g.node("Concat", token, x, axis=1)


def recurrent(g, x):
    steps = g.node("Transpose", x, perm=[1, 0, 2])
    count = g.node("Concat", ints(g, 1), g.node("Shape", x, start=0, end=1), ints(g, 5), axis=0)
    state = g.node("ConstantOfShape", count)
    return g.node("LSTM", steps, g.random(1, 20, 6), g.random(1, 20, 5), "", "", state, state, hidden_size=5)


def unruled(g, x):
    then, other = (
        helper.make_graph(
            [helper.make_node("Mul", [x, x], [f"{name}_y"]) if name == "a" else helper.make_node("Neg", [x], ["b_y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", 1, None)],
        )
        for name in "ab"
    )
    return g.node("If", g.constant(True, "bool"), then_branch=then, else_branch=other)


APART = {
    "attention": attention,
    "class token": class_token,
    "recurrent": recurrent,
    "If": unruled,
    "rows": lambda g, x: g.node(
        "Reshape", g.node("Gemm", g.node("Reshape", x, ints(g, -1, 6)), g.random(6, 3)), ints(g, -1, 4, 3)
    ),
    "flattened wholly": lambda g, x: g.node("Flatten", x, axis=0),
    "transposed": lambda g, x: g.node("Transpose", x, perm=[1, 2, 0]),
    "whole slice": lambda g, x: g.node("Slice", x, ints(g, 0, 0), ints(g, 2**31 - 1, 3), ints(g, 0, 2)),
    "reduced": lambda g, x: g.node("ReduceMean", x, ints(g, 1, 2), keepdims=0),
    "product": lambda g, x: g.node("Einsum", x, g.random(6, 4), equation="nij,jk->kni"),
    "Split and Concat": lambda g, x: g.node(
        "Concat", g.node("Split", x, num_outputs=2, axis=2, outputs=["l", "r"]), "r", axis=1
    ),
    "TopK": lambda g, x: g.node("TopK", x, ints(g, 2), axis=-1, outputs=["t", "i"]),
    "elements": lambda g, x: g.node("GatherElements", x, g.node("ArgMax", x, axis=1), axis=1),
    "cumulative": lambda g, x: g.node("CumSum", x, g.constant(-1, "int64")),
    "looked up": lambda g, x: g.node("Gather", g.random(6, 3), g.node("ArgMax", x, axis=2, keepdims=0)),
    "per image": lambda g, x: g.node("InstanceNormalization", x, g.random(4), g.random(4)),
}


@pytest.mark.parametrize("form", APART)
def test_images_that_stay_apart(form):
    g = Graph(2)
    y = APART[form](g, g.input("N", 4, 6))
    check(g.model(y), {"x": images(N, 4, 6)})


@pytest.mark.parametrize("form", APART)
def test_a_fixed_batch_is_one_where_that_is_proved(form):
    g = Graph(2)
    bound = check(g.model(APART[form](g, g.input(N, 4, 6))), {"x": images(N, 4, 6)})
    assert interface(bound)[0][0].shape == (0, 4, 6)


@pytest.mark.parametrize("form", sorted(set(MIXING) - {"mean by the number of images"}))
def test_a_fixed_axis_that_is_no_batch_is_kept_whole(form):
    g = Graph(1)
    size = 6 if form == "another image's part" else N
    y = g.node("Relu", g.node("Conv", g.input(size, 3, 4, 4), g.random(4, 3, 3, 3)), name="relu")
    proto = g.model(g.node("Identity", MIXING[form](g, y)))
    bound = check(proto, {"x": images(size, 3, 4, 4)})
    assert interface(bound)[0][0].shape == (size, 3, 4, 4)


@pytest.mark.parametrize("target", [[1, 36], [1, -1]])
def test_a_model_for_one_image_that_declares_any_number(target):
    g = Graph(3)
    y = g.node("Reshape", g.node("Relu", g.input("N", 4, 3, 3)), ints(g, *target))
    model = g.model(g.node("Gemm", y, g.random(36, 5)))
    bound = bind_shapes(load_model(model))
    assert interface(bound)[0][0].shape == (1, 4, 3, 3)
    x = images(3, 4, 3, 3)
    inputs, outputs = interface(bound)
    feed = take_apart(inputs, {"x": x})
    found = put_together(outputs[0], [run_model(bound, image)[0] for image in feed.images()], feed, inputs)
    expected = np.concatenate([run_model(model, {"x": x[i : i + 1]})[0] for i in range(3)])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def same_shape_steps(g, rng):
    """Nodes [N, a, b] -> [N, a, b] that leave the images apart, some of them by a way around."""
    one, last = g.constant([1], "int64"), g.constant([-1], "int64")
    return [
        lambda x, a, b: g.node(str(rng.choice(["Relu", "Tanh", "Sigmoid", "Neg", "HardSwish"])), x),
        lambda x, a, b: g.node("Add", x, g.random(*[(b,), (a, 1), (1, a, b)][rng.integers(3)])),
        lambda x, a, b: g.node("MatMul", x, g.random(b, b)),
        lambda x, a, b: g.node("Softmax", x, axis=int(rng.choice([1, 2, -1, -2]))),
        lambda x, a, b: g.node("Sub", x, g.node("ReduceMean", x, [one, last][rng.integers(2)])),
        lambda x, a, b: g.node("Reshape", g.node("Relu", g.node("Reshape", x, ints(g, -1, b))), ints(g, -1, a, b)),
        lambda x, a, b: g.node("Reshape", g.node("Flatten", x), ints(g, 0, a, b)),
        lambda x, a, b: g.node("Squeeze", g.node("Tanh", g.node("Unsqueeze", x, ints(g, 0))), ints(g, 0)),
        lambda x, a, b: g.node(
            "Transpose",
            g.node("CumSum", g.node("Transpose", x, perm=[2, 0, 1]), g.constant(2, "int64")),
            perm=[1, 2, 0],
        ),
        lambda x, a, b: g.node("Conv", x, g.random(a, a, 3), pads=[1, 1]),
        lambda x, a, b: g.node("Gather", x, ints(g, *rng.permutation(a)), axis=1),
        lambda x, a, b: g.node("MatMul", g.node("MatMul", x, g.node("Transpose", x, perm=[0, 2, 1])), x),
        lambda x, a, b: g.node("Einsum", x, g.random(a, a), equation="nab,ac->ncb"),
        lambda x, a, b: g.node("Add", x, g.node("Expand", g.random(1, a, 1), g.node("Shape", x))),
    ]


def mixers(g, rng):
    """Nodes [N, a, b] -> [N, a, b] or [1, a, b] that mix the images."""
    zero = g.constant([0], "int64")
    return [
        lambda x: g.node(str(rng.choice(["ReduceMax", "ReduceSum", "ReduceL2"])), x, zero, name="mixer"),
        lambda x: g.node(str(rng.choice(["Softmax", "LogSoftmax", "LpNormalization"])), x, axis=0, name="mixer"),
        lambda x: g.node("CumSum", x, g.constant(0, "int64"), name="mixer"),
        lambda x: g.node("Slice", x, zero, ints(g, int(rng.integers(1, 200))), zero, name="mixer"),
        lambda x: g.node("Slice", x, last_of(g), ints(g, -1000), zero, ints(g, -1), name="mixer"),
        lambda x: g.node("Gather", x, zero, axis=0, name="mixer"),
        lambda x: g.node("Concat", x, x, axis=0, name="mixer"),
        lambda x: g.node("Tile", x, ints(g, 2, 1, 1), name="mixer"),
        lambda x: g.node("Einsum", x, x, equation="nab,mab->nab", name="mixer"),
    ]


def last_of(g):
    return ints(g, -1)


@pytest.mark.parametrize("seed", range(30))
def test_random_chains(seed):
    """Chains of nodes equal ONNX Runtime on the whole batch; with one node that mixes, that node is named."""
    rng = np.random.default_rng(seed)
    for mixed in (False, True):
        for first in ("N", N):
            g = Graph(seed)
            a, b = (int(size) for size in rng.integers(2, 6, 2))
            x = y = g.input(first, a, b)
            places, steps = int(rng.integers(1, 6)), same_shape_steps(g, rng)
            where = int(rng.integers(places)) if mixed else -1
            for place in range(places):
                y = steps[rng.integers(len(steps))](y, a, b)
                if place == where:
                    options = mixers(g, rng)
                    y = options[rng.integers(len(options))](y)
            model = g.model(g.node("Identity", y))
            told = f"seed {seed}, mixed {mixed}, first {first}, {[node.op_type for node in g.nodes]}"
            if mixed and first == "N":
                with pytest.raises(UserError, match="is no batch") as caught:
                    bind_shapes(load_model(model))
                assert caught.value.where.startswith("node mixer ("), f"{told}: {caught.value}"
            else:
                bound = check(model, {x: images(N, a, b, seed=seed)})
                assert (interface(bound)[0][0].shape[0] == 0) == (not mixed), told
