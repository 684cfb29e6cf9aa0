"""The reference against ONNX Runtime's integer operators and exact fractions."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from onnx import TensorProto, helper

from sliceflow.graph.descriptor import AddMode, Descriptor, Op, PoolMode
from sliceflow.graph.validate import validate_program
from sliceflow.hardware.profile import Profile
from sliceflow.onnx_runtime import exact_session
from sliceflow.reference.machine import execute
from sliceflow.reference.numerics import fixed_point
from tests.support.logical_layer import Convolution, Packed, output, pack

PROFILES = [
    Profile.load("int8-8x8"),
    dataclasses.replace(Profile.load("int8-4x4"), name="int8-4x8", cpo=8),
]


def onnx_type(array: np.ndarray) -> int:
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def onnxruntime(op: str, inputs: dict[str, np.ndarray], constants: dict[str, np.ndarray] | None = None, **attributes):
    names = [*inputs, *(constants or {})]
    names = ["x", "", "scales"] if op == "Resize" else names
    result = TensorProto.INT32 if op == "ConvInteger" else onnx_type(inputs["x"])
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], **attributes)],
        op,
        [helper.make_tensor_value_info(k, onnx_type(v), v.shape) for k, v in inputs.items()],
        [helper.make_tensor_value_info("y", result, None)],
        [helper.make_tensor(k, onnx_type(v), v.shape, v.tobytes(), raw=True)
         for k, v in (constants or {}).items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return exact_session(model.SerializeToString(), where=op).run(None, inputs)[0]


def random_convolution(rng: np.random.Generator, kind: str) -> Convolution:
    group = int(rng.integers(*{"grouped": (2, 4), "depthwise": (2, 20)}.get(kind, (1, 2))))
    inputs, outputs = (1, 1) if kind == "depthwise" else (int(n) for n in rng.integers(1, 24, 2))
    inputs = int(rng.integers(1, 200)) if kind == "pointwise" else inputs
    kernel = (1, 1) if kind == "pointwise" else tuple(rng.integers(1, 8, 2).tolist())
    dilations = tuple(rng.integers(1, 5, 2).tolist())
    pads = tuple(rng.integers(0, 4, 4).tolist())
    size = [
        int(rng.integers(1, 12)) + max(0, d * (k - 1) - low - high)
        for d, k, low, high in zip(dilations, kernel, pads[:2], pads[2:], strict=True)
    ]
    return Convolution(
        x=rng.integers(0, 256, (group * inputs, *size), np.uint8),
        x_zero=int(rng.integers(256)),
        w=rng.integers(-128, 128, (group * outputs, inputs, *kernel), np.int8),
        bias=rng.integers(-(2**16), 2**16, group * outputs),
        group=group,
        strides=tuple(rng.integers(1, 4, 2).tolist()),
        pads=pads,
        dilations=dilations,
    )


def accumulators(conv: Convolution) -> np.ndarray:
    """What ONNX Runtime's ConvInteger says, plus the bias."""
    sums = onnxruntime(
        "ConvInteger", {"x": conv.x[None], "w": conv.w, "zero": np.array(conv.x_zero, np.uint8)}, group=conv.group,
        strides=conv.strides, pads=conv.pads, dilations=conv.dilations,
    )  # fmt: skip
    return sums[0].astype(np.int64) + conv.bias[:, None, None]


def run(packed: Packed, profile: Profile) -> np.ndarray:
    words = packed.activations.size // profile.word_bytes
    validate_program([packed.layer], profile, packed.program.size, packed.weights.size, words)
    execute(packed.layer, profile, packed.program, packed.weights, packed.activations)
    return output(packed, profile)


