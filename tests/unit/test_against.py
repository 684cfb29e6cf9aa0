"""What a device computes against what a model means: every layer by itself, and the one at fault by its name."""

import dataclasses
import tempfile

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from sliceflow.devices import open_device
from sliceflow.errors import UserError
from sliceflow.frontend import load_model
from sliceflow.graph.program import Program, TransformStep
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.quantization import CalibrationData, quantize
from sliceflow.runtime.against import AgainstReport, compare_with_onnx, float_names
from tests.support.random_network import quantize_with_onnxruntime, random_network


def loaded(model: onnx.ModelProto) -> ir.Model:
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, f"{folder}/m.onnx")
        return load_model(f"{folder}/m.onnx")


def compiled(model: onnx.ModelProto, profile: str = "int8-8x8") -> Program:
    return compile_model(loaded(model), Profile.load(profile), name="m", source_sha256="0" * 64)


def images(model: onnx.ModelProto, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    return {"x": rng.standard_normal((count, *shape)).astype(np.float32)}


def against(program: Program, model: onnx.ModelProto, feed: dict[str, np.ndarray], **options) -> AgainstReport:
    device = open_device("reference", program, threads=1)
    try:
        return compare_with_onnx(program, device, feed, model.SerializeToString(), 1, **options)
    finally:
        device.close()


def negated(model: onnx.ModelProto, conv: onnx.NodeProto) -> onnx.ModelProto:
    """The model with the weights of one layer negated."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    dequantizers = {node.output[0]: node.input[0] for node in copy.graph.node if node.op_type == "DequantizeLinear"}
    name = dequantizers.get(conv.input[1], conv.input[1])
    tensor = next(tensor for tensor in copy.graph.initializer if tensor.name == name)
    array = numpy_helper.to_array(tensor)
    lowest = np.iinfo(array.dtype).min + 1 if array.dtype.kind == "i" else -np.inf
    tensor.CopyFrom(numpy_helper.from_array(-np.maximum(array, lowest).astype(array.dtype), name))
    return copy


def layer_of(program: Program, node: str) -> str:
    return next(layer.name for layer in program.layers if node in layer.nodes)


def convolutions(model: onnx.ModelProto, program: Program) -> list[onnx.NodeProto]:
    """Layers with weights that some output depends on."""
    live = {name for layer in program.fpga_layers for name in layer.nodes}
    return [node for node in model.graph.node if node.op_type in ("Conv", "Gemm") and node.name in live]


def foreign(seed: int) -> tuple[onnx.ModelProto, np.random.Generator]:
    rng = np.random.default_rng(seed)
    options = {"unsigned": seed % 2 == 1, "per_channel": seed % 3 > 0, "symmetric": True}
    with tempfile.TemporaryDirectory() as folder:
        return quantize_with_onnxruntime(random_network(rng), rng, folder, **options), rng


@pytest.mark.parametrize("seed", range(12))
def test_foreign_networks_keep_to_their_model(seed):
    model, rng = foreign(seed)
    program = compiled(model)
    report = against(program, model, images(model, 2, rng))
    assert report.match, report.first_mismatch
    assert report.kind == "quantized"
    named = {layer["layer"] for layer in report.layers} | set(report.not_compared)
    assert {layer.name for layer in program.fpga_layers} <= named
    assert max(layer["max_error"] for layer in report.layers if layer["in_steps"]) <= 1.001


@pytest.mark.parametrize("seed", range(12))
def test_the_layer_at_fault_is_named(seed):
    model, rng = foreign(seed)
    program, feed = compiled(model), images(model, 1, rng)
    weighted = convolutions(model, program)
    conv = weighted[int(rng.integers(len(weighted)))]
    wrong = against(program, negated(model, conv), feed)
    assert not wrong.match
    guilty = layer_of(program, conv.name)
    # A layer that the model has no value for is found in the next one.
    assert wrong.first_mismatch["layer"] == guilty or guilty in wrong.not_compared
    assert sum(not layer["match"] for layer in wrong.layers) == 1


@pytest.mark.parametrize("seed", range(6))
def test_the_float_model_behind_a_quantized_program(seed):
    rng = np.random.default_rng(100 + seed)
    model = random_network(rng)
    feed = images(model, 8, rng)
    quantized = quantize(loaded(model), CalibrationData(feed)).model
    program = compile_model(quantized, Profile.load("int8-8x8"), name="m", source_sha256="0" * 64)
    names = float_names(ir.to_proto(quantized).SerializeToString())
    right = against(program, model, feed, names=names, decibels=15.0)
    assert right.match, (right.outputs, right.first_mismatch)
    assert (right.kind, right.first_mismatch) == ("float", None)
    for conv in convolutions(model, program):
        wrong = against(program, negated(model, conv), feed, names=names, decibels=15.0)
        guilty = layer_of(program, conv.name)
        if not wrong.match:  # what follows may hide it from the output
            assert wrong.first_mismatch["layer"] == guilty or guilty in wrong.not_compared


@pytest.mark.parametrize("side", [4, 5, 7])
def test_an_unrolled_stem_with_as_many_elements_as_its_image(side):
    # A patch embedding: the kernel is as large as its step, so what the host lays out has the image's size.
    rng = np.random.default_rng(side)
    weights = numpy_helper.from_array(rng.standard_normal((16, 3, side, side)).astype(np.float32), "w")
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Conv", ["x", "w"], ["y"], name="patches", strides=[side, side])],
            "stem",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 12 * side, 12 * side])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 16, 12, 12])],
            [weights],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=10,
    )
    feed = images(model, 2, rng)
    quantized = quantize(loaded(model), CalibrationData(feed)).model
    profile = dataclasses.replace(Profile.load("int8-8x8"), mhz=1.0)  # so slow that unrolling always pays
    program = compile_model(quantized, profile, name="m", source_sha256="0" * 64)
    assert any(isinstance(step, TransformStep) and step.unrolling for step in program.steps)
    right = against(program, ir.to_proto(quantized), feed)
    assert right.match, right.first_mismatch
    proto = ir.to_proto(quantized)
    conv = next(node for node in proto.graph.node if node.op_type == "Conv")
    assert against(program, negated(proto, conv), feed).first_mismatch["layer"] == layer_of(program, conv.name)


def test_the_float_profile_and_a_wrong_weight():
    rng = np.random.default_rng(7)
    model = random_network(rng)
    program, feed = compiled(model, "fp32-4x4"), images(model, 2, rng)
    assert against(program, model, feed).match
    conv = convolutions(model, program)[0]
    wrong = against(program, negated(model, conv), feed)
    assert not wrong.match
    assert wrong.first_mismatch["layer"] == layer_of(program, conv.name)


def test_another_model_is_refused():
    model, rng = foreign(0)
    program = compiled(model)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    last = other.graph.output[0].name
    for node in other.graph.node:
        node.output[:] = ["other" if name == last else name for name in node.output]
    other.graph.output[0].name = "other"
    with pytest.raises(UserError, match="has no output 'y'"):
        against(program, other, images(model, 1, rng))
    with pytest.raises(UserError, match="cannot be read"):
        compare_with_onnx(program, open_device("reference", program, threads=1), {}, b"\xff nothing", 1)
