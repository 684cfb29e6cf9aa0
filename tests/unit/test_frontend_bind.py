"""Fixed shapes."""

from __future__ import annotations

import numpy as np
import pytest

from sliceflow.errors import UserError
from sliceflow.frontend import bind_shapes, interface, load_model
from tests.support.models import Graph, operators, random_cnn, run_model


def all_static(model):
    return all(value.shape is not None and value.shape.is_static() for node in model.graph for value in node.outputs)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("seed", range(5))
def test_a_dynamic_batch(seed, batch):
    model = load_model(random_cnn(seed))
    bound = bind_shapes(model, batch)
    assert all_static(bound)
    assert bound.graph.inputs[0].shape[0] == batch
    assert not model.graph.inputs[0].shape.is_static(), "the model was changed"
    feeds = {"x": np.random.default_rng(seed).normal(size=bound.graph.inputs[0].shape.numpy()).astype(np.float32)}
    for expected, found in zip(run_model(model, feeds), run_model(bound, feeds), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def fixed_batch(target, after):
    g = Graph(1)
    y = g.node("Conv", g.input(4, 3, 4, 4), g.random(6, 3, 3, 3))
    y = g.node("Reshape", y, g.constant(target, "int64"))
    y = g.node("Transpose", y, perm=[0, 2, 1, *range(3, len(target))]) if len(target) > 2 else y
    g.output(g.node("Relu", y), after)
    return g.model()


@pytest.mark.parametrize("target", [[4, 24], [4, -1], [4, 2, 3, 2, 2], [0, 2, -1], [-1, 4, 6]])
def test_a_fixed_batch_becomes_one(target):
    proto = fixed_batch(target, None)
    model = load_model(proto)
    bound = bind_shapes(model)
    assert bound.graph.inputs[0].shape == (1, 3, 4, 4)
    assert all_static(bound)
    x = np.random.default_rng(2).normal(size=(4, 3, 4, 4)).astype(np.float32)
    (whole,) = run_model(proto, {"x": x})
    single = np.concatenate([run_model(bound, {"x": x[i : i + 1]})[0] for i in range(4)])
    np.testing.assert_allclose(single, whole, rtol=1e-5, atol=1e-5)


def test_a_fixed_first_axis_that_is_no_batch_is_kept_whole():
    proto = fixed_batch([2, 2, 24], None)
    bound = bind_shapes(load_model(proto))
    assert bound.graph.inputs[0].shape == (4, 3, 4, 4)
    assert interface(bound)[0][0].shape == (4, 3, 4, 4)
    x = np.random.default_rng(2).normal(size=(4, 3, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(run_model(bound, {"x": x})[0], run_model(proto, {"x": x})[0], rtol=1e-5, atol=1e-5)


def test_an_open_map_needs_a_shape():
    g = Graph(3)
    y = g.node(
        "Conv", g.input("N", 3, "H", "W", name="image"), g.random(2, 3, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER"
    )
    model = load_model(g.model(y))
    with pytest.raises(UserError, match="dimension 2 of an input is open") as caught:
        bind_shapes(model)
    assert "image" in caught.value.where
    assert "--shape image=1x3x224x224" in caught.value.fix
    bound = bind_shapes(model, input_shapes={"image": [1, 3, 9, 8]})
    assert bound.graph.outputs[0].shape == (1, 2, 5, 4)
    assert "auto_pad" not in bound.graph.node(0).attributes


def test_the_batch_symbol_is_followed_on_other_inputs():
    g = Graph(4)
    x, y = g.input("N", 3), g.input(2, "N", 4)
    bound = bind_shapes(load_model(g.model(g.node("Relu", x), g.node("Relu", y))), 2)
    assert [value.shape for value in bound.graph.inputs] == [(2, 3), (2, 2, 4)]
    assert [value.shape for values in interface(bound) for value in values] == 2 * [(0, 3), (2, 0, 4)]


@pytest.mark.parametrize("shape", [[1, 3, 4], [0, 3, 4, 4], [1, 3, -4, 4], [1, 3, 2, 2], [1, 4, 4, 4]])
def test_impossible_shapes_are_refused(shape):
    g = Graph(5)
    model = load_model(g.model(g.node("Conv", g.input("N", 3, "H", "W"), g.random(2, 3, 3, 3))))
    with pytest.raises(UserError):
        bind_shapes(model, input_shapes={"x": shape})


def test_shape_arithmetic_disappears():
    g = Graph(6)
    x = g.input("N", 4, 6)
    half = g.node("Div", g.node("Gather", g.node("Shape", x), g.constant([2], "int64")), g.constant([2], "int64"))
    target = g.node("Concat", g.node("Shape", x, start=0, end=2), half, g.constant([2], "int64"), axis=0)
    bound = bind_shapes(load_model(g.model(g.node("Reshape", x, target))))
    assert operators(bound) == ["Reshape"]
    assert bound.graph.outputs[0].shape == (1, 4, 3, 2)
