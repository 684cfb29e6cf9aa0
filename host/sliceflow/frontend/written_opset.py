"""The opset in which a model is written: the one it came with, where that suffices.

Inside, all models have the canonical opset. Some versions of ONNX Runtime rewrite quantized models of opset 21 and
newer into invalid ones, and older versions do not know it; so what is written goes back to the opset of its source.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import onnx
import onnx_ir as ir

from sliceflow.frontend.schemas import schema
from sliceflow.passes.edit import drop_unread
from sliceflow.passes.view import attribute, constant, dims, graph_of, input_at

OLDEST = 13
"""Quantizers have a scale for each channel since then."""
QUANTIZED_NEWEST = 20
_SOURCE = "sliceflow.opset"
_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def remember_opset(model: ir.Model, version: int | None) -> None:
    """Keep the opset of the file that a model was read from; copies of the model keep it too."""
    if version is not None:
        model.graph.meta.setdefault(_SOURCE, version)


def source_opset(model: ir.Model) -> int | None:
    """The opset of the file that a model was read from; None if it was not read from one."""
    found: int | None = model.graph.meta.get(_SOURCE)
    return found


def as_written(model: ir.Model, source: int | None = None) -> ir.Model:
    """A model at the opset in which it is to be written.

    That is the opset of its source, or the next newer one in which every node means what it means now; quantized models
    stay below 21 if they can. Types of four and sixteen bits, for instance, need 21.

    Args:
        model: at the canonical opset. It is not changed.
        source: the opset of its source; what ``remember_opset`` kept if omitted.

    Returns:
        A copy that shares the tensors, with the oldest IR version that has this opset.
    """
    own, copy = model.graph.opset_imports.get(""), model.clone()
    if own is None:
        return copy
    nodes = list(ir.traversal.RecursiveGraphIterator(copy.graph))
    newest = QUANTIZED_NEWEST if any(node.op_type in _QUANTIZERS for node in nodes) else own
    first = max(OLDEST, min(source or source_opset(model) or own, newest))
    for version in range(first, own):
        changes = [_change(node, version, own) for node in nodes]
        if None not in changes:
            for node, change in zip(nodes, changes, strict=True):
                if change is not None:
                    change(node)
                node.version = None
            copy.graph.opset_imports[""] = version
            break
    standard = onnx.helper.make_opsetid("", copy.graph.opset_imports[""])
    copy.ir_version = onnx.helper.find_min_ir_version_for([standard], ignore_unknown=True)
    return copy


_Change = Callable[[ir.Node], None]


def _change(node: ir.Node, version: int, own: int) -> _Change | None:
    """What makes a node mean at an older opset what it means now; None if nothing does."""
    if node.domain != "":
        return _nothing
    new, old = schema(node.op_type, own), schema(node.op_type, version)
    if new is None or old is None:
        return None
    if new.since_version == old.since_version:
        return _nothing
    below, change_of = _REDEFINED.get(node.op_type, (0, _refuse))
    if version < below:
        return change_of(node) if _types_fit(node, old) else None
    extra = [name for name in node.attributes if name not in old.attributes]
    fits = (
        len(node.inputs) <= old.max_input
        and len(node.outputs) <= old.max_output
        and all(_is_default(node, name, new) for name in extra)
        and not _has_new_value(node, version)
        and _types_fit(node, old)
    )
    return functools.partial(_drop, names=extra) if fits else None


def _nothing(node: ir.Node) -> None:
    pass


def _drop(node: ir.Node, names: list[str]) -> None:
    for name in names:
        node.attributes.pop(name)


def _refuse(node: ir.Node) -> _Change | None:
    return None


def _split(node: ir.Node) -> _Change | None:
    """Split below 18 has no number of outputs: parts are equal or given."""
    found, axis, count = dims(node.inputs[0]), int(attribute(node, "axis", 0)), len(node.outputs)
    size = found[axis] if found is not None and -len(found) <= axis < len(found) else None
    if len(node.inputs) > 1 or (isinstance(size, int) and size % count == 0):
        return functools.partial(_drop, names=["num_outputs"] if "num_outputs" in node.attributes else [])
    return None


def _reduce(node: ir.Node) -> _Change | None:
    """Reductions but ReduceSum have their axes as an attribute below 18."""
    axes = constant(input_at(node, 1))
    if attribute(node, "noop_with_empty_axes", 0) or (input_at(node, 1) is not None and axes is None):
        return None

    def change(node: ir.Node) -> None:
        node.attributes.pop("noop_with_empty_axes", None)
        if axes is not None and axes.size:
            node.attributes["axes"] = ir.AttrInt64s("axes", [int(axis) for axis in axes.reshape(-1)])
        read = input_at(node, 1)
        node.resize_inputs(1)
        drop_unread(graph_of(node), read)

    return change


_REDEFINED: dict[str, tuple[int, Callable[[ir.Node], _Change | None]]] = {
    "DFT": (20, _refuse),
    "GridSample": (20, _refuse),
    "GroupNormalization": (21, _refuse),
    "RoiAlign": (16, _refuse),
    "Split": (18, _split),
    **{
        f"Reduce{n}": (18, _reduce)
        for n in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
    },
}
"""Operators whose inputs or attributes had another meaning: below which opset, and how they follow."""
_NEW_VALUES: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "Pad": (19, "mode", ("wrap",)),
    "Resize": (19, "coordinate_transformation_mode", ("half_pixel_symmetric",)),
    "ScatterElements": (18, "reduction", ("max", "min")),
    "ScatterND": (18, "reduction", ("max", "min")),
}
"""Attributes that have new values: below which opset they have not, and which."""


def _has_new_value(node: ir.Node, version: int) -> bool:
    below, name, values = _NEW_VALUES.get(node.op_type, (0, "", ()))
    return version < below and attribute(node, name) in values


def _is_default(node: ir.Node, name: str, schema: Any) -> bool:
    known = schema.attributes.get(name)
    if known is None or known.default_value.type == onnx.AttributeProto.UNDEFINED:
        return False
    return bool(ir.from_proto(known.default_value).value == node.attributes[name].value)


def _types_fit(node: ir.Node, schema: Any) -> bool:
    """Whether the types of tensors, as far as they are known, are those of an operator's definition."""
    for values, parameters in ((node.inputs, schema.inputs), (node.outputs, schema.outputs)):
        for index, value in enumerate(values):
            if value is None or value.dtype is None or not isinstance(value.type, ir.TensorType) or not parameters:
                continue
            if f"tensor({value.dtype.name.lower()})" not in parameters[min(index, len(parameters) - 1)].types:
                return False
    return True
