"""Random small CNNs as quantized ONNX models whose scales are powers of two.

With such scales ONNX Runtime's float arithmetic is exact (sums stay below 2^24), so its answer is an oracle for every
integer: what the accelerator computes must be equal, not close.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from sliceflow.onnx_runtime import exact_session

UNARY = ("HardSwish", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Elu")


@dataclasses.dataclass(frozen=True)
class Feature:
    name: str
    channels: int
    height: int
    width: int


class NetworkBuilder:
    """Adds random operators; every tensor made can be read again."""

    def __init__(self, rng: np.random.Generator, *, channels: int, height: int, width: int) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.input = Feature("x", channels, height, width)
        self.features = [self.input]

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{op}_{len(self.nodes)}", **attributes))
        return name

    def pick(self) -> Feature:
        return self.features[max(0, len(self.features) - 1 - int(self.rng.geometric(0.6) - 1))]

    def add(self, feature: Feature) -> Feature:
        self.features.append(feature)
        return feature

    def conv(self, source: Feature, *, depthwise: bool = False, channels: int = 0) -> Feature | None:
        rng = self.rng
        kernel = [int(k) for k in rng.choice([1, 1, 2, 3, 3, 3, 5], 2)]
        if rng.random() < 0.4:
            kernel = [kernel[0]] * 2
        stride = [int(s) for s in rng.choice([1, 1, 1, 2, 3], 2)]
        dilation = [int(d) for d in rng.choice([1, 1, 1, 2, 3], 2)]
        pads = [int(rng.integers(0, k + 1)) for k in (*kernel, *kernel)]
        size = []
        for axis, length in enumerate((source.height, source.width)):
            reach = (kernel[axis] - 1) * dilation[axis] + 1
            size.append((length + pads[axis] + pads[axis + 2] - reach) // stride[axis] + 1)
        if min(size) < 1:
            return None
        group = source.channels if depthwise else 1
        outputs = channels or (source.channels if depthwise else int(rng.integers(1, 22)))
        if not depthwise and not channels and rng.random() < 0.2:
            divisors = [d for d in range(1, source.channels + 1) if source.channels % d == 0]
            group = int(rng.choice(divisors))
            outputs = group * int(rng.integers(1, 5))
        fan_in = source.channels // group * kernel[0] * kernel[1]
        weights = rng.standard_normal((outputs, source.channels // group, *kernel)) / np.sqrt(fan_in)
        inputs = [source.name, self.constant(weights.astype(np.float32))]
        if rng.random() < 0.7:
            inputs.append(self.constant(rng.standard_normal(outputs).astype(np.float32)))
        name = self.node(
            "Conv", inputs, kernel_shape=kernel, strides=stride, dilations=dilation, pads=pads, group=group
        )
        if rng.random() < 0.5:
            name = self.node("Relu", [name])
        return self.add(Feature(name, outputs, *size))

    def pool(self, source: Feature) -> Feature | None:
        rng = self.rng
        kernel = [int(k) for k in rng.integers(1, 4, 2)]
        stride = [int(s) for s in rng.integers(1, 3, 2)]
        pads = [int(rng.integers(0, k)) for k in (*kernel, *kernel)]
        size = [
            (length + pads[axis] + pads[axis + 2] - kernel[axis]) // stride[axis] + 1
            for axis, length in enumerate((source.height, source.width))
        ]
        if min(size) < 1:
            return None
        name = self.node("MaxPool", [source.name], kernel_shape=kernel, strides=stride, pads=pads)
        return self.add(Feature(name, source.channels, *size))

    def unary(self, source: Feature) -> Feature:
        return self.add(dataclasses.replace(source, name=self.node(str(self.rng.choice(UNARY)), [source.name])))

    def resize(self, source: Feature) -> Feature:
        factors = [int(f) for f in self.rng.integers(1, 4, 2)]
        name = self.node(
            "Resize",
            [source.name, "", self.constant(np.array([1, 1, *factors], np.float32))],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return self.add(Feature(name, source.channels, source.height * factors[0], source.width * factors[1]))

    def join(self, source: Feature) -> Feature | None:
        same = [f for f in self.features if (f.height, f.width) == (source.height, source.width) and f is not source]
        if not same:
            return None
        other = same[int(self.rng.integers(len(same)))]
        if other.channels == source.channels and self.rng.random() < 0.7:
            name = self.node("Add", [source.name, other.name])
            if self.rng.random() < 0.5:
                name = self.node("Relu", [name])
            return self.add(dataclasses.replace(source, name=name))
        name = self.node("Concat", [source.name, other.name], axis=1)
        return self.add(Feature(name, source.channels + other.channels, source.height, source.width))

    def residual(self, source: Feature) -> Feature | None:
        """A 3x3 convolution that keeps the size, added to its input."""
        weights = self.rng.standard_normal((source.channels, source.channels, 3, 3)) / np.sqrt(9 * source.channels)
        inputs = [source.name, self.constant(weights.astype(np.float32))]
        name = self.node("Conv", inputs, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        name = self.node("Add", [name, source.name] if self.rng.random() < 0.5 else [source.name, name])
        return self.add(dataclasses.replace(source, name=self.node("Relu", [name])))

    def finish(self, source: Feature) -> onnx.ModelProto:
        """End in a global average pool or a fully connected layer, or as it is."""
        kind = self.rng.choice(["gap", "fc", "map"])
        output: list[int | str] = ["batch", source.channels, source.height, source.width]
        name = source.name
        if kind == "fc":
            flat = self.node("Flatten", [name], axis=1)
            size = source.channels * source.height * source.width
            weights = (self.rng.standard_normal((7, size)) / np.sqrt(size)).astype(np.float32)
            bias = self.rng.standard_normal(7).astype(np.float32)
            name = self.node("Gemm", [flat, self.constant(weights), self.constant(bias)], transB=1)
            output = ["batch", 7]
        elif kind == "gap" and source.height * source.width in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            name = self.node("GlobalAveragePool", [name])
            output = ["batch", source.channels, 1, 1]
        if self.nodes[-1].output[0] == name:
            self.nodes[-1].output[0] = "y"
        else:
            self.nodes.append(helper.make_node("Identity", [name], ["y"], name="last"))
        shape = ["batch", self.input.channels, self.input.height, self.input.width]
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def random_network(rng: np.random.Generator, operators: int = 8) -> onnx.ModelProto:
    """A float CNN with branches, residuals, concatenations, odd channel counts and every mapped operator."""
    height, width = (int(n) for n in rng.integers(4, 15, 2))
    builder = NetworkBuilder(rng, channels=int(rng.integers(1, 12)), height=height, width=width)
    builder.conv(builder.input)
    steps = (
        *(builder.conv, builder.conv, builder.pool, builder.unary, builder.resize, builder.join, builder.join),
        *(builder.residual, lambda source: builder.conv(source, depthwise=True)),
    )
    while len(builder.nodes) < operators:
        source = builder.pick()
        if source.height * source.width > 1200 or source.channels > 60:
            if builder.pool(source) is None:
                builder.conv(source, channels=4)
            continue
        steps[int(rng.integers(len(steps)))](source)
    return builder.finish(builder.features[-1])


class _Reader(CalibrationDataReader):
    def __init__(self, batches: list[np.ndarray]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"x": batch}


TYPES = {
    (8, False): QuantType.QInt8,
    (8, True): QuantType.QUInt8,
    (16, False): QuantType.QInt16,
    (16, True): QuantType.QUInt16,
}
"""ONNX Runtime's names, by bits and whether unsigned."""


