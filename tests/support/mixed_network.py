"""Random float networks of which a part stays on the CPU: functions without a table, gates, moves, tails."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.support.random_network import Feature, NetworkBuilder


class MixedBuilder(NetworkBuilder):
    """Adds operators that no accelerator layer does, or only in other forms, between those that one does."""

    def function(self, source: Feature) -> Feature:
        """A function that quantization leaves in float."""
        positive = self.node("Abs", [source.name])
        return self.add(dataclasses.replace(source, name=self.node("Sqrt", [positive])))

    def gate(self, source: Feature) -> Feature:
        """Squeeze and excitation."""
        pooled = self.node("GlobalAveragePool", [source.name])
        weights = self.rng.standard_normal((source.channels, source.channels, 1, 1)) / np.sqrt(source.channels)
        weighed = self.node("Conv", [pooled, self.constant(weights.astype(np.float32))])
        name = self.node("Mul", [source.name, self.node("Sigmoid", [weighed])])
        return self.add(dataclasses.replace(source, name=name))

    def slopes(self, source: Feature) -> Feature:
        slope = self.constant(self.rng.uniform(0.1, 0.9, (source.channels, 1, 1)).astype(np.float32))
        return self.add(dataclasses.replace(source, name=self.node("PRelu", [source.name, slope])))

    def affine(self, source: Feature) -> Feature:
        factor = self.constant(self.rng.uniform(0.5, 2, (source.channels, 1, 1)).astype(np.float32))
        return self.add(dataclasses.replace(source, name=self.node("Mul", [source.name, factor])))

    def turned(self, source: Feature) -> Feature:
        """Rows and columns change places, by a Transpose or by views around one."""
        if self.rng.random() < 0.5:
            name = self.node("Transpose", [source.name], perm=[0, 1, 3, 2])
        else:
            flat = self.constant(np.array([0, 0, -1, 1], np.int64))
            shape = self.constant(np.array([0, source.channels, source.width, source.height], np.int64))
            rows = self.node("Transpose", [source.name], perm=[0, 1, 3, 2])
            name = self.node("Reshape", [self.node("Reshape", [rows, flat]), shape])
        return self.add(Feature(name, source.channels, source.width, source.height))

    def wide_pool(self, source: Feature) -> Feature:
        name = self.node("MaxPool", [source.name], kernel_shape=[11, 11], strides=[1, 1], pads=[5] * 4)
        return self.add(dataclasses.replace(source, name=name))

    def bilinear(self, source: Feature) -> Feature:
        name = self.node("Resize", [source.name, "", self.constant(np.array([1, 1, 2, 2], np.float32))], mode="linear")
        return self.add(Feature(name, source.channels, 2 * source.height, 2 * source.width))

    def split(self, source: Feature) -> Feature | None:
        """Half of the channels goes on, the other is added to it or left alone."""
        if source.channels < 2 or source.channels % 2:
            return None
        half = source.channels // 2
        sizes = self.constant(np.array([half, half], np.int64))
        names = [f"s{len(self.nodes)}_{part}" for part in (0, 1)]
        label = f"Split_{len(self.nodes)}"
        self.nodes.append(helper.make_node("Split", [source.name, sizes], names, name=label, axis=1))
        name = self.node("Add", names) if self.rng.random() < 0.5 else names[0]
        return self.add(Feature(name, half, source.height, source.width))

    def finish(self, source: Feature) -> onnx.ModelProto:
        """A detector's tail on the CPU, a classifier, or a map, and often a second output from the middle."""
        kind = self.rng.choice(["detector", "classifier", "map"])
        outputs: list[str] = []
        if kind == "detector":
            rows = self.node("Reshape", [source.name, self.constant(np.array([0, source.channels, -1], np.int64))])
            rows = self.node("Transpose", [rows], perm=[0, 2, 1])
            boxes = self.node("Mul", [self.node("Exp", [rows]), self.constant(np.float32(500))])
            outputs.append(self.node("Concat", [boxes, self.node("Sigmoid", [rows])], axis=2))
        elif kind == "classifier":
            size = source.channels * source.height * source.width
            weights = (self.rng.standard_normal((5, size)) / np.sqrt(size)).astype(np.float32)
            flat = self.node("Flatten", [source.name], axis=1)
            scores = self.node("Gemm", [flat, self.constant(weights)], transB=1)
            outputs.append(self.node("Softmax", [scores], axis=1) if self.rng.random() < 0.5 else scores)
        else:
            outputs.append(source.name)
        if self.rng.random() < 0.4:
            outputs.append(self.pick().name)
        made = {name for node in self.nodes for name in node.output}
        outputs = [name for name in dict.fromkeys(outputs) if name in made]
        graph = helper.make_graph(
            self.nodes,
            "mixed",
            [
                helper.make_tensor_value_info(
                    "x", TensorProto.FLOAT, ["n", self.input.channels, self.input.height, self.input.width]
                )
            ],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def mixed_network(rng: np.random.Generator, operators: int = 10) -> onnx.ModelProto:
    """A float CNN of mapped and unmapped operators in random order."""
    height, width = (int(n) for n in rng.integers(6, 15, 2))
    builder = MixedBuilder(rng, channels=int(rng.integers(1, 10)), height=height, width=width)
    builder.conv(builder.input, channels=int(rng.integers(4, 40)))
    on_fpga = (builder.conv, builder.conv, builder.pool, builder.unary, builder.resize, builder.join, builder.residual)
    on_cpu = (
        *(builder.function, builder.gate, builder.slopes, builder.affine, builder.turned, builder.wide_pool),
        *(builder.bilinear, builder.split),
    )
    while len(builder.nodes) < operators:
        source = builder.pick()
        if source.height * source.width > 600 or source.channels > 60:
            if builder.pool(source) is None:
                builder.conv(source, channels=4)
            continue
        steps = on_cpu if rng.random() < 0.35 else on_fpga
        steps[int(rng.integers(len(steps)))](source)
    return builder.finish(builder.features[-1])
