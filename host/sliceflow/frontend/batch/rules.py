"""What each operator does to the images of a batch.

A rule gets a node with images on at least one input, and says where its outputs have them; one answer stands for all
outputs. It raises ``MixedError`` if the node mixes images, and ``UnruledError`` where it cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sliceflow.frontend.batch.lines import At, Line, State, broadcast, reshaped
from sliceflow.passes.view import attribute, input_at

_NO_END = 2**31 - 1
"""Exporters write this number, or a larger one, for the end of an axis."""
Rule = Callable[[At], State | Sequence[State]]


def _elementwise(at: At) -> State:
    return broadcast(at, range(len(at.node.inputs)), len(at.out()))


def _first(at: At) -> Line:
    """The line of the data, of operators whose other inputs must be the same for all images."""
    at.only(0)
    line = at.line(0)
    if line is None:
        raise at.unruled()
    return line


def _same(at: At) -> State:
    return _first(at)


def _per_sample(at: At) -> State:
    """Convolutions, pools, normalizations of single images: the first axis is the batch, whatever it is called."""
    line = _first(at)
    if line.axis:
        raise at.mixed(f"it computes across axis {line.axis}, where the images are")
    if at.node.op_type == "MaxPool" and len(at.node.outputs) > 1 and at.node.outputs[1].uses():
        raise at.mixed("its indices count through all images together")
    return line


def _quantization(at: At) -> State:
    line = _first(at)
    if math.prod(at.shape(1)) > 1 and line.axis == at.axis(at.number("axis", 1)):
        raise at.mixed("it has a scale for each image")
    return line


def _dynamic_quantization(at: At) -> State:
    raise at.mixed("its scale is that of the largest and smallest values of all images together")


def _along(attribute_default: int, doing: str) -> Rule:
    def rule(at: At) -> State:
        line = _first(at)
        at.apart(line, [at.axis(at.number("axis", attribute_default))], doing)
        return line

    return rule


def _from_axis(doing: str, default: int = -1) -> Rule:
    def rule(at: At) -> State:
        line = _first(at)
        at.apart(line, range(at.axis(at.number("axis", default)), len(at.shape(0))), doing)
        return line

    return rule


def _cumulative(at: At) -> State:
    line = _first(at)
    at.apart(line, [at.axis(axis) for axis in at.list(1) or ()], "sums up")
    return line


def _without(line: Line, axes: Sequence[int]) -> Line:
    """The line behind the removal of axes."""
    return Line(line.axis - sum(axis < line.axis for axis in axes), line.per)


def _reduce(at: At) -> State:
    line = _first(at)
    axes = at.list(1, "axes")
    if not axes:
        if at.number("noop_with_empty_axes", 0):
            return line
        axes = list(range(len(at.shape(0))))
    axes = [at.axis(axis) for axis in axes]
    at.apart(line, axes, f"reduces ({at.node.op_type})")
    return line if at.number("keepdims", 1) else _without(line, axes)


def _arg(at: At) -> State:
    line = _first(at)
    axis = at.axis(at.number("axis", 0))
    at.apart(line, [axis], f"searches ({at.node.op_type})")
    return line if at.number("keepdims", 1) else _without(line, [axis])


def _mean_variance(at: At) -> State:
    line = _first(at)
    axes = attribute(at.node, "axes", [0, 2, 3])
    at.apart(line, [at.axis(int(axis)) for axis in axes], "takes mean and variance")
    return line


def _reshape(at: At) -> State:
    line = _first(at)
    found = reshaped(at.shape(0), line, at.out(), at.images)
    if found is None:
        raise at.mixed(f"it reshapes {list(at.shape(0))} to {list(at.out())}, and the images share an axis with others")
    return found


def _transpose(at: At) -> State:
    line = _first(at)
    order = attribute(at.node, "perm") or list(reversed(range(len(at.shape(0)))))
    return Line([int(axis) for axis in order].index(line.axis), line.per)


def _concat(at: At) -> State:
    axis = at.axis(at.number("axis", 0), next(i for i, line in enumerate(at.lines) if line is not None))
    line = _line_of(at)
    for index, other in enumerate(at.lines):
        if other != line and not (other is None and at.repeats(index, line)):
            raise at.mixed("it joins images with a tensor that is not made of images")
    at.apart(line, [axis], "concatenates")
    return line


def _line_of(at: At) -> Line:
    return next(line for line in at.lines if line is not None)


def _slice(at: At) -> State:
    line = _first(at)
    axes = at.list(3)
    for place, axis in enumerate(range(len(at.list(1) or ())) if axes is None else axes):
        if at.axis(axis) == line.axis:
            bounds = [(at.list(index) or [1] * (place + 1))[place] for index in (1, 2, 4)]
            whole = bounds[1] >= _NO_END or bounds[1] == at.shape(0)[line.axis]
            if bounds[0] != 0 or not whole or bounds[2] != 1:
                raise at.mixed(f"it takes a part of axis {line.axis}, where the images are")
    return line


def _pad(at: At) -> State:
    line = _first(at)
    pads = at.list(1) or []
    axes = at.list(3)
    axes = list(range(len(at.shape(0)))) if axes is None else [at.axis(axis) for axis in axes]
    padded = [axis for place, axis in enumerate(axes) if pads[place] or pads[place + len(axes)]]
    at.apart(line, padded, "pads")
    return line


def _tile(at: At) -> State:
    line = _first(at)
    repeats = at.list(1) or []
    at.apart(line, [axis for axis, count in enumerate(repeats) if count != 1], "repeats")
    return line


def _expand(at: At) -> State:
    line = _first(at)
    return Line(line.axis + len(at.out()) - len(at.shape(0)), line.per)


def _resize(at: At) -> State:
    line = _first(at)
    if at.shape(0)[line.axis] != at.out()[line.axis]:
        raise at.mixed(f"it changes the size of axis {line.axis}, where the images are")
    return line


def _gather(at: At) -> State:
    at.only(0, 1)
    axis, data, picks = at.axis(at.number("axis", 0)), at.line(0), at.line(1)
    if data is not None and picks is not None:
        raise at.unruled()
    if data is None:
        return None if picks is None else Line(axis + picks.axis, picks.per)
    at.apart(data, [axis], "picks entries")
    return Line(data.axis + (len(at.shape(1)) - 1 if axis < data.axis else 0), data.per)


def _elements(at: At) -> State:
    """GatherElements and ScatterElements: all inputs lie beside each other."""
    axis = at.axis(at.number("axis", 0))
    if len(set(at.lines)) > 1:
        raise at.unruled()
    line = _line_of(at)
    at.apart(line, [axis], "picks entries" if at.node.op_type == "GatherElements" else "scatters")
    return line


def _gather_nd(at: At) -> State:
    line, picks = at.line(0), at.line(1)
    if line is None or picks is None or line != picks or line.axis >= at.number("batch_dims", 0):
        raise at.unruled()
    return line


def _one_hot(at: At) -> State:
    line = _first(at)
    axis = at.number("axis", -1) % len(at.out())
    return Line(line.axis + (axis <= line.axis), line.per)


def _matmul(at: At) -> State:
    at.only(0, 1)
    ranks = [len(at.shape(0)), len(at.shape(1))]
    if 1 in ranks:
        raise at.unruled()
    rank = len(at.out())
    for index in (0, 1):
        line = at.line(index)
        if line is not None and line.axis - ranks[index] == (-1, -2)[index]:
            raise at.mixed(f"it sums over axis {line.axis} of its input {index}, where the images are")
    for index, side in ((0, -2), (1, -1)):  # rows of the first, columns of the second
        line = at.line(index)
        if line is not None and line.axis - ranks[index] == side:
            if at.line(1 - index) is not None:
                raise at.mixed("it multiplies each image with all others")
            return Line(rank + side, line.per)
    return broadcast(at, (0, 1), rank)


def _gemm(at: At) -> State:
    inner, found = (0 if at.number("transA", 0) else 1, 1 if at.number("transB", 0) else 0), set[Line]()
    for index in (0, 1):
        line = at.line(index)
        if line is not None and line.axis == inner[index]:
            raise at.mixed(f"it sums over axis {line.axis} of its input {index}, where the images are")
        if line is not None:
            found.add(Line(index, line.per))
    if len(found) > 1:
        raise at.mixed("it multiplies each image with all others")
    line = found.pop() if found else None
    addend = broadcast(at, (2,), 2) if len(at.node.inputs) > 2 else None
    if addend is not None and addend != line:
        raise at.mixed("its input 2 has the images along another axis than the product")
    if line is not None and addend is None and len(at.node.inputs) > 2 and input_at(at.node, 2) is not None:
        shape = (1, 1, *at.shape(2))[-2:]
        if shape[line.axis] != 1:
            raise at.mixed(f"its input 2 of shape {list(at.shape(2))} has other values for each image")
    return line


def _einsum(at: At) -> State:
    text = attribute(at.node, "equation", b"")
    equation = (text.decode() if isinstance(text, bytes) else str(text)).replace(" ", "")
    if "." in equation or "->" not in equation:
        raise at.unruled()
    terms, result = equation.split("->")
    parts = terms.split(",")
    letters = {
        (parts[i][line.axis], line.per) for i, line in enumerate(at.lines) if line is not None and i < len(parts)
    }
    if len(letters) != 1:
        raise at.mixed("it multiplies each image with all others")
    letter, per = letters.pop()
    if letter not in result:
        raise at.mixed(f"it sums over {letter!r}, where the images are")
    if any(letter in part and at.line(i) is None for i, part in enumerate(parts)):
        raise at.mixed("it combines the images with a tensor that is not made of images")
    if any(part.count(letter) > 1 for part in parts):
        raise at.mixed("it takes a diagonal across the images")
    return Line(result.index(letter), per)


def _recurrent(at: At) -> Sequence[State]:
    """LSTM, GRU, RNN: x [steps, batch, features]; the states [directions, batch, hidden]."""
    if at.number("layout", 0):
        raise at.unruled()
    at.only(0, 4, 5, 6)
    wanted, per = {0: 1, 4: 0, 5: 1, 6: 1}, _line_of(at).per
    for index, axis in wanted.items():
        line, value = at.line(index), input_at(at.node, index)
        if line is not None and line.axis != axis:
            raise at.mixed(f"it steps along axis {line.axis} of its input {index}, where the images are")
        if line is None and value is not None and not at.repeats(index, Line(axis, per)):
            raise at.mixed(f"its input {index} has other values for each image")
    return [Line(2, per), Line(1, per), Line(1, per)]


def _positions(at: At) -> State:
    raise at.mixed(f"{at.node.op_type} lists what it finds in all images together")


_ELEMENTWISE = """Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil
Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu
Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin
Sinh Softplus Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu Where Xor""".split()  # noqa: SIM905
_PER_SAMPLE = """AveragePool BatchNormalization Conv ConvInteger ConvTranspose DepthToSpace GlobalAveragePool
GlobalLpPool GlobalMaxPool GroupNormalization InstanceNormalization LRN LpPool MaxPool SpaceToDepth""".split()  # noqa: SIM905
_REDUCE = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

RULES: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_PER_SAMPLE, _per_sample),
    **dict.fromkeys((f"Reduce{name}" for name in _REDUCE), _reduce),
    **dict.fromkeys(("Cast", "CastLike", "Clip", "Dropout"), _same),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _along(-1, "normalizes")),
    **dict.fromkeys(("LpNormalization",), _along(-1, "normalizes")),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _from_axis("normalizes")),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg),
    **dict.fromkeys(("GatherElements", "ScatterElements"), _elements),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _quantization),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    **dict.fromkeys(("NonZero", "Unique", "Compress", "NonMaxSuppression"), _positions),
    **dict.fromkeys(("MatMul", "MatMulInteger"), _matmul),
    "Concat": _concat,
    "CumSum": _cumulative,
    "DynamicQuantizeLinear": _dynamic_quantization,
    "Einsum": _einsum,
    "Expand": _expand,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "Gemm": _gemm,
    "MeanVarianceNormalization": _mean_variance,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Resize": _resize,
    "Slice": _slice,
    "Split": _along(0, "splits"),
    "Tile": _tile,
    "TopK": _along(-1, "sorts"),
    "Transpose": _transpose,
}
"""By operator of the standard domain."""
