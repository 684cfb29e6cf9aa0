"""Writes a generated node test with QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.onnx_nodes import Array, Case, NotApplicableError, replace_output

SAME_SCALE = ("MaxPool", "GlobalMaxPool", "Concat", "Resize", "Upsample", "Flatten", "Pad")
"""Operators whose output has the scale of their input."""
_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}


class Grid:
    """Scale and zero point of a tensor; the scale is a power of two."""

    def __init__(self, low: float, high: float, dtype: str) -> None:
        low, high = min(low, 0.0), max(high, 0.0, 1e-3)
        codes = 127 if dtype == "int8" else 255
        reach = max(-low, high) if dtype == "int8" else high - low
        self.dtype = dtype
        self.scale = float(2.0 ** math.ceil(math.log2(reach / codes)))
        self.zero = 0 if dtype == "int8" else min(255, round(-low / self.scale))

    @classmethod
    def of(cls, arrays: list[Array], dtype: str) -> Grid:
        """The finest grid that holds all values."""
        finite = [array[np.isfinite(array)] for array in arrays]
        return cls(min(a.min(initial=0) for a in finite), max(a.max(initial=0) for a in finite), dtype)


class Quantizer:
    """Quantizes one float case."""

    def __init__(self, case: Case, rng: np.random.Generator) -> None:
        self._case = case
        self._graph = case.model.graph
        self._before: list[onnx.NodeProto] = []
        self._after: list[onnx.NodeProto] = []
        self._rng = rng

    def run(self) -> Case:
        """The case, quantized; its expected output is no longer meant."""
        case, graph = self._case, self._graph
        kind = "uint8" if self._rng.random() < 0.5 else "int8"
        grids = {name: Grid.of([array], kind) for name, array in case.inputs.items()}
        if case.op in SAME_SCALE:
            shared = Grid.of(list(case.inputs.values()), kind)
            grids = dict.fromkeys(grids, shared)
        for name, grid in grids.items():
            self._rename(name, self._pair(name, grid, self._before))
        through = [node for node in graph.node if node.name == "through"]
        for node in graph.node:
            if node.op_type in ("Conv", "Gemm", "MatMul") and node not in through:
                self._weights(node, next(iter(grids.values())))
        out = next(iter(grids.values())) if case.op in SAME_SCALE else Grid.of([case.expected], kind)
        result = graph.output[0].name
        for node in through:
            inner = node.input[0]
            node.input[0] = self._pair(inner, out, self._before)
            self._constant_pair(node, 1, np.float32(1.0))
        answer = self._pair(result, out, self._after)
        self._order(through)
        replace_output(graph, answer, case.expected.shape, TensorProto.FLOAT)
        return case

    def _order(self, through: list[onnx.NodeProto]) -> None:
        """Put all nodes in an order in which each follows what it reads."""
        waiting = [*self._before, *(n for n in self._graph.node if n not in through), *through, *self._after]
        known = {v.name for v in self._graph.input} | {t.name for t in self._graph.initializer} | {""}
        ordered = []
        while waiting:
            ready = [node for node in waiting if known.issuperset(node.input)]
            if not ready:
                raise NotApplicableError("its graph has inner graphs that read outer values")
            ordered += ready
            known.update(name for node in ready for name in node.output)
            waiting = [node for node in waiting if node not in ready]
        del self._graph.node[:]
        self._graph.node.extend(ordered)

    def _rename(self, old: str, new: str) -> None:
        for node in self._graph.node:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new

    def _constant(self, name: str, array: Array) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def _pair(self, source: str, grid: Grid, nodes: list[onnx.NodeProto]) -> str:
        scale = self._constant(f"{source}_scale", np.float32(grid.scale))
        zero = self._constant(f"{source}_zero", np.array(grid.zero, grid.dtype))
        stored, real = f"{source}_stored", f"{source}_real"
        nodes.append(helper.make_node("QuantizeLinear", [source, scale, zero], [stored], name=f"{source}_q"))
        nodes.append(helper.make_node("DequantizeLinear", [stored, scale, zero], [real], name=f"{source}_dq"))
        return real

    def _weights(self, node: onnx.NodeProto, grid: Grid) -> None:
        """Weights behind DequantizeLinear: per output channel for Conv, one scale else. The bias on the sums' grid."""
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in self._graph.initializer}
        if node.input[1] not in values:
            raise NotApplicableError("its second operand is no constant")
        weights = values[node.input[1]]
        axes = tuple(range(1, weights.ndim)) if node.op_type == "Conv" else None
        reach = np.maximum(np.abs(weights).max(axis=axes), 1e-6)
        scale = np.exp2(np.ceil(np.log2(reach / 127))).astype(np.float32)
        self._constant_pair(node, 1, scale)
        if len(node.input) < 3 or not node.input[2]:
            return
        factors = {a.name: a.f for a in node.attribute if a.name in ("alpha", "beta")}
        step = grid.scale * scale * factors.get("alpha", 1.0) / factors.get("beta", 1.0)
        bias = values[node.input[2]]
        if node.op_type == "Conv":
            codes = np.rint(bias / step).astype(np.int32)
            stored = self._constant(f"{node.input[2]}_stored", codes)
            spread = self._constant(f"{node.input[2]}_scale", np.broadcast_to(step, codes.shape).astype(np.float32))
            real = f"{node.input[2]}_real"
            self._before.append(helper.make_node("DequantizeLinear", [stored, spread], [real], name=real, axis=0))
            node.input[2] = real
        else:
            node.input[2] = self._constant(f"{node.input[2]}_rounded", (np.rint(bias / step) * step).astype(np.float32))

    def _constant_pair(self, node: onnx.NodeProto, index: int, scale: Array) -> None:
        """Replace a constant input by int8 behind DequantizeLinear."""
        name = node.input[index]
        array = next(numpy_helper.to_array(t) for t in self._graph.initializer if t.name == name)
        wide = scale.reshape(-1, *(1 for _ in array.shape[1:])) if np.ndim(scale) else scale
        codes = np.clip(np.rint(array / wide), -128, 127).astype(np.int8)
        inputs = [self._constant(f"{name}_codes", codes), self._constant(f"{name}_scale", scale)]
        self._before.append(helper.make_node("DequantizeLinear", inputs, [f"{name}_real"], name=f"{name}_dq", axis=0))
        node.input[index] = f"{name}_real"