def quantize_with_onnxruntime(
    model: onnx.ModelProto,
    rng: np.random.Generator,
    folder: str,
    *,
    unsigned: bool,
    per_channel: bool,
    symmetric: bool,
    bits: tuple[int, int] = (8, 8),
    left_float: Sequence[str] = (),
) -> onnx.ModelProto:
    """ONNX Runtime's own static quantization, calibrated on random data; ``bits`` of activations and weights."""
    if bits != (8, 8):  # the other types came with opset 21
        model.opset_import[0].version, model.ir_version = 21, 10
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    batches = [rng.standard_normal((1, *shape)).astype(np.float32) for _ in range(4)]
    onnx.save(model, f"{folder}/float.onnx")
    quantize_static(
        f"{folder}/float.onnx",
        f"{folder}/quantized.onnx",
        _Reader(batches),
        quant_format=QuantFormat.QDQ,
        activation_type=TYPES[bits[0], unsigned],
        weight_type=QuantType.QInt8 if bits[1] == 8 else QuantType.QInt4,
        per_channel=per_channel,
        nodes_to_exclude=list(left_float),
        extra_options={"ActivationSymmetric": symmetric and not unsigned, "WeightSymmetric": symmetric},
    )
    return onnx.load(f"{folder}/quantized.onnx")


def round_scales(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace every scale by the nearest power of two, in place; biases keep ``s_x * s_w``."""
    scales = {node.input[1] for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")}
    values = {}
    for tensor in model.graph.initializer:
        if tensor.name in scales:
            array = np.exp2(np.round(np.log2(numpy_helper.to_array(tensor)))).astype(np.float32)
            values[tensor.name] = array
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    producers = {out: node for node in model.graph.node for out in node.output}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3:
            continue
        x, w, b = (values[producers[name].input[1]] for name in node.input[:3])
        name = producers[node.input[2]].input[1]
        tensor = next(t for t in model.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.broadcast_to(x * w, b.shape).astype(np.float32).copy(), name))
    return model


def run_onnxruntime(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Execute without graph optimizations, on one thread."""
    return exact_session(model.SerializeToString(), 1, where="test", level="none").run(None, feed)
