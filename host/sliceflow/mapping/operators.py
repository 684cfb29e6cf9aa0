"""Single operators as the array or the stages do them: convolution, fully connected, pools, nearest resize."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from sliceflow.graph.descriptor import PoolMode
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.onnx_view import Quant, Weights, bias_of, chw, weights_of, with_live_scales
from sliceflow.mapping.plan import Kernel, Refusal, TensorSpec
from sliceflow.passes.view import attribute, constant, input_at, is_op, static_shape


def read_kernel(node: ir.Node, source: TensorSpec, *, is_float: bool) -> Kernel | Refusal:
    """Weights, bias and geometry of a Conv or a canonical Gemm whose input is ``source``."""
    weights = weights_of(input_at(node, 1))
    if weights is None:
        return Refusal(
            "its weights are not constant, or not quantized to 4 or 8 bits, per tensor or per output channel",
            "export the model with constant weights, quantized along axis 0",
        )
    if is_float != (weights.values.dtype == np.float32):
        return Refusal(
            "its weights are quantized but the profile computes in float"
            if is_float
            else "its weights are not quantized",
            "choose an integer profile" if is_float else "quantize the model with `sliceflow quantize`",
            "" if is_float else "input",
        )
    if is_float and not np.isfinite(weights.values).all():
        return Refusal("its weights hold NaN or infinity", "train or export the model again")
    if source.quant is not None:
        weights = with_live_scales(weights, input_at(node, 2), source.quant)
    if node.op_type == "Gemm":
        return _gemm_kernel(node, source, weights, is_float=is_float)
    values = weights.values[:, :, None, :] if weights.values.ndim == 3 else weights.values
    if values.ndim != 4:
        return Refusal(f"its weights have {values.ndim} dimensions", "only 1-D and 2-D convolution is mapped")
    bias = _bias(node, weights, source.quant)
    if isinstance(bias, Refusal):
        return bias
    pad = _padding(node)
    if min(pad) < 0:
        return Refusal("its padding is negative", "crop the input with Slice before it")
    return Kernel(
        weights=values,
        scale=weights.scale,
        bias=bias,
        stride=_pair(node, "strides"),
        dilation=_pair(node, "dilations"),
        pad=pad,
        group=int(attribute(node, "group", 1)),
    )


def _pair(node: ir.Node, name: str) -> tuple[int, int]:
    """An attribute for rows and columns, 1 where it is absent; a 1-D operator works along the columns."""
    found = [int(n) for n in attribute(node, name, [])][-2:]
    rows, columns = [1] * (2 - len(found)) + found
    return rows, columns


def _padding(node: ir.Node) -> tuple[int, int, int, int]:
    """(top, left, bottom, right)."""
    pads = [int(p) for p in attribute(node, "pads", [0, 0, 0, 0])]
    top, left, bottom, right = pads if len(pads) == 4 else (0, pads[0], 0, pads[-1])
    return top, left, bottom, right


def _gemm_kernel(node: ir.Node, source: TensorSpec, weights: Weights, *, is_float: bool) -> Kernel | Refusal:
    plain = attribute(node, "transB", 0) == 1 and attribute(node, "transA", 0) == 0
    if not plain or attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0:
        return Refusal(
            "its bias differs from row to row, or its weights cannot be brought to transB=1, alpha=1, beta=1",
            "export it as a product of a vector and a constant matrix, plus a vector",
        )
    if weights.values.ndim != 2 or weights.values.shape[1] != math.prod(source.size):
        return Refusal("its weights do not match its input", "check the model")
    bias = _bias(node, weights, source.quant)
    if isinstance(bias, Refusal):
        return bias
    return Kernel(weights=weights.values[:, :, None, None], scale=weights.scale, bias=bias)


def _bias(node: ir.Node, weights: Weights, quant: Quant | None) -> np.ndarray | Refusal:
    value = input_at(node, 2)
    if quant is None:
        array = constant(value)
        if value is not None and (array is None or array.size != weights.values.shape[0]):
            return Refusal("its bias is not a constant vector", "export the model with constant biases")
        zeros = np.zeros(weights.values.shape[0], np.float32)
        return zeros if array is None else array.reshape(-1).astype(np.float32)
    bias = bias_of(value, quant.scale * weights.scale)
    if bias is None:
        return Refusal("its bias is not a constant vector", "export the model with constant biases")
    return bias


POOLS = {
    "MaxPool": (PoolMode.MAX, PoolMode.GLOBAL_MAX),
    "AveragePool": (PoolMode.AVERAGE, PoolMode.GLOBAL_AVERAGE),
    "GlobalMaxPool": (PoolMode.GLOBAL_MAX, PoolMode.GLOBAL_MAX),
    "GlobalAveragePool": (PoolMode.GLOBAL_AVERAGE, PoolMode.GLOBAL_AVERAGE),
}


class PoolShape:
    """Mode, window, stride and padding of a pooling node over a map of a given size."""

    def __init__(self, node: ir.Node, size: tuple[int, int]) -> None:
        windowed, whole = POOLS[node.op_type]
        output = chw(static_shape(node.outputs[0]))
        self.out_size = output[1:] if output is not None else (0, 0)
        self.window = size
        self.stride, self.pad, self.count = (1, 1), (0, 0), (0, 0, 0, 0)
        self.mode = whole
        if windowed is whole:
            return
        kernel, pads = _pair(node, "kernel_shape"), _padding(node)
        if kernel == size and not any(pads) and self.out_size == (1, 1):
            return
        self.mode = windowed
        self.window, self.stride, self.pad = kernel, _pair(node, "strides"), pads[:2]
        if attribute(node, "count_include_pad", 0):
            self.count = pads


def pool_shape(node: ir.Node, source: TensorSpec, profile: Profile) -> PoolShape | Refusal:
    """How the streaming pool does a pooling node, or why it cannot."""
    dims = static_shape(node.inputs[0])
    if dims is None or (len(dims) not in (3, 4) and POOLS[node.op_type][0] is not POOLS[node.op_type][1]):
        return Refusal("only 1-D and 2-D pools are mapped", "keep it on the CPU")
    if any(d != 1 for d in attribute(node, "dilations", [1, 1])):
        return Refusal("a dilated pool is not mapped", "keep it on the CPU")
    if len(node.outputs) > 1 and any(v.uses() or v.is_graph_output() for v in node.outputs[1:]):
        return Refusal("the indices of its maxima are used", "keep it on the CPU")
    found = PoolShape(node, (source.height, source.width))
    if min(found.out_size) < 1:
        return Refusal("its output is empty or its shape unknown", "check the model")
    if found.mode in (PoolMode.MAX, PoolMode.AVERAGE):
        if max(found.window) > profile.pool_window:
            return Refusal(
                f"its window {found.window[0]}x{found.window[1]} exceeds the profile's {profile.pool_window}",
                "use a profile with a larger pool_window",
            )
        if source.width > profile.pool_width:
            return Refusal(
                f"its rows of {source.width} pixels exceed the profile's {profile.pool_width}",
                "use a profile with a larger pool_width",
            )
        if not _windows_touch(found, (source.height, source.width)):
            return Refusal("a window lies wholly in the padding", "reduce the padding")
    cells = math.prod(found.window)
    averages = found.mode in (PoolMode.AVERAGE, PoolMode.GLOBAL_AVERAGE)
    if averages and not profile.is_float and cells << profile.activation_bits > 1 << 31:
        return Refusal(
            f"it averages {cells} values of {profile.activation_bits} bits, whose sum may need more than 32",
            "use a profile with narrower activations, or average in two steps",
        )
    return found


def averaging_kernel(node: ir.Node, source: TensorSpec) -> Kernel | None:
    """An average pool that the streaming pool cannot do as a depthwise convolution with weights of one.

    None if windows differ in the number of values that they average, or it is another node.
    """
    dims, output = static_shape(node.inputs[0]), chw(static_shape(node.outputs[0]))
    if not is_op(node, "AveragePool") or dims is None or len(dims) not in (3, 4) or output is None:
        return None
    size, stride, dilation, pad = (
        _pair(node, "kernel_shape"),
        _pair(node, "strides"),
        _pair(node, "dilations"),
        _padding(node),
    )
    counted = bool(attribute(node, "count_include_pad", 0)) or not any(pad)
    for axis, length in enumerate((source.height, source.width)):
        reach = (output[1 + axis] - 1) * stride[axis] + (size[axis] - 1) * dilation[axis] + 1
        counted = counted and reach <= length + pad[axis] + pad[2 + axis]
    if not counted:
        return None
    scale = np.full(source.channels, 1 / (size[0] * size[1]))
    ones = np.ones((source.channels, 1, *size), np.int16)
    weights = ones if source.quant is not None else (ones * scale[0]).astype(np.float32)
    bias = np.zeros(source.channels, np.float32 if source.quant is None else np.int64)
    return Kernel(
        weights=weights, scale=scale, bias=bias, stride=stride, dilation=dilation, pad=pad, group=source.channels
    )


def _windows_touch(pool: PoolShape, size: tuple[int, int]) -> bool:
    for axis in (0, 1):
        first = pool.window[axis] - pool.pad[axis]
        last = (pool.out_size[axis] - 1) * pool.stride[axis] - pool.pad[axis]
        if first < 1 or last >= size[axis]:
            return False
    return True


def nearest_factors(node: ir.Node, source: TensorSpec) -> tuple[int, int] | Refusal:
    """Integer factors of a nearest Resize that only repeats rows and columns."""
    output = static_shape(node.outputs[0])
    if attribute(node, "mode", "nearest") != "nearest" or output is None or len(output) != 4:
        return Refusal(
            "only nearest resizing of feature maps is mapped", "it runs on the CPU; replace it if its time matters"
        )
    if output[1] != source.channels:
        return Refusal("it resizes the channels", "keep it on the CPU")
    factors = []
    for axis, length in ((2, source.height), (3, source.width)):
        if output[axis] < length or output[axis] % length:
            return Refusal(
                f"it resizes {length} to {output[axis]}, which is no integer factor", "use an integer scale factor"
            )
        factor = output[axis] // length
        indices = _nearest_indices(node, length, output[axis])
        if indices is None or not np.array_equal(indices, np.repeat(np.arange(length), factor)):
            return Refusal(
                "its coordinate mode does not repeat each pixel evenly",
                "export with coordinate_transformation_mode='asymmetric', nearest_mode='floor'",
            )
        factors.append(factor)
    return factors[0], factors[1]


def _nearest_indices(node: ir.Node, length: int, resized: int) -> np.ndarray | None:
    x = np.arange(resized, dtype=np.float64)
    scale = resized / length
    mode = attribute(node, "coordinate_transformation_mode", "half_pixel")
    if mode == "asymmetric":
        position = x / scale
    elif mode == "half_pixel" or (mode == "pytorch_half_pixel" and resized > 1):
        position = (x + 0.5) / scale - 0.5
    elif mode == "pytorch_half_pixel":
        position = np.zeros_like(x)
    elif mode == "align_corners" and resized > 1:
        position = x * (length - 1) / (resized - 1)
    else:
        return None
    rounded = {
        "round_prefer_floor": np.ceil(position - 0.5),
        "round_prefer_ceil": np.floor(position + 0.5),
        "floor": np.floor(position),
        "ceil": np.ceil(position),
    }.get(attribute(node, "nearest_mode", "round_prefer_floor"))
    return None if rounded is None else np.clip(rounded, 0, length - 1).astype(np.int64)


def is_supported_op(node: ir.Node) -> bool:
    """Whether an accelerator layer can start at this kind of node."""
    return is_op(node, "Conv", "Gemm", "Add", "Resize", *POOLS)
