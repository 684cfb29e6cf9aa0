"""The value of a node whose inputs are all constant.

These are the operators that exporters leave between a weight and its reader. Everything is NumPy, every result is
measured before it is made, and constant fills stay views of one element, so that a model cannot make the importer
allocate more than it states.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.passes import evaluate_parts
from sliceflow.passes.view import attribute, axis_of

Array = NDArray[Any]
_Rule = Callable[[ir.Node, list[Array]], Array | None]

MAX_BYTES = 512 << 20
"""Largest constant that folding may produce, in bytes."""
MAX_FILL_BYTES = 1 << 30
"""Largest constant fill, in bytes: a view of one element, which only its readers may spread out."""
MAX_RANK = 32
_QUANTIZED = ("int4", "uint4", "int8", "uint8", "int16", "uint16")
_UNARY: dict[str, Callable[[Array], Array]] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Exp": np.exp,
    "Floor": np.floor,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Reciprocal": np.reciprocal,
    "Sqrt": np.sqrt,
}
_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Equal": np.equal,
    "Greater": np.greater,
    "Less": np.less,
    "Mul": np.multiply,
    "Sub": np.subtract,
}


def check_size(shape: Sequence[int], itemsize: int, limit: int = MAX_BYTES) -> None:
    """Refuse a constant that would have more bytes than ``limit``.

    Raises:
        UserError: it is.
        ValueError: a dimension is negative.
    """
    if any(size < 0 for size in shape):
        raise ValueError(f"the shape {tuple(shape)} has a negative dimension")
    if math.prod(shape) * itemsize > limit or len(shape) > MAX_RANK:
        raise UserError(
            f"a constant of shape {tuple(shape)} would be made",
            why=f"constants above {limit >> 20} MiB or 32 dimensions are refused",
            fix="store the weights in the model instead of computing them",
        )


def evaluate(node: ir.Node, inputs: list[Array]) -> tuple[Array, ...] | None:
    """The outputs of ``node``, or None if this operator is not evaluated.

    Args:
        node: a node of the standard domain at the canonical opset.
        inputs: the values of its inputs, in order, absent ones left out at the end.

    Raises:
        UserError: the result is too large.
        ValueError: the inputs contradict each other.
    """
    if node.op_type in evaluate_parts.RULES:
        return evaluate_parts.RULES[node.op_type](node, inputs)
    result = _evaluate_one(node, inputs)
    return None if result is None else (result,)


def _evaluate_one(node: ir.Node, inputs: list[Array]) -> Array | None:
    rule = _RULES.get(node.op_type)
    if rule is not None:
        return rule(node, inputs)
    if any(array.dtype == object for array in inputs):
        return None
    with np.errstate(all="ignore"):
        if node.op_type in _UNARY:
            check_size(inputs[0].shape, inputs[0].itemsize)
            return np.asarray(_UNARY[node.op_type](inputs[0])).astype(inputs[0].dtype, copy=False)
        if node.op_type in _BINARY:
            _check_broadcast(inputs)
            return np.asarray(_BINARY[node.op_type](inputs[0], inputs[1]))
    return None


def evaluates(op_type: str) -> bool:
    """Whether ``evaluate`` knows the operator."""
    return any(op_type in known for known in (_RULES, _UNARY, _BINARY, evaluate_parts.RULES))


def _check_broadcast(inputs: list[Array]) -> None:
    shape = np.broadcast_shapes(*(array.shape for array in inputs))
    check_size(shape, max(array.itemsize for array in inputs))


def _sizes(array: Array) -> list[int]:
    """A vector of sizes or axes."""
    if array.size > MAX_RANK:
        raise ValueError(f"{array.size} sizes or axes are given; {MAX_RANK} are allowed")
    return [int(item) for item in array.reshape(-1)]


def _identity(node: ir.Node, inputs: list[Array]) -> Array:
    return inputs[0]


def _constant(node: ir.Node, inputs: list[Array]) -> Array:
    for name, dtype in (("value_float", "f4"), ("value_floats", "f4"), ("value_int", "i8"), ("value_ints", "i8")):
        if name in node.attributes:
            return np.array(attribute(node, name), dtype)
    return np.asarray(node.attributes["value"].as_tensor().numpy())


def _constant_of_shape(node: ir.Node, inputs: list[Array]) -> Array:
    tensor = attribute(node, "value")
    fill = np.zeros(1, np.float32) if tensor is None else np.asarray(tensor.numpy()).reshape(-1)[:1]
    if fill.size != 1:
        raise ValueError("the value of ConstantOfShape must have one element")
    shape = _sizes(inputs[0])
    check_size(shape, fill.itemsize, MAX_FILL_BYTES)
    return np.broadcast_to(fill.reshape(()), shape)


def _reshape(node: ir.Node, inputs: list[Array]) -> Array:
    data, wanted = inputs[0], _sizes(inputs[1])
    if not attribute(node, "allowzero", 0):
        wanted = [data.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    return data.reshape(wanted)


def _unsqueeze(node: ir.Node, inputs: list[Array]) -> Array:
    axes = _sizes(inputs[1])
    return np.expand_dims(inputs[0], tuple(axis_of(axis, inputs[0].ndim + len(axes)) for axis in axes))


def _squeeze(node: ir.Node, inputs: list[Array]) -> Array:
    if len(inputs) == 1:
        return np.squeeze(inputs[0])
    return np.squeeze(inputs[0], tuple(axis_of(axis, inputs[0].ndim) for axis in _sizes(inputs[1])))


def _flatten(node: ir.Node, inputs: list[Array]) -> Array:
    data, axis = inputs[0], int(attribute(node, "axis", 1))
    axis = axis + data.ndim if axis < 0 else axis
    if not 0 <= axis <= data.ndim:
        raise ValueError(f"axis {axis} does not exist in {data.ndim} dimensions")
    return data.reshape(math.prod(data.shape[:axis]), math.prod(data.shape[axis:]))


def _transpose(node: ir.Node, inputs: list[Array]) -> Array:
    return np.transpose(inputs[0], attribute(node, "perm"))


def _cast(node: ir.Node, inputs: list[Array]) -> Array | None:
    target, data = ir.DataType(int(attribute(node, "to"))), inputs[0]
    if target in (ir.DataType.STRING, ir.DataType.UNDEFINED) or data.dtype.kind not in "fiub":
        return None
    dtype = np.dtype(target.numpy())
    if dtype.kind not in "fiub":
        return None
    check_size(data.shape, dtype.itemsize)
    if data.size and all(stride == 0 for stride in data.strides):
        return np.broadcast_to(data.reshape(-1)[:1].astype(dtype).reshape(()), data.shape)
    with np.errstate(all="ignore"):
        return data.astype(dtype)


def _gather(node: ir.Node, inputs: list[Array]) -> Array:
    data, index = inputs
    axis = axis_of(int(attribute(node, "axis", 0)), data.ndim)
    check_size((*data.shape[:axis], *index.shape, *data.shape[axis + 1 :]), data.itemsize)
    return np.asarray(np.take(data, index, axis=axis))


def _concat(node: ir.Node, inputs: list[Array]) -> Array:
    check_size((sum(array.size for array in inputs),), inputs[0].itemsize)
    return np.concatenate(inputs, axis=axis_of(int(attribute(node, "axis")), inputs[0].ndim))


def _slice(node: ir.Node, inputs: list[Array]) -> Array:
    data, starts, ends = inputs[0], _sizes(inputs[1]), _sizes(inputs[2])
    axes = _sizes(inputs[3]) if len(inputs) > 3 else list(range(len(starts)))
    steps = _sizes(inputs[4]) if len(inputs) > 4 else [1] * len(starts)
    index = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = data.shape[axis_of(axis, data.ndim)]
        # An end below -size means "past the first element" when stepping backwards.
        stop = None if step < 0 and end < -size else end
        index[axis_of(axis, data.ndim)] = slice(start, stop, step)
    return data[tuple(index)]


def _expand(node: ir.Node, inputs: list[Array]) -> Array:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(_sizes(inputs[1])))
    check_size(shape, inputs[0].itemsize, MAX_FILL_BYTES)
    return np.broadcast_to(inputs[0], shape)


def _div(node: ir.Node, inputs: list[Array]) -> Array:
    _check_broadcast(inputs)
    top, bottom = inputs
    if top.dtype.kind == "f":
        with np.errstate(all="ignore"):
            return np.asarray(top / bottom)
    if not bottom.all():
        raise ValueError("integer division by zero")
    quotient = np.abs(top) // np.abs(bottom)
    return np.asarray(np.where((top < 0) != (bottom < 0), -quotient, quotient).astype(top.dtype))


def _where(node: ir.Node, inputs: list[Array]) -> Array:
    _check_broadcast(inputs)
    return np.asarray(np.where(inputs[0], inputs[1], inputs[2]))


def _range(node: ir.Node, inputs: list[Array]) -> Array:
    start, limit, step = (array.reshape(-1)[0] for array in inputs)
    if step == 0:
        raise ValueError("the step of Range must not be 0")
    check_size((max(math.ceil((float(limit) - float(start)) / float(step)), 0),), inputs[0].itemsize)
    return np.arange(start, limit, step, dtype=inputs[0].dtype)


def _quantize(node: ir.Node, inputs: list[Array]) -> Array | None:
    data, scale = inputs[0], inputs[1]
    wanted = int(attribute(node, "output_dtype", 0))
    dtype = np.dtype(ir.DataType(wanted).numpy()) if wanted else np.dtype(np.uint8)
    zero = inputs[2] if len(inputs) > 2 else np.zeros(scale.shape, dtype)
    if attribute(node, "block_size", 0) or data.dtype != np.float32 or zero.dtype.name not in _QUANTIZED:
        return None
    if scale.size > 1:
        axis = axis_of(int(attribute(node, "axis", 1)), data.ndim)
        layout = [-1 if i == axis else 1 for i in range(data.ndim)]
        scale, zero = scale.reshape(layout), zero.reshape(layout)
        if scale.size != data.shape[axis]:
            raise ValueError(f"{scale.size} scales for {data.shape[axis]} channels")
    else:
        scale, zero = scale.reshape(()), zero.reshape(())
    bits = ir.DataType.from_numpy(zero.dtype).bitwidth
    low = -(1 << (bits - 1)) if zero.dtype.name.startswith("int") else 0
    with np.errstate(all="ignore"):
        steps = np.rint(data / scale) + zero.astype(np.float32)
    return np.asarray(np.clip(np.nan_to_num(steps), low, low + (1 << bits) - 1).astype(zero.dtype))


def _product(node: ir.Node, inputs: list[Array]) -> Array:
    axes = tuple(axis_of(axis, inputs[0].ndim) for axis in _sizes(inputs[1])) if len(inputs) > 1 else None
    if axes == () or (axes is None and attribute(node, "noop_with_empty_axes", 0)):
        axes = () if attribute(node, "noop_with_empty_axes", 0) else None
    with np.errstate(all="ignore"):
        result = np.prod(inputs[0], axis=axes, keepdims=bool(attribute(node, "keepdims", 1)), dtype=inputs[0].dtype)
    return np.asarray(result)


_RULES: dict[str, _Rule] = {
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _div,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _identity,
    "QuantizeLinear": _quantize,
    "Range": _range,
    "ReduceProd": _product,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
