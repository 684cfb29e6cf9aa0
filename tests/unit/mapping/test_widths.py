"""Integer profiles of other widths: what fits, what is refused and why, and where the accumulator ends."""

import ml_dtypes
import numpy as np
import pytest

from sliceflow.errors import UserError
from sliceflow.frontend import load_model
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import check, compile_model
from sliceflow.reference.numerics import round_half_even_shift
from sliceflow.runtime.session import Session
from tests.support.models import Graph, run_model

ZERO = {"uint8": 128, "uint16": 1 << 15, "int8": 0, "int16": 0}
RANGE = {"int4": (-8, 8), "uint4": (0, 16), "int8": (-128, 128)}


def compiled(model, profile: str) -> Program:
    return compile_model(
        load_model(model), Profile.load(profile), name="width", source_sha256="0" * 64, keep_islands=True
    )


def point(g: Graph, source: str, dtype: str, scale: float = 0.0) -> str:
    """A quantization point; without a scale, -2 to 2 takes all codes."""
    return g.quantize(source, scale or 2.0 ** (2 - 8 * np.dtype(dtype).itemsize), ZERO[dtype], dtype)


def conv(g: Graph, source: str, codes: np.ndarray, dtype: str, *, zero: int = 0, scale: float = 0.0, **more) -> str:
    """A convolution; without a scale, its weights lie between -1/4 and 1/2."""
    scale = scale or (2.0**-5 if dtype.endswith("4") else 2.0**-9)
    kind = getattr(ml_dtypes, dtype, dtype)
    stored = g.constant(codes, kind)  # type: ignore[arg-type]
    parameters = g.constant(scale), g.constant(zero, kind)  # type: ignore[arg-type]
    return g.node("Conv", source, g.node("DequantizeLinear", stored, *parameters), **more)


def network(activations: str, weights: str, *, zero: int = 0, seed: int = 9):
    """A 3x3 convolution with Relu, and a 1x1 convolution; all scales are powers of two."""
    g = Graph(seed)
    x = point(g, g.input(1, 5, 4, 6), activations)
    codes = [g.rng.integers(*RANGE[weights], shape) for shape in ((7, 5, 3, 3), (9, 7, 1, 1))]
    y = point(g, g.node("Relu", conv(g, x, codes[0], weights, zero=zero, pads=[1] * 4)), activations)
    return g.model(point(g, conv(g, y, codes[1], weights, zero=zero), activations))


def images_for(model, count: int = 2) -> np.ndarray:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(1).uniform(-2.5, 2.5, (count, *shape[1:])).astype(np.float32)


@pytest.mark.parametrize(
    ("profile", "activations", "weights", "zero", "planes"),
    [
        ("w4a8-8x8", "uint8", "int4", 0, 1),
        ("w4a8-8x8", "int8", "uint4", 8, 1),
        ("w4a8-8x8", "int8", "uint4", 0, 3),
        ("w4a8-8x8", "int8", "uint4", 15, 2),
        ("int8-4x8", "uint8", "uint4", 3, 1),
        ("w8a16-8x8", "int16", "int8", 0, 1),
        ("w8a16-8x8", "uint16", "int8", 0, 1),
        ("w8a16-8x8", "uint16", "int8", -100, 2),
        ("w8a16-8x8", "uint8", "int8", 0, 1),
    ],
)
def test_what_fits_equals_onnxruntime(profile: str, activations: str, weights: str, zero: int, planes: int) -> None:
    model = network(activations, weights, zero=zero)
    program, images = compiled(model, profile), images_for(network(activations, weights))
    assert [layer.placement for layer in program.layers if layer.placement == "cpu"] == []
    assert [layer.weight_planes for layer in program.descriptors] == [planes, planes]
    expected = np.concatenate([run_model(model, {"x": image[None]})[0] for image in images])
    np.testing.assert_array_equal(Session(program, device="reference").run(None, {"x": images})[0], expected)
    assert len(np.unique(expected)) > 50
    program.weights[int(np.flatnonzero(program.weights)[0])] ^= 0x40
    assert not np.array_equal(Session(program, device="reference").run(None, {"x": images})[0], expected)


