"""Reading, raising and normalizing whole models, against ONNX Runtime on the original."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from sliceflow.errors import UserError
from sliceflow.frontend import OPSET, load_model
from sliceflow.passes import PASSES, normalize
from tests.support.models import Graph, assert_same_outputs, operators, random_cnn, run_model
from tests.support.random_network import quantize_with_onnxruntime, random_network

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), quantized=st.booleans())
def test_random_networks_keep_their_outputs(seed, quantized):
    model = random_cnn(seed, quantized=quantized)
    after = load_model(model)
    left = set(operators(after))
    assert not left & {
        "BatchNormalization",
        "Identity",
        "Dropout",
        "Sum",
        "MatMul",
        "Constant",
        "ReduceMean",
        "Reshape",
    }
    assert len({node.name for node in after.graph}) == len(after.graph)
    # Folding moves float rounding; behind a rounding step of an activation that may be one step of it.
    assert_same_outputs(model, after, steps=1e-4 if not quantized else 0.05)


@pytest.mark.parametrize("seed", range(4))
def test_models_quantized_by_onnx_runtime_keep_every_bit(seed, tmp_path):
    rng = np.random.default_rng(seed)
    options = {"unsigned": seed % 2 == 0, "per_channel": seed < 2, "symmetric": seed in (1, 2)}
    model = quantize_with_onnxruntime(random_network(rng), rng, str(tmp_path), **options)
    assert_same_outputs(model, load_model(model), batches=[1], steps=0)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_normalized_model_is_left_alone(seed):
    after = load_model(random_cnn(seed))
    assert normalize(after) == {}
    assert operators(load_model(after)) == operators(after)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "inception_v1"])
def test_light_models(name):
    path = LIGHT / f"light_{name}.onnx"
    after = load_model(path)
    assert not set(operators(after)) & {"ConstantOfShape", "BatchNormalization", "Unsqueeze", "Sum", "Dropout"}
    value = after.graph.inputs[0]
    expected = onnx.TensorProto.FromString(path.with_name(f"light_{name}_output_0.pb").read_bytes())
    (found,) = run_model(after, {value.name: np.ones(value.shape.numpy(), np.float32)})
    (before,) = run_model(onnx.load(path), {value.name: np.ones(value.shape.numpy(), np.float32)})
    np.testing.assert_allclose(found, before, rtol=1e-4, atol=1e-6)
    assert found.shape == numpy_helper.to_array(expected).shape


def test_fills_of_a_hundred_million_weights_take_no_memory():
    after = load_model(LIGHT / "light_vgg19.onnx")
    largest = max((v.const_value for v in after.graph.initializers.values()), key=lambda tensor: tensor.size)
    assert largest.size == 25088 * 4096
    assert not any(largest.numpy().strides)


def test_every_source_gives_the_same_model(tmp_path):
    proto = random_cnn(3)
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    sources = [path, str(path), path.read_bytes(), proto, ir.from_proto(proto)]
    texts = {ir.to_proto(load_model(source)).SerializeToString() for source in sources}
    assert len(texts) == 1
    assert proto == onnx.load(path), "the source was changed"


def test_mnist_conv_style_auto_pad():
    g = Graph(1, opset=8, ir_version=3)
    kernel = {"dilations": [1, 1], "strides": [1, 1], "kernel_shape": [5, 5], "auto_pad": "SAME_UPPER", "group": 1}
    weights = g.random(8, 1, 5, 5)
    y = g.node("Conv", g.input(1, 1, 28, 28, name="Input3"), weights, name="", **kernel)
    y = g.node("Relu", g.node("Add", y, g.random(8, 1, 1), name=""), name="")
    y = g.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0], auto_pad="NOTSET", name="")
    y = g.node("Reshape", y, g.constant([1, 1568], "int64"), name="")
    matrix = g.node("Reshape", g.random(8, 14, 14, 10), g.constant([1568, 10], "int64"), name="")
    g.output(g.node("Add", g.node("MatMul", y, matrix, name=""), g.random(1, 10), name=""), [1, 10])
    model = g.model()
    for tensor in model.graph.initializer:  # before IR version 4, every initializer was an input too
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    onnx.checker.check_model(model)
    after = load_model(model)
    assert operators(after) == ["Conv", "Relu", "MaxPool", "Flatten", "Gemm"]
    assert [node.name for node in after.graph] == ["Conv_0", "Relu_2", "MaxPool_3", "Reshape_4", "MatMul_6"]
    assert list(after.graph.node(0).attributes["pads"].value) == [2, 2, 2, 2]
    assert after.graph.opset_imports == {"": OPSET}
    assert_same_outputs(model, after, batches=[1])


def test_nodes_may_stand_in_any_order():
    g = Graph(2)
    model = g.model(g.node("Relu", g.node("Conv", g.input("N", 3, 4, 4), g.random(2, 3, 1, 1))))
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert operators(load_model(model)) == ["Conv", "Relu"]


def test_unknown_operators_are_kept():
    g = Graph(3)
    g.domains["some.domain"] = 1
    y = g.node("Mystery", g.node("Conv", g.input("N", 3, 4, 4), g.random(2, 3, 1, 1)), domain="some.domain", level=3)
    after = load_model(g.model(g.node("NotYetInvented", g.node("Relu", y))))
    assert operators(after) == ["Conv", "Mystery", "Relu", "NotYetInvented"]


def test_control_flow_is_kept_and_reads_outer_values():
    g = Graph(4)
    x, c = g.input("N", 3), g.node("Identity", g.random(3))
    branches = {}
    for name, op in (("then_branch", "Add"), ("else_branch", "Mul")):
        node = helper.make_node(op, [x, c], [f"{name}_y"])
        branches[name] = helper.make_graph([node], name, [], [helper.make_tensor_value_info(f"{name}_y", 1, ["N", 3])])
    condition = g.node("Greater", g.node("ReduceSum", x, keepdims=0), g.constant(0.0))
    model = g.model(g.node("If", condition, **branches))
    after = load_model(model)
    assert "If" in operators(after)
    assert_same_outputs(model, after)


def test_functions_are_inlined():
    g = Graph(5)
    g.domains["mine"] = 1
    body = [helper.make_node("Mul", ["a", "a"], ["s"]), helper.make_node("Relu", ["s"], ["b"])]
    g.functions.append(helper.make_function("mine", "Square", ["a"], ["b"], body, [helper.make_opsetid("", 21)]))
    model = g.model(g.node("Square", g.node("Square", g.input("N", 3), domain="mine"), domain="mine"))
    after = load_model(model)
    assert operators(after) == ["Mul", "Relu", "Mul", "Relu"]
    assert_same_outputs(model, after)


def test_shapes_that_depend_on_each_other_are_found():
    g = Graph(6)
    y = g.input("N", 4, 6)
    for _ in range(4):
        sizes = [
            g.node("Slice", g.node("Shape", y), *(g.constant([i], "int64") for i in (a, a + 1))) for a in (0, 2, 1)
        ]
        y = g.node("Reshape", y, g.node("Concat", *sizes, axis=0))
    model = g.model(g.node("Relu", y))
    after = load_model(model)
    assert after.graph.outputs[0].shape == ("N", 4, 6)
    assert "Shape" not in operators(after)
    assert_same_outputs(model, after)


def test_external_data(tmp_path):
    model = random_cnn(11)
    path = tmp_path / "model.onnx"
    onnx.save(random_cnn(11), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size > 0
    assert_same_outputs(model, load_model(path))


def test_external_data_behind_an_offset_and_a_link_inside_the_folder(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    (tmp_path / "real.bin").write_bytes(b"\7" * 5 + array.tobytes() + b"rest")
    (tmp_path / "link.bin").symlink_to("real.bin")
    g = Graph(7)
    model = g.model(g.node("Add", g.input("N", 2, 3), "w"))
    tensor = model.graph.initializer.add(name="w", data_type=1, dims=[2, 3], data_location=1)
    for key, value in {"location": "link.bin", "offset": "5", "length": "24"}.items():
        tensor.external_data.add(key=key, value=value)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    after = load_model(tmp_path / "m.onnx")
    (found,) = run_model(after, {"x": np.zeros((1, 2, 3), np.float32)})
    np.testing.assert_array_equal(found[0], array)


def test_input_shapes_are_written_over_the_models():
    g = Graph(8)
    model = g.model(g.node("Relu", g.node("Conv", g.input("N", 3, "H", "W"), g.random(2, 3, 3, 3))))
    after = load_model(model, input_shapes={"x": [1, 3, 8, 9]})
    assert after.graph.outputs[0].shape == (1, 2, 6, 7)
    with pytest.raises(UserError, match="no input 'y'"):
        load_model(model, input_shapes={"y": [1, 3, 8, 9]})


def test_every_pass_has_a_name_and_one_line():
    for name, kind in PASSES.items():
        assert name == kind.name == name.lower().replace("_", "-")
        assert kind.summary
        assert "\n" not in kind.summary
        assert kind.__doc__


def test_loading_warns_of_nothing(caplog):
    with caplog.at_level(logging.WARNING):
        load_model(random_cnn(12))
    assert not caplog.records
