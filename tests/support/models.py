"""Small ONNX models, built node by node, and ONNX Runtime as the oracle for rewrites of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import helper, numpy_helper

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
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))


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