def small_integers(case: Case) -> Case | None:
    """A float operator on 8-bit data: Q and DQ at scale one around it; None if the case has other data.

    The expected output stays: float32 holds every 8-bit integer.
    """
    dtype = case.expected.dtype
    if dtype.name not in _LIMITS or any(array.dtype != dtype for array in case.inputs.values()):
        return None
    graph = case.model.graph
    nodes = list(graph.node)
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == dtype:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))
    graph.initializer.append(numpy_helper.from_array(np.float32(1.0), "one"))
    graph.initializer.append(numpy_helper.from_array(np.zeros((), dtype), "nothing"))
    reads = [helper.make_node("DequantizeLinear", [name, "one", "nothing"], [f"{name}_real"]) for name in case.inputs]
    for node in nodes:
        for index, name in enumerate(node.input):
            node.input[index] = f"{name}_real" if name in case.inputs else name
    del graph.node[:]
    graph.node.extend([*reads, *nodes])
    graph.node.append(helper.make_node("QuantizeLinear", [graph.output[0].name, "one", "nothing"], ["stored"]))
    replace_output(graph, "stored", case.expected.shape, helper.np_dtype_to_tensor_dtype(dtype))
    return case


# operators that are integer already ----------------------------------------------------------------------------------


def integer_form(case: Case) -> Case:
    """An integer operator as DequantizeLinear, the float operator, QuantizeLinear; the expected output stays.

    Raises:
        NotApplicableError: its types or its values do not fit 8 bits, or its quantization is not per tensor.
    """
    node = case.model.graph.node[0]
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in case.model.graph.initializer}
    arguments = [values.get(name) for name in node.input]
    if case.op in ("QuantizeLinear", "DequantizeLinear"):
        return _quantizer_form(case, node, arguments)
    if case.op in ("QLinearConv", "QLinearMatMul"):
        x, w, y, bias = arguments[1:3], arguments[3:6], arguments[6:8], (arguments[8:] or [None])[0]
    else:
        zeros = [*arguments[2:4], None, None][:2]
        x = [np.float32(1.0), zeros[0]]
        w = [arguments[1], np.float32(1.0), zeros[1]]
        y, bias = [np.float32(1.0), _output_zero(case)], None
    if any(array is not None and array.dtype == np.float16 for array in (*x, *w, *y)):
        raise NotApplicableError("its scales are float16")
    return _rewritten(case, node, x, w, y, bias)


def _output_zero(case: Case) -> Array:
    """A type for the 32-bit result that holds the expected values."""
    for dtype, (low, high) in _LIMITS.items():
        if case.expected.min() >= low and case.expected.max() <= high:
            return np.zeros((), dtype)
    raise NotApplicableError("its 32-bit results do not fit the accelerator's 8-bit output")


