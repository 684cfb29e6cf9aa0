"""A copy of an ONNX model whose layers are fed from outside: every value that is known goes in, and comes out computed.

So each layer computes with the same numbers as ours, and errors neither grow over layers nor hide behind one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Mapping
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
_GIVEN, _FOUND = "sliceflow/given/", "sliceflow/found/"


@dataclasses.dataclass(frozen=True)
class Point:
    """A value of the model at which it is fed and looked at.

    Attributes:
        value: its name in the model.
        given: name of the input that stands in for it.
        found: name of the output that holds what the model computes there.
        real: whether both are real numbers; integers as the model has them otherwise.
        step: distance of neighbouring numbers, where the value is quantized with one scale; None otherwise.
        roundings: quantizers between the points before and this one, its own not counted.
        exact: name of the output that holds the value in front of the quantizer; None if there is none.
    """

    value: str
    given: str
    found: str
    real: bool
    step: float | None
    roundings: int
    exact: str | None = None


class FedModel:
    """Finds points in a model and makes the fed copy.

    Args:
        model: the model; it is not changed. Weights may be left in other files.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = onnx.ModelProto()
        self._model.CopyFrom(model)
        self._nodes = list(self._model.graph.node)
        self._producers = {name: node for node in self._nodes for name in node.output if name}
        self._constants = {tensor.name: tensor for tensor in self._model.graph.initializer}
        self._constants |= {
            node.output[0]: attribute.t
            for node in self._nodes
            if node.op_type == "Constant"
            for attribute in node.attribute
            if attribute.name == "value"
        }

    @property
    def quantized(self) -> bool:
        """Whether the model has quantizers."""
        return any(node.op_type == "QuantizeLinear" for node in self._nodes)

    def has(self, name: str) -> bool:
        """Whether a node of the model computes this value."""
        return name in self._producers

    def observed(self, names: Iterable[str]) -> bytes:
        """The model with these values as its outputs; unchanged otherwise."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        del copy.graph.output[:]
        copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
        return bytes(copy.SerializeToString())

    def fed(self, samples: Mapping[str, Array], codes: Container[str] = ()) -> tuple[bytes, list[Point]]:
        """Cut the model at values.

        Args:
            samples: what the model computes at each value, for its type and shape.
            codes: results of quantizers that are given as integers; others are given as real numbers.

        Returns:
            The fed model, and its points in the order of ``samples``. Its outputs are their ``found`` and ``exact``.
        """
        points = [self._cut(name, sample, as_codes=name in codes) for name, sample in samples.items()]
        graph = self._model.graph
        del graph.node[:], graph.output[:]
        graph.node.extend(self._nodes)
        for name in (name for point in points for name in (point.found, point.exact) if name is not None):
            graph.output.append(helper.make_empty_tensor_value_info(name))
        self._producers = {name: node for node in self._nodes for name in node.output if name}
        counted = [dataclasses.replace(point, roundings=self._roundings(point)) for point in points]
        return bytes(self._model.SerializeToString()), counted

    def _cut(self, name: str, sample: Array, *, as_codes: bool) -> Point:
        producer, given = self._producers[name], _GIVEN + name
        if as_codes or producer.op_type != "QuantizeLinear":
            for node in self._nodes:
                for index, read in enumerate(node.input):
                    if read == name:
                        node.input[index] = given
            self._input(given, sample)
            real = sample.dtype.kind == "f"
            return Point(name, given, name, real, self._step(producer) if real else 1.0, 0)
        # Our numbers are quantized as the model does it. What it computes itself goes through a second pair.
        again, found = onnx.NodeProto(), _FOUND + name
        again.CopyFrom(producer)
        again.name, again.output[0] = f"{found}/quantizer", f"{found}/integers"
        inverse = onnx.NodeProto()
        inverse.CopyFrom(again)
        inverse.op_type, inverse.name = "DequantizeLinear", f"{found}/inverse"
        inverse.input[0], inverse.output[0] = again.output[0], found
        kept = [attribute for attribute in producer.attribute if attribute.name in ("axis", "block_size")]
        del inverse.attribute[:]
        inverse.attribute.extend(kept)
        exact = f"{found}/exact"
        self._nodes += [again, inverse, helper.make_node("Identity", [producer.input[0]], [exact], f"{found}/before")]
        producer.input[0] = given
        scale = self._constants.get(producer.input[1])
        kind = onnx.TensorProto.FLOAT if scale is None else scale.data_type
        self._input(given, sample.astype(helper.tensor_dtype_to_np_dtype(kind)))
        return Point(name, given, found, True, self._step(producer), 0, exact)

    def _input(self, name: str, sample: Array) -> None:
        kind = helper.np_dtype_to_tensor_dtype(sample.dtype)
        self._model.graph.input.append(helper.make_tensor_value_info(name, kind, sample.shape))

    def _step(self, node: onnx.NodeProto) -> float | None:
        """Scale of a quantizer or its inverse, if it is one constant."""
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            return None
        tensor = self._constants.get(node.input[1])
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
            return None
        scale = numpy_helper.to_array(tensor)
        return float(scale.reshape(-1)[0]) if scale.size == 1 else None

    def _roundings(self, point: Point) -> int:
        """Quantizers that a value depends on, back to what is given."""
        first = self._producers[point.found]
        if first.op_type == "DequantizeLinear" and point.found.startswith(_FOUND):
            first = self._producers[first.input[0]]  # the point's own quantizer
        seen, waiting, count = {first.output[0]}, list(first.input), 0
        while waiting:
            name = waiting.pop()
            node = self._producers.get(name)
            if node is None or name in seen:
                continue
            seen.add(name)
            count += node.op_type == "QuantizeLinear"
            waiting += node.input
        return count
