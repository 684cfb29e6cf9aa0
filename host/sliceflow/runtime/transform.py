"""Transform layers: host arrays to words of the activation memory and back. Pure NumPy functions.

A host array is one image in the model's layout and type; a device array is ``[slices, H, W, CPI]`` in the stored type
(docs/program.md, section 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.graph.program import Tensor, TransformStep, Unrolling, lane_index
from sliceflow.hardware.profile import Profile


def quantize(real: NDArray[Any], scale: float, zero_point: int, dtype: str) -> NDArray[Any]:
    """QuantizeLinear as ONNX defines it: float32 division, round half to even, saturate.

    Args:
        real: float32 values of any shape. NaN becomes the smallest integer, as in ONNX Runtime on x86.
        scale: positive.
        zero_point: of type ``dtype``.
        dtype: an integer type.
    """
    limits = np.iinfo(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.rint(np.asarray(real, np.float32) / np.float32(scale))
    low, high = limits.min - zero_point, limits.max - zero_point
    steps = np.where(np.isnan(steps), np.float32(low), np.clip(steps, low, high))
    return (steps.astype(np.int32) + zero_point).astype(dtype)


def dequantize(stored: NDArray[Any], scale: float, zero_point: int) -> NDArray[np.float32]:
    """DequantizeLinear as ONNX defines it: ``(q - zero_point) * scale`` in float32."""
    steps: NDArray[np.float32] = (stored.astype(np.int32) - zero_point).astype(np.float32)
    return steps * np.float32(scale)


def stored_dtype(profile: Profile) -> np.dtype[Any]:
    """Type of an activation in the accelerator's memory."""
    return np.dtype("<f4" if profile.is_float else f"<i{profile.activation_bytes}")


def pack(channels_first: NDArray[Any], tensor: Tensor, profile: Profile) -> NDArray[Any]:
    """Lay out one image for the accelerator.

    Args:
        channels_first: ``C*H*W`` values in that order, of the tensor's own type.
        tensor: where the channels stand.
        profile: the accelerator.

    Returns:
        ``[slices, H, W, CPI]`` in the stored type; unused lanes are zero.
    """
    image = _signed(channels_first, tensor).reshape(tensor.channels, tensor.height, tensor.width)
    lanes = np.zeros((tensor.slices * profile.cpi, tensor.height, tensor.width), stored_dtype(profile))
    lanes[lane_index(tensor.runs, profile.cpi)] = image
    words = lanes.reshape(tensor.slices, profile.cpi, tensor.height, tensor.width)
    return np.ascontiguousarray(words.transpose(0, 2, 3, 1))


def _signed(values: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """Values of the tensor's own type, as they are stored."""
    stored = np.ascontiguousarray(values)
    if tensor.stored_offset:  # flipping the top bit subtracts half the range
        stored = (stored ^ stored.dtype.type(tensor.stored_offset)).view(f"i{stored.itemsize}")
    return stored


def unroll(image: NDArray[Any], unrolling: Unrolling, tensor: Tensor, profile: Profile) -> NDArray[Any]:
    """Lay out one image for the accelerator, rearranged as ``Unrolling`` says.

    Args:
        image: ``[C, H, W]`` of the tensor's own type.
        unrolling: what goes where.
        tensor: where the channels stand. Its zero point stands for what lies outside the image.
        profile: the accelerator.

    Returns:
        ``[slices, H', W', CPI]`` in the stored type; unused lanes are zero.
    """
    image = _signed(image, tensor)
    words = np.zeros((tensor.slices, tensor.height, tensor.width, profile.cpi), stored_dtype(profile))
    channels, height, width = image.shape
    rows = [
        _inside(tap * unrolling.dilation_y - unrolling.pad_top, unrolling.stride_y, tensor.height, height)
        for tap in range(unrolling.rows)
    ]
    columns = [
        _inside(tap * unrolling.dilation_x - unrolling.pad_left, unrolling.stride_x, tensor.width, width)
        for tap in range(unrolling.columns)
    ]
    for number, position in enumerate(lane_index(tensor.runs, profile.cpi).tolist()):
        tap, channel = divmod(number, channels)
        (to_rows, from_rows), (to_columns, from_columns) = rows[tap // len(columns)], columns[tap % len(columns)]
        plane = words[position // profile.cpi, :, :, position % profile.cpi]
        plane[...] = tensor.zero_point - tensor.stored_offset
        plane[to_rows, to_columns] = image[channel, from_rows, from_columns]
    return words


def _inside(offset: int, stride: int, cells: int, side: int) -> tuple[slice, slice]:
    """The cells k whose position ``k*stride + offset`` lies in ``0 .. side``, and those positions."""
    first = min(cells, max(0, -(offset // stride)))
    last = min(cells, max(first, (side - 1 - offset) // stride + 1))
    begin = max(0, first * stride + offset)
    return slice(first, last), slice(begin, begin + (last - first) * stride, stride)


def unpack(words: NDArray[Any], tensor: Tensor, profile: Profile) -> NDArray[Any]:
    """Undo ``pack``.

    Args:
        words: ``slices*H*W*CPI`` stored values in that order.
        tensor: where the channels stand.
        profile: the accelerator.

    Returns:
        ``[C, H, W]`` of the tensor's own type.
    """
    shaped = words.reshape(tensor.slices, tensor.height, tensor.width, profile.cpi)
    lanes = shaped.transpose(0, 3, 1, 2).reshape(tensor.slices * profile.cpi, tensor.height, tensor.width)
    image: NDArray[Any] = lanes[lane_index(tensor.runs, profile.cpi)]
    own = np.dtype(tensor.dtype)
    if tensor.stored_offset:
        image = image.astype(f"i{own.itemsize}").view(own)
        image ^= own.type(tensor.stored_offset)
        return image
    return image.astype(own, copy=False)


def to_device(value: NDArray[Any], step: TransformStep, tensor: Tensor, profile: Profile) -> bytes:
    """The bytes to write at the tensor's base: one host value, quantized if it is float, in slices."""
    if step.dtype == "float32" and tensor.dtype != "float32":
        value = quantize(value, tensor.scale, tensor.zero_point, tensor.dtype)
    image = value.astype(tensor.dtype, copy=False)
    if step.unrolling is not None:
        return unroll(image.reshape(step.shape[1:]), step.unrolling, tensor, profile).tobytes()
    return pack(image, tensor, profile).tobytes()


def to_host(data: bytes, step: TransformStep, tensor: Tensor, profile: Profile) -> NDArray[Any]:
    """The host value of a device tensor's bytes, in the step's shape, dequantized if that is float."""
    image = unpack(np.frombuffer(data, stored_dtype(profile)), tensor, profile)
    if step.dtype == "float32" and tensor.dtype != "float32":
        image = dequantize(image, tensor.scale, tensor.zero_point)
    return image.reshape(step.shape)