@pytest.mark.parametrize(
    ("profile", "activations", "weights", "why", "fix"),
    [
        ("w4a8-8x8", "uint8", "int8", "its weights lie in -1", "--weights int4"),
        ("int8-8x8", "int16", "int8", "quantized to 16 bits, and the activations of int8-8x8 have 8", "16-bit"),
        ("w4a8-8x8", "uint16", "int4", "quantized to 16 bits", "--activations int8"),
    ],
)
def test_widths_that_do_not_fit_are_refused_with_a_remedy(
    profile: str, activations: str, weights: str, why: str, fix: str
) -> None:
    model = network(activations, weights)
    with pytest.raises(UserError, match=f"no layer of the model can run on {profile}") as caught:
        compiled(model, profile)
    assert why in caught.value.why
    assert fix in caught.value.fix
    findings, macs = check(load_model(model), Profile.load(profile))
    assert macs == 0
    found = [finding for finding in findings if finding.op == "Conv"]
    assert [why in finding.reason and fix in finding.fix for finding in found] == [True, True]


@pytest.mark.parametrize("form", ["matmul", "transpose", "quantized constant"])
def test_four_bit_weights_pass_through_the_rewrites(form: str) -> None:
    g = Graph(3)
    x = point(g, g.input(1, 12), "uint8")
    codes = g.rng.integers(-8, 8, (7, 12) if form == "transpose" else (12, 7))
    parameters = [g.constant([2.0**-5] * 7), g.constant([0] * 7, ml_dtypes.int4)]  # type: ignore[arg-type]
    axis = 0 if form == "transpose" else 1
    if form == "quantized constant":
        stored = g.node("QuantizeLinear", g.constant(codes * 2.0**-5), *parameters, axis=axis)
    else:
        stored = g.constant(codes, ml_dtypes.int4)  # type: ignore[arg-type]
    weights = g.node("DequantizeLinear", stored, *parameters, axis=axis)
    if form == "transpose":
        weights = g.node("Transpose", weights, perm=[1, 0])
    model = g.model(point(g, g.node("MatMul", x, weights), "uint8"))
    program = compiled(model, "w4a8-8x8")
    assert [layer.op for layer in program.fpga_layers] == ["Gemm"]
    rows = np.random.default_rng(0).uniform(-2, 2, (3, 12)).astype(np.float32)
    expected = np.concatenate([run_model(model, {"x": row[None]})[0] for row in rows])
    np.testing.assert_array_equal(Session(program, device="reference").run(None, {"x": rows})[0], expected)
    assert len(np.unique(expected)) > 5


def test_functions_stay_on_the_cpu_where_there_is_no_table() -> None:
    g = Graph(3)
    x = point(g, g.input(1, 5, 4, 6), "int16")
    y = point(g, conv(g, x, g.rng.integers(-128, 128, (8, 5, 3, 3)), "int8", pads=[1] * 4), "int16")
    y = point(g, g.node("HardSwish", y), "int16")
    model = g.model(point(g, conv(g, y, g.rng.integers(-128, 128, (4, 8, 1, 1)), "int8"), "int16"))
    program = compiled(model, "w8a16-8x8")
    (layer,) = [layer for layer in program.layers if layer.op == "HardSwish"]
    assert layer.placement == "cpu"
    assert "no function table" in layer.reason
    assert len(program.descriptors) == 2
    images = images_for(model)
    expected = np.concatenate([run_model(model, {"x": image[None]})[0] for image in images])
    got = Session(program, device="reference").run(None, {"x": images})[0]
    assert np.abs(got - expected).max() <= 2.0**-13  # ONNX Runtime may fuse HardSwish, and be a step off before