def exact(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """``clamp(values * scale)`` with fractions, one scale for each channel."""
    factors = np.broadcast_to(scales[:, None, None], values.shape).ravel().tolist()
    rounded = [round(v * Fraction(factor)) for v, factor in zip(values.ravel().tolist(), factors, strict=True)]
    return np.clip(np.array(rounded).reshape(values.shape), -128, 127)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@pytest.mark.parametrize("kind", ["dense", "pointwise", "grouped", "depthwise"])
def test_convolutions_equal_conv_integer(kind, profile):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        conv = random_convolution(rng, kind)
        expected = accumulators(conv)
        scales = (rng.uniform(20, 90, len(conv.w)) / (np.abs(expected).max(axis=(1, 2)) + 1)).astype(np.float32)
        packed = pack(conv, profile, list(zip(*(v.tolist() for v in fixed_point(scales)), strict=True)), rng)
        assert np.array_equal(run(packed, profile), exact(expected, scales)), f"seed {seed}"


def test_a_flipped_weight_bit_shows():
    profile, changed = PROFILES[0], 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        conv = random_convolution(rng, "dense")
        packed = pack(conv, profile, [(1, 8)] * len(conv.w), rng)
        good = run(packed, profile)
        packed.weights[0] ^= 0x40
        changed += not np.array_equal(good, run(packed, profile))
    assert changed > 5


def test_accumulator_add_rounds_the_exact_sum_once():
    profile = PROFILES[0]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        conv = random_convolution(rng, "dense")
        sums = accumulators(conv)
        scales = (rng.uniform(20, 90, len(conv.w)) / (np.abs(sums).max(axis=(1, 2)) + 1)).astype(np.float32)
        (m, k), (other_m, other_k) = fixed_point(scales), fixed_point(np.float32(rng.uniform(0.3, 1.5)))
        packed = pack(conv, profile, list(zip(m.tolist(), k.tolist(), strict=True)), rng)
        layer = packed.layer
        records = packed.program[512:].copy().reshape(-1, 16)
        right = np.maximum(records[:, 8], int(other_k))
        records[:, 9], records[:, 10], records[:, 11] = right - records[:, 8], right - int(other_k), right
        packed.program = np.concatenate([packed.program[:512], records.ravel()])
        layer.add_mode, layer.add_base = int(AddMode.ACCUMULATOR), packed.activations.size // profile.word_bytes
        layer.add_other_zero, layer.add_other_multiplier, layer.add_zero = -7, int(other_m), 3
        layer.add_low, layer.add_high = -100, 120
        words = packed.activations.size - layer.out_base * profile.word_bytes
        addend = rng.integers(0, 256, words, np.uint8)
        packed.activations = np.concatenate([packed.activations, addend])
        shape = (layer.out_slices, layer.conv_height, layer.conv_width, profile.cpi)
        b = addend.view(np.int8).reshape(shape).transpose(0, 3, 1, 2).reshape(-1, *shape[1:3])[: len(conv.w)]
        other = Fraction(int(other_m), 2 ** int(other_k))
        factors = np.broadcast_to(scales[:, None, None], sums.shape)
        triples = zip(sums.ravel().tolist(), b.ravel().tolist(), factors.ravel().tolist(), strict=True)
        total = [round(v * Fraction(factor) + (q + 7) * other) for v, q, factor in triples]
        expected = np.clip(np.array(total).reshape(sums.shape) + 3, -100, 120)
        assert np.array_equal(run(packed, profile), expected), f"seed {seed}"


def pass_layer(rng: np.random.Generator, profile: Profile, **changes) -> tuple[np.ndarray, Packed]:
    """A PASS layer over a random map of one slice, with an averaging record for each count in beat 12."""
    height, width = (int(n) for n in rng.integers(4, 13, 2))
    x = rng.integers(-128, 128, (profile.cpi, height, width), np.int8)
    layer = Descriptor(op=Op.PASS, in_height=height, in_width=width, conv_height=height, conv_width=width,
                       pool_height=height, pool_width=width, requantize=0, lanes_base=8, pool_scales_base=12,
                       pool_low=-128, pool_high=127, out_base=height * width)  # fmt: skip
    layer = dataclasses.replace(layer, **{k: v(layer) if callable(v) else v for k, v in changes.items()})
    layer.strip_rows = layer.conv_height if layer.pool_is_global else layer.pool_height
    counts = np.arange(65, dtype=np.float32)
    counts[0] = height * width
    factors, shifts = fixed_point(1 / counts)
    scales = np.stack([factors.astype(np.uint32), shifts.astype(np.uint32)], axis=1)
    program = np.zeros(64 * 32, np.uint8)
    program[12 * 64 : 12 * 64 + scales.nbytes] = scales.view(np.uint8).ravel()
    words = x.transpose(1, 2, 0).reshape(-1, profile.cpi)
    memory = np.concatenate([words, np.zeros((layer.out_height * layer.out_width, profile.cpi), np.int8)])
    place = [(0, lane) for lane in range(profile.cpi)]
    return x, Packed(layer, program, np.zeros(0, np.uint8), memory.view(np.uint8).ravel(), place)


def random_window(rng: np.random.Generator) -> dict[str, list[int]]:
    kernel = rng.integers(1, 5, 2)
    return {
        "kernel_shape": kernel.tolist(),
        "strides": rng.integers(1, 4, 2).tolist(),
        "pads": [*(rng.integers(0, kernel)).tolist(), *(rng.integers(0, kernel)).tolist()],
    }


def window_fields(window: dict[str, list[int]], *, count_pads: bool = False) -> dict[str, object]:
    def size(axis):
        side = ("conv_height", "conv_width")[axis]
        pads = window["pads"][axis] + window["pads"][2 + axis]
        return lambda d: (getattr(d, side) + pads - window["kernel_shape"][axis]) // window["strides"][axis] + 1

    fields = {"pool_height": size(0), "pool_width": size(1)}
    fields |= dict(zip(("pool_window_y", "pool_window_x"), window["kernel_shape"], strict=True))
    fields |= dict(zip(("pool_stride_y", "pool_stride_x"), window["strides"], strict=True))
    fields |= dict(zip(("pool_pad_top", "pool_pad_left"), window["pads"][:2], strict=True))
    if count_pads:
        names = ("pool_count_top", "pool_count_left", "pool_count_bottom", "pool_count_right")
        fields |= dict(zip(names, window["pads"], strict=True))
    return fields


def test_max_pools_equal_onnxruntime():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        window = random_window(rng)
        x, packed = pass_layer(rng, PROFILES[0], pool_mode=PoolMode.MAX, **window_fields(window))
        expected = onnxruntime("MaxPool", {"x": x[None]}, **window)[0]
        assert np.array_equal(run(packed, PROFILES[0]), expected), (seed, window)


@pytest.mark.parametrize("count_pads", [False, True])
def test_average_pools_round_what_onnxruntime_averages(count_pads):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        window = random_window(rng)
        x, packed = pass_layer(
            rng, PROFILES[0], pool_mode=PoolMode.AVERAGE, pool_in_zero=5, pool_out_zero=-3,
            **window_fields(window, count_pads=count_pads),
        )  # fmt: skip
        real = x.astype(np.float32) - 5
        averages = onnxruntime("AveragePool", {"x": real[None]}, count_include_pad=int(count_pads), **window)[0]
        expected = np.clip(averages - 3, -128, 127)
        assert np.abs(run(packed, PROFILES[0]) - expected).max() <= 0.5001, (seed, window)


def test_global_pools_equal_numpy():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        sides = {"pool_height": 1, "pool_width": 1}
        x, packed = pass_layer(rng, PROFILES[0], pool_mode=PoolMode.GLOBAL_MAX, **sides)
        assert np.array_equal(run(packed, PROFILES[0])[:, 0, 0], x.max(axis=(1, 2)))
        x, packed = pass_layer(rng, PROFILES[0], pool_mode=PoolMode.GLOBAL_AVERAGE, **sides)
        assert np.abs(run(packed, PROFILES[0])[:, 0, 0] - x.mean(axis=(1, 2))).max() <= 0.5001


def test_upsampling_equals_nearest_resize():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        factors = rng.integers(1, 4, 2).tolist()
        x, packed = pass_layer(rng, PROFILES[0], upsample_y=factors[0], upsample_x=factors[1])
        expected = onnxruntime(
            "Resize", {"x": x[None]}, {"scales": np.array([1, 1, *factors], np.float32)}, mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )[0]  # fmt: skip
        assert np.array_equal(run(packed, PROFILES[0]), expected), seed


def test_statistics_count_what_the_clamp_changes():
    profile = PROFILES[0]
    rng = np.random.default_rng(1)
    conv = random_convolution(rng, "dense")
    packed = pack(conv, profile, [(1, 10)] * len(conv.w), rng)
    packed.layer.out_low = 0
    statistics = execute(packed.layer, profile, packed.program, packed.weights, packed.activations)
    exact_values = np.array([round(Fraction(int(v), 1024)) for v in accumulators(conv).ravel()])
    seen = statistics.saturation["requantize"]
    assert seen.below == (exact_values < 0).sum()
    assert seen.above == (exact_values > 127).sum()
    assert statistics.overflows == 0
    # A bias beyond 32 bits together with its sum wraps, and is counted.
    packed.program = packed.program.copy()
    packed.program[512:516] = np.frombuffer(np.int32(2**31 - 1).tobytes(), np.uint8)
    statistics = execute(packed.layer, profile, packed.program, packed.weights, packed.activations)
    sums = accumulators(conv)[0] - conv.bias[0] + (conv.x_zero - 128) * int(conv.w[0].astype(int).sum())
    assert statistics.overflows == (sums > 0).sum()
