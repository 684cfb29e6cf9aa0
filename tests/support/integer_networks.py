"""Random networks as exporters of integers write them: float graphs whose every number is an integer."""

from __future__ import annotations

import numpy as np
import onnx

from tests.support.models import Graph

FORMS = ("floor", "half-up", "round")
"""How results become integers: floor; floor of half a step more; to nearest, ties to even."""


class IntegerNetwork(Graph):
    """A network under construction. Weights and biases are integers; tensors hold integers.

    Args:
        seed: of all random numbers.
        form: one of ``FORMS``; "" for files that do not round.
    """

    def __init__(self, seed: int, form: str) -> None:
        super().__init__(seed, opset=int(np.random.default_rng(seed).choice([13, 17, 20])), ir_version=8)
        self.form = form

    def choice(self, *options):
        return options[int(self.rng.integers(len(options)))]

    def integers(self, value: str, shift: int, *, signed: bool) -> str:
        """Divide by a power of two, round, clamp: in one of the orders that mean the same."""
        steps = ["scale", *(["round"] if self.form else []), "clip"]
        if not signed and self.choice(True, False):
            steps.insert(self.choice(0, 1), "relu")
        low, high = (-128, 127) if signed else self.choice((0, 255), (0, 255), (0, 127), (0, 15))
        for step in steps:
            if step == "scale":
                op = self.choice("Div", "Mul")
                factor = self.constant(2.0**shift if op == "Div" else 2.0**-shift)
                operands = [value, factor]
                value = self.node(op, *operands)
            elif step == "round":
                value = self.node("Round" if self.form == "round" else "Floor", value)
            elif step == "relu":
                value = self.node("Relu", value)
            else:
                value = self.node("Clip", value, self.constant(low), self.constant(high))
        return value

    def layer(self, value: str, inputs: int, outputs: int, *, signed: bool, group: int = 1, kernel: int = 3) -> str:
        weights = self.constant(self.rng.integers(-127, 128, (outputs, inputs // group, kernel, kernel)))
        shift = 7 + int(np.ceil(np.log2(kernel * np.sqrt(inputs // group))))
        bias = self.rng.integers(-2000, 2000, outputs) + (1 << (shift - 1)) * (self.form == "half-up")
        pads = [kernel // 2] * 4
        value = self.node("Conv", value, weights, self.constant(bias), pads=pads, group=group)
        return self.integers(value, shift, signed=signed)

    def classifier(self, value: str, features: int, outputs: int, *, closed: bool = True) -> str:
        value = self.node("Flatten", value)
        weights = self.constant(self.rng.integers(-127, 128, (outputs, features)))
        bias = self.constant(self.rng.integers(-2000, 2000, outputs))
        value = self.node("Gemm", value, weights, bias, transB=1)
        return self.integers(value, 7 + int(np.log2(features) / 2), signed=True) if closed else value


def random_integer_network(seed: int, form: str) -> tuple[onnx.ModelProto, np.ndarray]:
    """A network with convolutions, depthwise and grouped ones, residual sums, concatenations and pools.

    Returns:
        The model, and images for it.
    """
    net = IntegerNetwork(seed, form)
    signed_input = net.choice(True, False)
    value, channels, side = net.input("N", 3, 12, 12), 3, 12
    for _ in range(int(net.rng.integers(2, 5))):
        kind = net.choice("plain", "plain", "depthwise", "sum", "concat", "pool", "average", "upsample")
        signed = net.choice(True, False)
        if kind == "plain" or channels == 3:
            width = net.choice(4, 6, 8)
            value, channels = net.layer(value, channels, width, signed=signed, kernel=net.choice(1, 3, 5)), width
        elif kind == "depthwise":
            value = net.layer(value, channels, channels, signed=signed, group=net.choice(channels, 2))
        elif kind == "sum" and form in ("", "round"):
            branch = net.layer(value, channels, channels, signed=signed)
            value = net.integers(net.node("Add", value, branch), net.choice(0, 1), signed=signed)
        elif kind == "concat":
            branches = [net.layer(value, channels, 4, signed=signed, kernel=k) for k in (1, 3)]
            value, channels = net.node("Concat", *branches, axis=1), 8
        elif kind == "pool" and side > 3:
            value, side = net.node("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2]), side // 2
        elif kind == "average" and side > 3 and form != "half-up":
            value, side = net.node("AveragePool", value, kernel_shape=[2, 2], strides=[2, 2]), side // 2
            value = net.integers(value, 0, signed=True)
        elif kind == "upsample" and side < 12:
            value, side = net.node("Resize", value, "", net.constant([1, 1, 2, 2]), mode="nearest"), side * 2
    net.output(net.classifier(value, channels * side * side, 5), ["N", 5])
    low, high = (-128, 127) if signed_input else (0, 255)
    images = net.rng.integers(low, high, (3, 3, 12, 12), endpoint=True).astype(np.float32)
    return net.model(), images


def with_integer_operators(seed: int) -> tuple[onnx.ModelProto, onnx.ModelProto, np.ndarray]:
    """The same network twice: with ConvInteger, MatMulInteger, int32 arithmetic and Casts, and as a float graph.

    Returns:
        Both models, and images of the first one's type.
    """
    rng = np.random.default_rng(seed)
    signed = bool(rng.integers(2))
    weights = [rng.integers(-127, 128, shape) for shape in ((6, 3, 3, 3), (8, 6, 1, 1), (5, 8 * 36))]
    biases = [rng.integers(-2000, 2000, len(each)) for each in weights]
    division = [bool(rng.integers(2)) for _ in weights]
    dtype = "int8" if signed else "uint8"
    images = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (2, 3, 12, 12), endpoint=True).astype(dtype)

    def build(integer: bool) -> onnx.ModelProto:
        net = Graph(seed, opset=17, ir_version=8)
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) if integer else onnx.TensorProto.FLOAT
        value = net.input("N", 3, 12, 12, dtype=kind)
        for index, (codes, bias, divides) in enumerate(zip(weights, biases, division, strict=True)):
            last, shift = index == 2, 9 + index
            if last:
                value = net.node("Flatten", net.node("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2]))
            target = "int8" if last and not divides else "uint8"
            low, high = np.iinfo(target).min, np.iinfo(target).max
            shape = (1, -1, 1, 1) if not last else (1, -1)
            if not integer:
                settings = {"transB": 1} if last else {"pads": [codes.shape[2] // 2] * 4}
                operands = [net.constant(codes), net.constant(bias)]
                value = net.node("Gemm" if last else "Conv", value, *operands, **settings)
                value = net.node("Floor", net.node("Mul", value, net.constant(2.0**-shift)))
                value = net.node("Clip", value, net.constant(low), net.constant(high))
                continue
            if last:
                value = net.node("MatMulInteger", value, net.constant(codes.T, "int8"))
            else:
                value = net.node("ConvInteger", value, net.constant(codes, "int8"), pads=[codes.shape[2] // 2] * 4)
            value = net.node("Add", value, net.constant(bias.reshape(shape), "int32"))
            if divides:
                value = net.node("Div", net.node("Relu", value), net.constant(2**shift, "int32"))
                value = net.node("Clip", value, net.constant(low, "int32"), net.constant(high, "int32"))
            else:
                value = net.node("Mul", net.node("Cast", value, to=1), net.constant(2.0**-shift))
                value = net.node("Clip", net.node("Floor", value), net.constant(low), net.constant(high))
            value = net.node("Cast", value, to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(target)))
        dtype_out = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(target)) if integer else onnx.TensorProto.FLOAT
        net.output(value, ["N", 5], dtype_out)
        return net.model()

    return build(True), build(False), images