def _rewritten(
    case: Case,
    node: onnx.NodeProto,
    x: list[Array | None],
    w: list[Array | None],
    y: list[Array | None],
    bias: Array | None,
) -> Case:
    graph = onnx.GraphProto()
    graph.CopyFrom(case.model.graph)
    del graph.node[:], graph.initializer[:], graph.output[:]
    kind = "Conv" if "Conv" in case.op else "MatMul"

    def add(op: str, data: str, parameters: list[Array | None], output: str, axis: int | None = None) -> None:
        names = []
        for index, array in enumerate(p for p in parameters if p is not None):
            flat = array.reshape(()) if array.size == 1 else array.reshape(-1)
            graph.initializer.append(numpy_helper.from_array(flat, f"{output}_{index}"))
            names.append(f"{output}_{index}")
        extra = {} if axis is None else {"axis": axis}
        graph.node.append(helper.make_node(op, [data, *names], [output], name=output, **extra))

    if w[0] is None:
        raise NotApplicableError("its second operand is no constant")
    graph.initializer.append(numpy_helper.from_array(w[0], "w"))
    add("DequantizeLinear", node.input[0], x, "x_real")
    add("DequantizeLinear", "w", w[1:], "w_real", axis=0 if kind == "Conv" else 1)
    inputs = ["x_real", "w_real"]
    if bias is not None:
        graph.initializer.append(numpy_helper.from_array(bias, "b"))
        add("DequantizeLinear", "b", [np.atleast_1d(x[0] * w[1]).astype(np.float32)], "b_real", axis=0)  # type: ignore[operator]
        inputs.append("b_real")
    layer = helper.make_node(kind, inputs, ["sum"], name="layer")
    layer.attribute.extend(node.attribute)
    graph.node.append(layer)
    add("QuantizeLinear", "sum", y, "y")
    dtype = helper.np_dtype_to_tensor_dtype(y[1].dtype if y[1] is not None else np.dtype("uint8"))
    replace_output(graph, "y", case.expected.shape, dtype)
    case.model.graph.CopyFrom(graph)
    return case


def _quantizer_form(case: Case, node: onnx.NodeProto, arguments: list[Array | None]) -> Case:
    """Q and DQ are no layers: a convolution that changes nothing reads them, on one grid with its output."""
    scale, zero = arguments[1], arguments[2] if len(arguments) > 2 else None
    if scale is None or scale.size != 1 or any(a.name == "block_size" and a.i for a in node.attribute):
        raise NotApplicableError("its scale is not per tensor")
    if scale.dtype != np.float32 or any(a.name == "output_dtype" and a.i not in (0, 1) for a in node.attribute):
        raise NotApplicableError(f"its scale is {scale.dtype}, or its precision is chosen by an attribute")
    stored = case.expected if case.op == "QuantizeLinear" else next(iter(case.inputs.values()))
    if stored.dtype.name not in _LIMITS:
        raise NotApplicableError(f"it stores {stored.dtype.name}, not 8-bit integers")
    shape, graph = case.expected.shape, case.model.graph
    if len(shape) != 2:
        raise NotApplicableError(f"its data of shape {shape} is nothing that a layer reads")
    grid = [node.input[1], node.input[2]] if zero is not None else [node.input[1]]
    first, second = ("QuantizeLinear", "DequantizeLinear")
    source = node.input[0]
    del graph.node[:]
    if case.op == "QuantizeLinear":
        graph.node.append(helper.make_node(first, [source, *grid], ["stored"], name="first"))
        source = "stored"
    graph.node.append(helper.make_node(second, [source, *grid], ["real"], name="second"))
    graph.initializer.append(numpy_helper.from_array(np.eye(shape[1], dtype=np.int8), "eye"))
    graph.initializer.append(numpy_helper.from_array(np.float32(1.0), "one"))
    graph.node.append(helper.make_node(second, ["eye", "one"], ["weights"], name="weights"))
    graph.node.append(helper.make_node("Gemm", ["real", "weights"], ["through"], name="through", transB=1))
    graph.node.append(helper.make_node(first, ["through", *grid], ["again"], name="again"))
    if case.op == "QuantizeLinear":
        replace_output(graph, "again", shape, helper.np_dtype_to_tensor_dtype(stored.dtype))
    else:
        graph.node.append(helper.make_node(second, ["again", *grid], ["y"], name="last"))
        replace_output(graph, "y", shape, TensorProto.FLOAT)
    return case
