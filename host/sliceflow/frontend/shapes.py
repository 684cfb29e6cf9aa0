"""Shapes: inference, and sizes that the user gives."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import onnx
import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend.inference import infer
from sliceflow.passes.fold_constants import FoldConstants
from sliceflow.passes.resolve_reshape import ResolveReshape

logger = logging.getLogger(__name__)
_LARGEST = 1 << 31
_MAX_ROUNDS = 200
_INVENTED = "unk__"
_SMALL_BYTES = 1000
"""Constants up to this size may be shapes, axes or scales, whose values inference reads."""


def infer_types(model: ir.Model) -> None:
    """Add the types and shapes that one run of onnx's inference finds, at any opset.

    Its data propagation stays off: it computes the elements of shape vectors of any stated length, and so allocates
    what a hostile model asks for.

    Raises:
        UserError: inference crashes on the model.
    """
    found = infer(_skeleton(model))
    if found is None:
        return
    values = {output.name: output for node in model.graph for output in node.outputs}
    for info in (*found.value_info, *found.output):
        value = values.get(info.name)
        if value is not None and info.type.WhichOneof("value") is not None:
            _forget_invented(info)
            ir.serde.deserialize_value_info_proto(info, value)


def _forget_invented(info: onnx.ValueInfoProto) -> None:
    """Names that inference gives to unknown dimensions would be kept by the next run, even where it knows better."""
    if info.type.WhichOneof("value") == "tensor_type":
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param.startswith(_INVENTED):
                dim.ClearField("dim_param")


def _skeleton(model: ir.Model) -> onnx.ModelProto:
    """The model with large constants as inputs of the same shape."""
    graph = onnx.GraphProto(name="skeleton")
    graph.node.extend(ir.serde.serialize_node(node) for node in model.graph)
    for value in model.graph.inputs:
        graph.input.append(ir.serde.serialize_value(value))
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None:
            continue
        if tensor.nbytes <= _SMALL_BYTES:
            graph.initializer.append(ir.serde.serialize_tensor(tensor))
            graph.initializer[-1].name = name
        elif not value.is_graph_input():
            sizes = [int(size) for size in tensor.shape.numpy()]
            graph.input.append(onnx.helper.make_tensor_value_info(name, int(tensor.dtype), sizes))
    graph.output.extend(ir.serde.serialize_value(value) for value in model.graph.outputs)
    known = {value.name for value in (*graph.input, *graph.output)}
    for node in model.graph:
        for value in node.outputs:
            if value.name not in known and value.name and value.type is not None:
                graph.value_info.append(ir.serde.serialize_value(value))
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in model.graph.opset_imports.items()]
    return onnx.helper.make_model(graph, opset_imports=imports)


def infer_shapes(model: ir.Model) -> None:
    """Add the shapes and types that follow from the inputs of a model at the canonical opset; others stay unknown.

    Instead of onnx's data propagation our own folding is used, which is bounded: each round of it uncovers the targets
    of the next Reshape.
    """
    for _ in range(_MAX_ROUNDS):
        infer_types(model)
        resolved = [step(model).modified for step in (FoldConstants(), ResolveReshape())]
        if not any(resolved):
            return
    logger.warning("shape inference stopped after %d rounds", _MAX_ROUNDS)


def forget_shapes(model: ir.Model) -> None:
    """Drop the shapes that inference can find again: what nodes of the standard domain compute."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.domain == "":
            for value in node.outputs:
                value.shape = None


def set_input_shapes(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> None:
    """Write the sizes of inputs, and forget what was inferred from others.

    Raises:
        UserError: there is no such input, or the shape is impossible.
    """
    inputs = {value.name: value for value in model.graph.inputs}
    for name, shape in shapes.items():
        value = inputs.get(name)
        if value is None:
            known = ", ".join(str(key) for key in inputs)
            raise UserError(f"the model has no input {name!r}", why=f"its inputs are {known}", fix="name one of them")
        sizes = [int(size) for size in shape]
        if any(not 1 <= size < _LARGEST for size in sizes):
            raise UserError(f"the shape {sizes} is impossible", where=f"input {name!r}", fix="give positive sizes")
        if value.shape is not None and len(value.shape) != len(sizes):
            raise UserError(
                f"the shape {sizes} has {len(sizes)} dimensions",
                where=f"input {name!r}",
                why=f"the model declares {value.shape}",
                fix=f"give {len(value.shape)} sizes",
            )
        value.shape = ir.Shape(sizes)
    forget_shapes(model)
