"""Roundings and scales against exact fractions, quantization against ONNX Runtime."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from sliceflow.errors import UserError
from sliceflow.onnx_runtime import exact_session
from sliceflow.reference.numerics import dequantize, fixed_point, quantize, rescale, round_half_even_shift, wrap

INT63 = st.integers(-(2**62), 2**62)


@given(INT63, st.integers(0, 62))
def test_rounding_shift_equals_the_rounded_fraction(value, shift):
    # Python rounds fractions half to even.
    assert round_half_even_shift(np.array([value]), shift)[0] == round(Fraction(value, 2**shift))


@given(st.integers(-(2**20), 2**20), st.integers(1, 40))
def test_ties_go_to_even(whole, shift):
    tie = (2 * whole + 1) << (shift - 1)
    rounded = int(round_half_even_shift(np.array([tie]), shift)[0])
    assert rounded % 2 == 0
    assert abs(2 * rounded - (2 * whole + 1)) == 1


@given(st.integers(-(2**31), 2**31 - 1), st.floats(2.0**-38, 2.0**20, width=32), st.integers(-128, 127))
def test_rescaling_multiplies_by_exactly_the_float32_scale(value, scale, zero):
    multiplier, shift = fixed_point(np.array([scale], np.float32))
    assert Fraction(int(multiplier[0]), 2 ** int(shift[0])) == Fraction(scale)
    assert 2**23 <= multiplier[0] < 2**24
    rescaled = rescale(np.array([value]), multiplier.astype(np.int64), shift, zero)
    assert rescaled[0] == zero + round(value * Fraction(scale))


@given(st.floats(-(2.0**-38), 2.0**-38, width=32))
def test_tiny_scales_keep_a_shift_of_62_at_most(scale):
    multiplier, shift = fixed_point(np.array(scale, np.float32))
    assert shift <= 62
    assert int(multiplier) == round(Fraction(scale) * 2 ** int(shift))


@pytest.mark.parametrize("scale", [2.0**24, 1.5 * 2.0**29, -(2.0**30)])
def test_large_scales_have_no_shift(scale):
    multiplier, shift = fixed_point(np.array(scale, np.float32))
    assert (int(multiplier), int(shift)) == (scale, 0)


@pytest.mark.parametrize("scale", [np.inf, np.nan, 2.0**31, 1e38])
def test_impossible_scales_are_refused(scale):
    with pytest.raises(UserError, match="a scale"):
        fixed_point(np.array([1, scale], np.float32))


@given(st.integers(-(2**40), 2**40), st.sampled_from([8, 16, 32]))
def test_wrapping_keeps_the_low_bits(value, bits):
    wrapped = int(wrap(np.array([value]), bits)[0])
    assert (value - wrapped) % 2**bits == 0
    assert -(2 ** (bits - 1)) <= wrapped < 2 ** (bits - 1)


def onnxruntime(op: str, inputs: dict[str, np.ndarray], output_type: int) -> np.ndarray:
    types = {name: helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in inputs.items()}
    graph = helper.make_graph(
        [helper.make_node(op, list(inputs), ["y"])],
        op,
        [helper.make_tensor_value_info(name, types[name], value.shape) for name, value in inputs.items()],
        [helper.make_tensor_value_info("y", output_type, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return exact_session(model.SerializeToString(), where=op).run(None, inputs)[0]


@pytest.mark.parametrize(("dtype", "onnx_type"), [(np.uint8, TensorProto.UINT8), (np.int8, TensorProto.INT8)])
def test_quantization_equals_onnxruntime(dtype, onnx_type):
    rng = np.random.default_rng(3)
    limits = np.iinfo(dtype)
    for scale in (np.float32(0.0371), np.float32(0.5), np.float32(2.0**-7), np.float32(1e-6)):
        zero = dtype(rng.integers(limits.min, limits.max + 1))
        ties = (np.arange(-300, 300) + 0.5) * scale
        wide = rng.normal(size=2000) * 200 * scale
        real = np.concatenate([ties, wide, [0, 1e30, -1e30, np.inf, -np.inf]]).astype(np.float32)
        ours = quantize(real, scale, int(zero), dtype)
        theirs = onnxruntime("QuantizeLinear", {"x": real, "s": np.array(scale), "z": np.array(zero)}, onnx_type)
        assert ours.dtype == dtype
        assert np.array_equal(ours, theirs), (scale, zero)
        every = np.arange(limits.min, limits.max + 1).astype(dtype)
        back = onnxruntime(
            "DequantizeLinear", {"x": every, "s": np.array(scale), "z": np.array(zero)}, TensorProto.FLOAT
        )
        assert np.array_equal(dequantize(every, scale, int(zero)), back)


def test_not_a_number_becomes_the_zero_point():
    assert quantize(np.array([np.nan], np.float32), 0.1, 7, np.uint8)[0] == 7
