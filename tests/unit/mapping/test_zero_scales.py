"""Output channels whose weight scale is zero, or next to it: what max|w| / 127 gives for a pruned channel."""

import numpy as np
import pytest

from sliceflow.frontend import load_model
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.runtime.session import Session
from tests.support.models import Graph, run_model

BIASES = ("none", "float", "int32", "int32 at scale 0", "int32 at the scale of the others")


def dead_channels(seed: int, kind: str, bias: str, scale: float) -> tuple[Graph, str]:
    """A quantized Conv, depthwise Conv, Gemm or residual with some or all channels at ``scale``."""
    rng = np.random.default_rng(seed)
    g = Graph(seed)
    channels, side = int(rng.integers(3, 12)), 1 if kind == "Gemm" else 6
    x = g.quantize(g.input(1, channels, *([] if kind == "Gemm" else [side, side])), 0.0625, 7)
    outputs = channels if kind in ("depthwise", "residual") else int(rng.integers(2, 12))
    dead = rng.random(outputs) < rng.choice([0.2, 0.6, 1.0])
    dead[int(rng.integers(outputs))] = True
    scales = np.where(dead, scale, 2.0**-8).astype(np.float32)
    shape = {"Gemm": (outputs, channels), "depthwise": (outputs, 1, 3, 3)}.get(kind, (outputs, channels, 3, 3))
    zeros = rng.integers(-3, 4, outputs) if rng.random() < 0.5 else np.zeros(outputs)
    codes = np.zeros(shape) if rng.random() < 0.3 else rng.integers(-127, 128, shape)
    weights = g.node(
        "DequantizeLinear", g.constant(codes, "int8"), g.constant(scales), g.constant(zeros, "int8"), axis=0
    )
    inputs = [x, weights]
    if bias == "float":
        inputs.append(g.constant(rng.uniform(-2, 2, outputs)))
    elif bias != "none":
        # Powers of two where it matters: ONNX Runtime's float sums are then exact, and so is the comparison.
        usual = np.full(outputs, 0.0625 * 2.0**-8)
        own = {"int32": 0.0625 * scales, "int32 at scale 0": np.where(dead, 0, usual)}.get(bias, usual)
        stored = g.constant(rng.integers(-2000, 2000, outputs), "int32")
        inputs.append(g.node("DequantizeLinear", stored, g.constant(own), axis=0))
    if kind == "Gemm":
        y = g.node("Gemm", *inputs, transB=1)
    else:
        y = g.node("Conv", *inputs, pads=[1] * 4, group=channels if kind == "depthwise" else 1)
    if kind == "residual":
        y = g.node("Add", y, x)
    return g, g.quantize(y, 0.03125, 128)


@pytest.mark.parametrize("scale", [0.0, 1e-38, 1e-44])
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("kind", ["Conv", "depthwise", "Gemm", "residual"])
def test_a_channel_at_scale_zero_is_its_bias(kind: str, bias: str, scale: float) -> None:
    for seed in range(3):
        g, output = dead_channels(seed, kind, bias, scale)
        model = g.model(output)
        x = np.random.default_rng(seed + 50).uniform(-1, 14, [2, *(d for d in _sizes(model)[1:])]).astype(np.float32)
        program = compile_model(load_model(model), Profile.load("int8-8x8"), name="dead", source_sha256="0" * 64)
        assert not [layer.name for layer in program.layers if layer.placement == "cpu"]
        expected = np.concatenate([run_model(model, {"x": image[None]})[0] for image in x])
        (got,) = Session(program, device="reference").run(None, {"x": x})
        steps = np.abs(got - expected) / 0.03125
        assert steps.max() <= 1, (seed, kind, bias)
        assert (steps > 0).mean() < 0.02, (seed, kind, bias)  # rounding ties


def _sizes(model) -> list[int]:
    return [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]


def test_other_channels_keep_their_integers() -> None:
    """The bias of a live channel is not rounded again because another channel is dead."""
    programs = []
    for scale in (2.0**-8, 0.0):
        g = Graph()
        x = g.quantize(g.input(1, 8, 4, 4), 0.0625, 7)
        scales = np.full(4, 2.0**-8, np.float32) * np.float32([1, 1 + 1e-6, 1 - 1e-6, 1])
        scales[3] = scale
        codes = np.random.default_rng(1).integers(-9, 9, (4, 8, 1, 1))
        weights = g.node("DequantizeLinear", g.constant(codes, "int8"), g.constant(scales), axis=0)
        stored = g.constant([2**30 + 1, 2**30 + 3, -(2**30) - 5, 9], "int32")
        bias_scale = 0.0625 * scales * np.float32([1 + 3e-6, 1, 1, 1])
        bias = g.node("DequantizeLinear", stored, g.constant(bias_scale), axis=0)
        model = g.model(g.quantize(g.node("Conv", x, weights, bias), 2.0**18, 128))
        program = compile_model(load_model(model), Profile.load("int8-8x8"), name="dead", source_sha256="0" * 64)
        first = program.descriptors[0].lanes_base * 64
        programs.append(program.program[first : first + 16 * 3].tobytes())
    assert programs[0] == programs[1]
