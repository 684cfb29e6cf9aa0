"""What becomes one layer, and what does not."""

import numpy as np
import onnx_ir as ir
import pytest

from sliceflow.errors import UserError
from sliceflow.graph.descriptor import AddMode, Op, PoolMode, TableMode
from sliceflow.graph.program import FpgaStep, Program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import check, compile_model
from sliceflow.runtime.session import Session
from tests.support.random_network import run_onnxruntime
from tests.unit.mapping.graphs import Graph

PROFILE = Profile.load("int8-8x8")


def compiled(graph: Graph, *outputs: str, **options: object) -> Program:
    return compile_model(
        graph.model(*outputs), PROFILE, name="hand", source_sha256="0" * 64, keep_islands=True, **options
    )


def test_conv_relu_pool_is_one_layer() -> None:
    g = Graph()
    x = g.quant("x")
    y = g.quant(g.op("Relu", g.conv(x, 8, 16)))
    program = compiled(g, g.quant(g.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])))
    (layer,) = program.descriptors
    assert (layer.op, layer.pool_mode, layer.out_low) == (Op.CONV, PoolMode.MAX, 0)


def test_residual_without_quantization_takes_the_accumulator() -> None:
    g = Graph()
    x = g.quant("x")
    program = compiled(g, g.quant(g.op("Add", g.conv(x, 8, 8), x)))
    (layer,) = program.descriptors
    assert layer.add_mode == AddMode.ACCUMULATOR


def test_residual_keeps_the_models_quantization_point() -> None:
    g = Graph()
    x = g.quant("x")
    program = compiled(g, g.quant(g.op("Add", g.quant(g.conv(x, 8, 8)), x)))
    (layer,) = program.descriptors
    assert layer.add_mode == AddMode.REQUANTIZED


def test_a_function_becomes_a_table_before_or_after_the_add() -> None:
    g = Graph()
    x = g.quant("x")
    before = g.quant(g.op("HardSwish", g.quant(g.conv(x, 8, 8))))
    program = compiled(g, g.quant(g.op("Sigmoid", g.quant(g.op("Add", g.conv(before, 8, 8, seed=1), x)))))
    first, second = program.descriptors
    assert first.table_mode == TableMode.BEFORE_ADD
    assert second.table_mode == TableMode.AFTER_ADD


def test_silu_written_out_is_one_table() -> None:
    g = Graph()
    y = g.quant(g.conv(g.quant("x"), 8, 8))
    program = compiled(g, g.quant(g.op("Mul", y, g.quant(g.op("Sigmoid", y), 1 / 256))))
    (layer,) = program.descriptors
    assert layer.table_mode == TableMode.BEFORE_ADD


def test_a_tensor_with_two_readers_ends_its_layer() -> None:
    g = Graph()
    y = g.quant(g.conv(g.quant("x"), 8, 8))
    pooled = g.quant(g.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]))
    program = compiled(g, pooled, g.quant(g.conv(y, 8, 8, seed=1)))
    assert [layer.op for layer in program.descriptors].count(Op.PASS) == 1


def test_concat_costs_no_layer_and_no_copy() -> None:
    g = Graph()
    x = g.quant("x")
    a, b = g.quant(g.conv(x, 8, 3, seed=1)), g.quant(g.conv(x, 8, 13, seed=2))
    program = compiled(g, g.quant(g.conv(g.quant(g.op("Concat", a, b, axis=1)), 16, 4, seed=3)))
    assert len(program.descriptors) == 3
    assert program.descriptors[2].in_slices == 3  # 3 channels in one slice, 13 in two