def test_clamps_and_changes_of_scale_need_no_table() -> None:
    """A tensor's Relu, its Clip and its copy at another scale are concatenated: three layers that only requantize."""
    g = Graph(6)
    x = point(g, g.input(1, 5, 4, 6), "uint16")
    y = point(g, conv(g, x, g.rng.integers(-128, 128, (6, 5, 3, 3)), "int8", pads=[1] * 4), "int16")
    clipped = g.node("Clip", y, g.constant(-0.5), g.constant(0.75))
    parts = [point(g, source, "int16", 2.0**-13) for source in (y, g.node("Relu", y), clipped)]
    model = g.model(point(g, g.node("Concat", *parts, axis=1), "int16", 2.0**-13))
    program = compiled(model, "w8a16-8x8")
    assert [layer.op for layer in program.fpga_layers][1:] == ["rescale", "Relu", "Clip"]
    assert [layer.placement for layer in program.layers if layer.placement == "cpu"] == []
    images = images_for(model)
    expected = np.concatenate([run_model(model, {"x": image[None]})[0] for image in images])
    np.testing.assert_array_equal(Session(program, device="reference").run(None, {"x": images})[0], expected)
    assert len(np.unique(expected)) > 100


def full_sum(channels: int, signs: int, *, relu: bool):
    """A 1x1 convolution with weights of 127, or of 127 and -127 in turns, over int16."""
    g = Graph(4)
    x = g.input(1, channels, 1, 2)
    x = point(g, g.node("Relu", x) if relu else x, "int16")
    codes = np.full((4, channels, 1, 1), 127) * np.where(np.arange(channels) % signs, -1, 1)[None, :, None, None]
    return g.model(point(g, conv(g, x, codes, "int8", scale=2.0**-17), "int16"))


@pytest.mark.parametrize(
    ("channels", "signs", "relu", "fits"),
    [(516, 1, False, True), (517, 1, False, False), (600, 2, False, False), (600, 2, True, True)],
)
def test_a_sum_that_may_leave_the_accumulator_stays_on_the_cpu(
    channels: int, signs: int, relu: bool, fits: bool
) -> None:
    """516 * 127 * 32768 is the last below 2**31. Behind a Relu, weights of both signs do not add up."""
    model = full_sum(channels, signs, relu=relu)
    if fits:
        program = compiled(model, "w8a16-8x8")
        assert len(program.descriptors) == 1
        x = np.full((1, channels, 1, 2), -8, np.float32)  # saturates: the largest sum that there is
        x[..., 1] = np.where(np.arange(channels) % signs, 0, 8)[None, :, None]
        stored = np.clip(x.astype(np.int64) << 14, 0 if relu else -(1 << 15), (1 << 15) - 1)
        sums = (stored * np.where(np.arange(channels) % signs, -127, 127)[None, :, None, None]).sum(1)
        assert np.abs(sums).max() < 1 << 31
        expected = np.clip(round_half_even_shift(sums, 17), -(1 << 15), (1 << 15) - 1) * 2.0**-14
        got = Session(program, device="reference").run(None, {"x": x})[0]
        np.testing.assert_array_equal(got, np.broadcast_to(expected[:, None], got.shape))
        return
    with pytest.raises(UserError, match="no layer") as caught:
        compiled(model, "w8a16-8x8")
    assert "more than an int32 accumulator holds" in caught.value.why
    assert "fewer bits" in caught.value.fix


@pytest.mark.parametrize(("side", "fits"), [(181, True), (182, False)])
def test_an_average_of_too_many_values_stays_on_the_cpu(side: int, fits: bool) -> None:
    """A 16-bit map of 182x182 has more than 2**15 values."""
    g = Graph(5)
    x = point(g, g.input(1, 8, side, side), "int16")
    y = point(g, conv(g, x, g.rng.integers(-128, 128, (8, 8, 1, 1)), "int8"), "int16")
    model = g.model(point(g, g.node("GlobalAveragePool", y), "int16"))
    reasons = {layer.op: layer.reason for layer in compiled(model, "w8a16-8x8").layers if layer.placement == "cpu"}
    assert reasons == {} if fits else "sum may need more than 32" in reasons["GlobalAveragePool"]
