"""Single forms of operators that random networks do not reach, against ONNX Runtime."""

import numpy as np
import pytest

from sliceflow.frontend import load_model
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.runtime.session import Session
from tests.support.models import Graph, run_model


def program_of(model, profile: str) -> Program:
    return compile_model(load_model(model), Profile.load(profile), name="form", source_sha256="0" * 64)


def check_equal(model, profile: str, layers: int, seed: int = 0) -> Program:
    """Everything on the accelerator in so many layers; two images equal (float: within the tolerance)."""
    program = program_of(model, profile)
    assert [layer.op for layer in program.layers if layer.placement == "cpu"] == []
    assert len(program.fpga_layers) == layers
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    images = np.random.default_rng(seed).uniform(-1, 1, (2, *shape[1:])).astype(np.float32)
    got = Session(program, device="reference").run(None, {"x": images})[0]
    expected = np.concatenate([run_model(model, {"x": image[None]})[0] for image in images])
    tolerance = 1e-5 * np.abs(expected).max() + 1e-6 if profile.startswith("fp32") else 0
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance, err_msg=f"seed {seed}")
    return program


def conv(g: Graph, source: str, *shape: int, quantized: bool, **attributes) -> str:
    if not quantized:
        return g.node("Conv", source, g.random(*shape), **attributes)
    codes = g.constant(g.rng.integers(-128, 128, shape), "int8")
    weights = g.node("DequantizeLinear", codes, g.constant(2.0**-9))
    return g.node("Conv", source, weights, **attributes)


def point(g: Graph, source: str, *, quantized: bool, scale: float = 2.0**-6) -> str:
    return g.quantize(source, scale, 128) if quantized else source


@pytest.mark.parametrize("profile", ["fp32-4x4", "int8-8x8"])
class TestForms:
    def test_one_dimensional_convolution_and_pool(self, profile: str) -> None:
        quantized = profile.startswith("int8")
        g = Graph(1)
        x = point(g, g.input(1, 5, 23), quantized=quantized)
        y = conv(g, x, 10, 5, 4, quantized=quantized, strides=[2], pads=[1, 2], dilations=[2])
        y = point(g, y, quantized=quantized)
        y = g.node("MaxPool", y, kernel_shape=[3], strides=[2], pads=[1, 0])
        check_equal(g.model(point(g, y, quantized=quantized)), profile, 1)

    def test_add_of_two_convolutions(self, profile: str) -> None:
        quantized = profile.startswith("int8")
        g = Graph(2)
        x = point(g, g.input(1, 5, 7, 6), quantized=quantized)
        left = point(g, conv(g, x, 9, 5, 3, 3, quantized=quantized, pads=[1] * 4), quantized=quantized)
        right = point(g, conv(g, x, 9, 5, 1, 1, quantized=quantized), quantized=quantized)
        total = g.node("Relu", g.node("Add", left, right))
        check_equal(g.model(point(g, total, quantized=quantized)), profile, 2)

    def test_average_over_a_window_larger_than_the_pool(self, profile: str) -> None:
        quantized = profile.startswith("int8")
        g = Graph(3)
        x = point(g, g.input(1, 3, 40, 33), quantized=quantized, scale=2.0**-7)
        y = g.node("AveragePool", x, kernel_shape=[16, 16], strides=[3, 4], pads=[1, 2, 3, 4], count_include_pad=1)
        program = check_equal(g.model(point(g, y, quantized=quantized, scale=2.0**-10)), profile, 1)
        assert program.fpga_layers[0].op.startswith("AveragePool 16x16")

    @pytest.mark.parametrize("move", ["Concat", "MaxPool"])
    def test_clamp_behind_an_operator_that_only_moves_values(self, profile: str, move: str) -> None:
        quantized = profile.startswith("int8")
        g = Graph(6)
        x = point(g, g.input(1, 5, 7, 6), quantized=quantized)
        left = point(g, conv(g, x, 9, 5, 1, 1, quantized=quantized), quantized=quantized)
        right = point(g, conv(g, x, 6, 5, 1, 1, quantized=quantized), quantized=quantized)
        if move == "Concat":
            moved = g.node("Concat", left, right, axis=1)
        else:
            moved = g.node("MaxPool", left, kernel_shape=[2, 2])
        total = g.node("Relu", moved)
        layers = 3 if move == "Concat" else 2
        check_equal(g.model(point(g, total, quantized=quantized, scale=2.0**-7)), profile, layers)

    def test_windows_that_average_different_counts_stay(self, profile: str) -> None:
        quantized = profile.startswith("int8")
        g = Graph(4)
        x = point(g, g.input(1, 3, 40, 33), quantized=quantized)
        first = point(g, conv(g, x, 3, 3, 1, 1, quantized=quantized), quantized=quantized)
        y = g.node("AveragePool", first, kernel_shape=[16, 16], pads=[1, 1, 1, 1])
        program = program_of(g.model(point(g, y, quantized=quantized)), profile)
        assert "AveragePool" in [layer.op for layer in program.layers if layer.placement == "cpu"]

    def test_flipped_weight_bit_is_caught(self, profile: str) -> None:
        quantized = profile.startswith("int8")
        g = Graph(5)
        x = point(g, g.input(1, 5, 23), quantized=quantized)
        model = g.model(point(g, conv(g, x, 10, 5, 4, quantized=quantized), quantized=quantized))
        program = program_of(model, profile)
        image = np.random.default_rng(5).uniform(-1, 1, (1, 5, 23)).astype(np.float32)
        honest = Session(program, device="reference").run(None, {"x": image})[0]
        program.weights[int(np.flatnonzero(program.weights)[-1])] ^= 0x40
        assert not np.array_equal(honest, Session(program, device="reference").run(None, {"x": image})[0])


@pytest.mark.parametrize("op", ["Relu", "LeakyRelu", "PRelu", "Clip"])
def test_clamps_by_themselves_in_a_float_profile(op: str) -> None:
    g = Graph(6)
    x = g.input(1, 6, 5, 9)
    more = {"PRelu": [g.constant([-0.3])], "Clip": [g.constant(-0.25), g.constant(0.5)]}.get(op, [])
    check_equal(g.model(g.node(op, x, *more)), "fp32-4x4", 1)


def test_a_leaky_relu_is_not_merged_where_its_input_is_read_elsewhere() -> None:
    """Two readers of one tensor, of which one is a leaky ReLU: both see the values before it."""
    g = Graph(7)
    x = g.node("Conv", g.input(1, 3, 6, 6), g.random(4, 3, 1, 1))
    check_equal(g.model(g.node("Add", g.node("LeakyRelu", x, alpha=0.25), x)), "fp32-4x4", 2)