def test_a_grid_that_is_repeated_before_a_concatenation_costs_no_launch() -> None:
    g = Graph()
    x = g.quant("x")
    pooled = g.quant(g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    narrowed = g.quant(g.op("MaxPool", g.quant(g.conv(x, 8, 8)), kernel_shape=[2, 2], strides=[2, 2]))
    joined = g.quant(g.op("Concat", g.quant(pooled), g.quant(narrowed), axis=1))
    graph_output = g.quant(g.conv(joined, 16, 8, seed=1))
    program = compiled(g, graph_output)
    assert sum(isinstance(step, FpgaStep) for step in program.steps) == 1
    images = np.random.default_rng(0).uniform(-40, 40, (1, 8, 8, 8)).astype(np.float32)
    got = Session(program, device="reference").run(None, {"x": images})[0]
    np.testing.assert_array_equal(got, run_onnxruntime(ir.to_proto(g.model(graph_output)), {"x": images})[0])


def test_pruned_channel_counts_are_reported_with_their_waste() -> None:
    g = Graph(channels=3)
    program = compiled(g, g.quant(g.conv(g.quant("x"), 3, 93)))
    (layer,) = program.fpga_layers
    assert (layer.channels_in, layer.channels_out) == (3, 93)
    assert (layer.channels_in_computed, layer.channels_out_computed) == (8, 96)
    assert layer.lanes_used == pytest.approx(3 * 93 / (8 * 96))
    assert layer.ideal_cycles == 12 * 64


def test_a_node_can_be_kept_on_the_cpu() -> None:
    g = Graph()
    y = g.quant(g.conv(g.quant("x"), 8, 8, name="first"))
    program = compiled(g, g.quant(g.conv(y, 8, 8, seed=1, name="second")), cpu_nodes=["second"])
    placements = {layer.name: layer.placement for layer in program.layers}
    assert (placements["first"], placements["second"]) == ("fpga", "cpu")


def test_unknown_cpu_nodes_are_named() -> None:
    g = Graph()
    with pytest.raises(UserError, match="'nobody'"):
        compiled(g, g.quant(g.conv(g.quant("x"), 8, 8)), cpu_nodes=["nobody"])


def test_check_lists_every_node_in_one_run() -> None:
    g = Graph()
    y = g.quant(g.conv(g.quant("x"), 8, 8))
    soft = g.op("Softmax", y, axis=1, name="soft")
    other = g.op("LRN", y, size=3, name="lrn")
    findings, macs = check(g.model(soft, other), PROFILE)
    assert {(f.node, f.op) for f in findings} == {("soft", "Softmax"), ("lrn", "LRN")}
    assert all(f.reason and f.fix and f.shapes == ("1x8x8x8",) for f in findings)
    assert macs == 8 * 8 * 9 * 64


def test_float_model_on_an_integer_profile_is_told_to_quantize() -> None:
    g = Graph()
    weight = g.constant(np.zeros((4, 8, 3, 3), np.float32))
    with pytest.raises(UserError, match="no layer") as error:
        compiled(g, g.op("Conv", "x", weight, kernel_shape=[3, 3]))
    assert "sliceflow quantize" in str(error.value)


def test_a_sum_that_could_overflow_stays_on_the_cpu() -> None:
    g = Graph(channels=2048, size=2)
    rng = np.random.default_rng(0)
    weights = rng.choice([-128, 127], (3, 2048, 9, 9)).astype(np.int8)
    parameters = (g.constant(np.float32(0.01)), g.constant(np.int8(0)))
    weight = g.op("DequantizeLinear", g.constant(weights), *parameters)
    x = g.quant("x")
    big = g.quant(g.op("Conv", x, weight, name="big", kernel_shape=[9, 9], pads=[4, 4, 4, 4]))
    program = compiled(g, big, g.quant(g.conv(x, 2048, 8, kernel=1, name="small")))
    reasons = {layer.name: layer.reason for layer in program.layers if layer.placement == "cpu"}
    assert "int32" in reasons["big"]


def test_weights_of_nine_bits_are_exact() -> None:
    """Asymmetric weights: every code and zero point, so that each difference from -255 to 255 occurs."""
    rng = np.random.default_rng(0)
    images = rng.integers(-60, 61, (2, 8, 4, 4)).astype(np.float32) / 2
    for zero in (-128, -127, 0, 127):
        g = Graph(size=4)
        codes = np.concatenate([np.arange(-128, 128), np.arange(-128, 128)]).astype(np.int8).reshape(64, 8, 1, 1)
        parameters = (g.constant(np.float32(2**-10)), g.constant(np.int8(zero)))
        weight = g.op("DequantizeLinear", g.constant(codes), *parameters)
        model = g.model(g.quant(g.op("Conv", g.quant("x"), weight, kernel_shape=[1, 1])))
        program = compile_model(model, PROFILE, name="g", source_sha256="0" * 64)
        want = run_onnxruntime(ir.to_proto(model), {"x": images[:1]})[0]
        got = Session(program, device="reference").run(None, {"x": images[:1]})[0]
        np.testing.assert_array_equal(got, want, err_msg=f"zero point {zero}")
