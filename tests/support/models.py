"""Small ONNX models, built node by node, and ONNX Runtime as the oracle for rewrites of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from sliceflow.onnx_runtime import exact_session
from sliceflow.passes import Pass

Shape = Sequence[int | str]


class Graph:
    """A graph under construction; every method returns the name of a value.

    Nodes are called like their first output. Constants are initializers.
    """

    def __init__(self, seed: int = 0, *, opset: int = 21, ir_version: int = 10) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset, self.ir_version = opset, ir_version
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.functions: list[onnx.FunctionProto] = []
        self.domains: dict[str, int] = {}

    def input(self, *shape: int | str, name: str = "", dtype: int = onnx.TensorProto.FLOAT) -> str:
        name = name or ("x" if not self.inputs else f"x{len(self.inputs)}")
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def constant(self, value: object, dtype: str = "float32", name: str = "") -> str:
        name = name or f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def random(self, *shape: int, low: float = -1.0, high: float = 1.0) -> str:
        return self.constant(self.rng.uniform(low, high, shape))

    def node(self, op: str, *inputs: str, outputs: Sequence[str] = (), name: str | None = None, **attributes) -> str:
        names = list(outputs) or [f"{op.lower()}{len(self.nodes)}"]
        label = names[0] if name is None else name
        self.nodes.append(helper.make_node(op, list(inputs), names, name=label, **attributes))
        return names[0]

    def batch_norm(self, source: str, channels: int) -> str:
        statistics = [self.random(channels), self.random(channels), self.random(channels)]
        return self.node("BatchNormalization", source, *statistics, self.random(channels, low=0.5, high=2.0))

    def quantize(self, source: str, scale: object = 0.05, zero: int = 3, dtype: str = "uint8", **attributes) -> str:
        """QuantizeLinear and DequantizeLinear."""
        parameters = [self.constant(scale), self.constant(np.full(np.shape(scale), zero), dtype)]
        quantized = self.node("QuantizeLinear", source, *parameters, **attributes)
        return self.node("DequantizeLinear", quantized, *parameters, **attributes)

    def dequantized(self, shape: Sequence[int], axis: int | None = None, dtype: str = "int8") -> str:
        """A random integer constant behind a DequantizeLinear, with a scale for each position of ``axis``."""
        info = np.iinfo(dtype) if dtype != "int32" else np.iinfo("int16")
        data = self.constant(self.rng.integers(info.min, info.max, shape), dtype)
        sizes = () if axis is None else (shape[axis],)
        scale = self.random(*sizes, low=0.01, high=0.02)
        zero = self.constant(np.zeros(sizes), dtype)
        attributes = {} if axis is None else {"axis": axis}
        return self.node("DequantizeLinear", data, scale, zero, **attributes)

    def output(self, name: str, shape: Shape | None = None, dtype: int = onnx.TensorProto.FLOAT) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def model(self, *results: str) -> onnx.ModelProto:
        for name in results:
            self.output(name)
        graph = helper.make_graph(self.nodes, "test", self.inputs, self.outputs, self.initializers)
        imports = [helper.make_opsetid(domain, version) for domain, version in self.domains.items()]
        imports.append(helper.make_opsetid("", self.opset))
        model = helper.make_model(graph, opset_imports=imports, functions=self.functions)
        model.ir_version = self.ir_version
        return model


def run_model(model: onnx.ModelProto | ir.Model, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """All outputs, by ONNX Runtime without its own graph rewrites."""
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    return exact_session(proto.SerializeToString(), 1, where="test", level="none").run(None, feeds)


def random_feeds(model: onnx.ModelProto, batch: int, seed: int = 0, open_size: int = 9) -> dict[str, np.ndarray]:
    """Random inputs; the first symbol of a shape is the batch, others get ``open_size``."""
    rng = np.random.default_rng(seed)
    constants = {tensor.name for tensor in model.graph.initializer}
    feeds = {}
    for value in model.graph.input:
        if value.name in constants:
            continue
        dims = value.type.tensor_type.shape.dim
        sizes = [d.dim_value or (batch if i == 0 else open_size) for i, d in enumerate(dims)]
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = rng.uniform(-2, 2, sizes).astype(dtype)
    return feeds


def assert_same_outputs(
    before: onnx.ModelProto, after: ir.Model, *, batches: Sequence[int] = (1, 3), steps: float = 1e-5, seed: int = 0
) -> None:
    """Both models give the same for random inputs, up to ``steps`` of the largest output."""
    assert [value.name for value in after.graph.inputs] == [
        value.name for value in before.graph.input if value.name not in {t.name for t in before.graph.initializer}
    ]
    assert [value.name for value in after.graph.outputs] == [value.name for value in before.graph.output]
    for batch in batches:
        feeds = random_feeds(before, batch, seed)
        for expected, found in zip(run_model(before, feeds), run_model(after, feeds), strict=True):
            assert expected.dtype == found.dtype
            assert expected.shape == found.shape
            tolerance = steps * max(float(np.abs(expected).max(initial=0)), 1.0) if expected.dtype.kind == "f" else 0
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=f"batch {batch}, seed {seed}")


def operators(model: ir.Model) -> list[str]:
    """The operators of the main graph, in order."""
    return [node.op_type for node in model.graph]


def apply(kind: type[Pass], model: onnx.ModelProto) -> tuple[ir.Model, int]:
    """Run one pass on shapes inferred by onnx; the new model and the number of changes."""
    rewritten = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    step = kind()
    result = step(rewritten)
    assert result.modified == (step.changes > 0)
    return rewritten, step.changes


def random_cnn(seed: int, *, quantized: bool = False) -> onnx.ModelProto:
    """A chain of layers in the spellings that the normalizing passes take apart, with a residual and a head."""
    g = Graph(seed)
    rng, size, channels = g.rng, int(g.rng.integers(6, 12)), int(g.rng.integers(1, 6))
    y = g.input("N", channels, size, size)
    for _ in range(int(rng.integers(2, 6))):
        kind = str(rng.choice(["conv", "conv", "same", "pad", "affine", "pool", "residual", "no-op"]))
        if quantized and rng.random() < 0.5:
            y = g.quantize(y)
        if kind in ("conv", "same", "pad"):
            y, channels = _random_conv(g, y, channels, kind, quantized)
            y = g.batch_norm(y, channels) if rng.random() < 0.5 else y
            y = g.node("Relu", y) if rng.random() < 0.5 else y
        elif kind == "affine":
            scaled = g.node("Mul", y, g.random(channels, 1, 1)) if rng.random() < 0.5 else g.batch_norm(y, channels)
            y = g.node("Sub", scaled, g.random(1, channels, 1, 1))
        elif kind == "pool":
            border = g.constant([0, 0, 1, 1, 0, 0, 1, 1], "int64")
            padded = g.node("Pad", g.node("Relu", y), border)
            y = g.node(str(rng.choice(["MaxPool", "AveragePool"])), padded, kernel_shape=[3, 3])
        elif kind == "residual":
            y = g.node("Sum", y, g.node("Relu", y), g.node("Conv", y, g.random(channels, channels, 1, 1)))
        else:
            y = g.node("Dropout", g.node("Identity", y))
    return g.model(_random_head(g, y, channels))


def _random_conv(g: Graph, source: str, channels: int, kind: str, quantized: bool) -> tuple[str, int]:
    outputs, kernel = int(g.rng.integers(1, 7)), int(g.rng.integers(1, 4))
    shape = (outputs, channels, kernel, kernel)
    weights = g.dequantized(shape, axis=0) if quantized and g.rng.random() < 0.7 else g.random(*shape)
    inputs = [weights, *([g.random(outputs)] if g.rng.random() < 0.5 else [])]
    if kind == "pad":
        source = g.node("Pad", source, g.constant([0, 0, 1, 2, 0, 0, 2, 1], "int64"), g.constant(0.0))
    mode = str(g.rng.choice(["SAME_UPPER", "SAME_LOWER"])) if kind == "same" else "NOTSET"
    pads = {} if kind == "same" else {"pads": [1, 1, 1, 1]}
    return g.node("Conv", source, *inputs, auto_pad=mode, **pads), outputs


def _random_head(g: Graph, source: str, channels: int) -> str:
    pooled = g.node("ReduceMean", source, g.constant([-1, -2], "int64"), keepdims=int(g.rng.integers(2)))
    flat = g.node("Reshape", pooled, g.constant([0, -1], "int64"))
    y = g.node("Add", g.random(7), g.node("MatMul", flat, g.random(channels, 7)))
    return g.node("Gemm", y, g.random(7, 3), g.random(3), alpha=0.5) if g.rng.random() < 0.5 else y


def mutate_bytes(data: bytes, seed: int) -> bytes:
    """The data with some of its bits, bytes or runs changed, or cut off."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.1:
        return data[: rng.integers(len(data))]
    changed = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 2, 4, 16]))):
        at, kind = int(rng.integers(len(changed))), rng.integers(5)
        if kind == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
        elif kind == 2:
            changed[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif kind == 3:
            changed[at : at + 10] = b"\xff" * 9 + b"\x01"
        else:
            del changed[at : at + int(rng.integers(1, 9))]
        changed = changed or bytearray(b"\0")
    return bytes(changed)


_NUMBERS = (0, -1, 1, 2, 3, 7, 1 << 31, 1 << 40, 1 << 62, -(1 << 62))


def mutate_structure(data: bytes, seed: int) -> bytes:
    """The model with wrong operators, attributes, inputs, sizes or opset, but still well-formed protobuf."""
    rng = np.random.default_rng(seed)
    model = onnx.ModelProto.FromString(data)
    graph = model.graph
    for _ in range(int(rng.choice([1, 1, 2, 4]))):
        node, kind = graph.node[int(rng.integers(len(graph.node)))], int(rng.integers(7))
        number = int(rng.choice(np.array(_NUMBERS, np.int64)))
        if kind == 0:
            node.op_type = graph.node[int(rng.integers(len(graph.node)))].op_type
        elif kind == 1 and node.attribute:
            _mutate_attribute(node.attribute[int(rng.integers(len(node.attribute)))], number, rng)
        elif kind == 2 and node.attribute:
            del node.attribute[int(rng.integers(len(node.attribute)))]
        elif kind == 3 and node.input:
            names = [name for other in graph.node for name in other.output] + [""]
            node.input[int(rng.integers(len(node.input)))] = names[int(rng.integers(len(names)))]
        elif kind == 4 and graph.initializer:
            tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
            sizes = rng.integers(0, 4, int(rng.integers(0, 5)))
            tensor.CopyFrom(numpy_helper.from_array(np.full(sizes, number % 100, np.float32), tensor.name))
        elif kind == 5 and graph.input:
            dims = graph.input[int(rng.integers(len(graph.input)))].type.tensor_type.shape.dim
            if dims:
                dims[int(rng.integers(len(dims)))].dim_value = number
        else:
            model.opset_import[0].version = int(rng.integers(6, 28))
    return model.SerializeToString()


def _mutate_attribute(item: onnx.AttributeProto, number: int, rng: np.random.Generator) -> None:
    if item.ints and rng.random() < 0.7:
        item.ints[int(rng.integers(len(item.ints)))] = number
    elif item.ints:
        item.ints.append(number)
    elif item.type == onnx.AttributeProto.INT:
        item.i = number
    else:
        item.type = int(rng.integers(1, 12))
