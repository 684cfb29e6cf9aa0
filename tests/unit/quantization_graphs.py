"""Small float networks for the quantization tests, and readers of the quantized result."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from sliceflow.onnx_runtime import exact_session, user_session
from sliceflow.quantization import CalibrationData, QuantizationOptions, QuantizationResult, quantize


class Net:
    """Builds a model node by node; every method returns the name of the tensor it made."""

    def __init__(self, *dims, seed=0, batch="n"):
        self.rng = np.random.default_rng(seed)
        self.batch = batch
        self.dims = dims
        self.nodes, self.constants, self.channels = [], [], {"x": dims[0]}

    def const(self, array, name=None):
        name = name or f"k{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, op, *inputs, out=None, outputs=1, **attributes):
        out = out or f"{op.lower()}{len(self.nodes)}"
        names = [out] if outputs == 1 else [f"{out}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=f"node_{out}", **attributes))
        for name in names:
            self.channels[name] = self.channels.get(inputs[0], 0)
        return names[0] if outputs == 1 else names

    def weights(self, *shape):
        return (self.rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)

    def conv(self, x, channels, kernel=3, *, group=1, bias=True, out=None, **attributes):
        inputs = [x, self.const(self.weights(channels, self.channels[x] // group, kernel, kernel))]
        if bias:
            inputs.append(self.const((0.1 * self.rng.standard_normal(channels)).astype(np.float32)))
        name = self.op("Conv", *inputs, out=out, group=group, pads=[kernel // 2] * 4, **attributes)
        self.channels[name] = channels
        return name

    def concat(self, *inputs, out=None):
        name = self.op("Concat", *inputs, axis=1, out=out)
        self.channels[name] = sum(self.channels[value] for value in inputs)
        return name

    def gemm(self, x, inputs, outputs, *, out=None):
        bias = self.const((0.1 * self.rng.standard_normal(outputs)).astype(np.float32))
        return self.op("Gemm", x, self.const(self.weights(outputs, inputs)), bias, out=out, transB=1)

    def model(self, *outputs):
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [self.batch, *self.dims])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)

    def samples(self, count=4):
        return self.rng.standard_normal((count, *self.dims)).astype(np.float32)


def quantized(model: onnx.ModelProto, x: np.ndarray, **options) -> QuantizationResult:
    return quantize(ir.from_proto(model), CalibrationData({"x": x}), QuantizationOptions(threads=1, **options))


def run(model, x, *, rewritten=False):
    """What the model means, or what ONNX Runtime's integer kernels make of it, where they do not saturate."""
    proto = model if isinstance(model, onnx.ModelProto) else ir.to_proto(model)
    data = proto.SerializeToString()
    session = user_session(data, 1, where="test", precise=True) if rewritten else exact_session(data, 1, where="test")
    return session.run(None, {"x": x})


def snr(real, other):
    noise = float(np.square(real - other, dtype=np.float64).sum())
    return float("inf") if noise == 0 else 10 * np.log10(float(np.square(real, dtype=np.float64).sum()) / noise)


class View:
    """The quantization points of a QDQ model, read from its protobuf alone."""

    def __init__(self, result: QuantizationResult) -> None:
        self.proto = ir.to_proto(result.model)
        onnx.checker.check_model(self.proto, full_check=True)
        self.arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.proto.graph.initializer}
        self.producer = {name: node for node in self.proto.graph.node for name in node.output}

    def node(self, op, index=0):
        return [node for node in self.proto.graph.node if node.op_type == op][index]

    def points(self):
        """Tensors that a QuantizeLinear reads, by their float name, with scale and zero point."""
        found = {}
        for node in self.proto.graph.node:
            if node.op_type == "QuantizeLinear":
                scale, zero = (self.arrays[name] for name in node.input[1:])
                found[node.input[0].removesuffix("_float")] = (float(scale), int(zero), str(zero.dtype))
        return found

    def fed_by(self, node, index=0):
        """What produces an input of a node: "DequantizeLinear", an operator, or "" for a graph input."""
        producer = self.producer.get(node.input[index])
        return producer.op_type if producer is not None else ""
