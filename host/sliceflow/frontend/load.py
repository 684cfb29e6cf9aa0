"""From a file to a normalized model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from sliceflow.errors import UserError
from sliceflow.frontend.external import attach_external
from sliceflow.frontend.forms import adapt, add_notes, settle_floats
from sliceflow.frontend.functions import inline_functions
from sliceflow.frontend.loops import verify_loops
from sliceflow.frontend.nodes import verify_nodes, verify_windows
from sliceflow.frontend.opset import upgrade, upgrade_by_shape
from sliceflow.frontend.read import parse, read_file
from sliceflow.frontend.shapes import infer_shapes, infer_types, set_input_shapes
from sliceflow.frontend.sizes import verify_sizes
from sliceflow.frontend.structure import verify_structure
from sliceflow.passes import normalize
from sliceflow.passes.name_nodes import NameNodes

logger = logging.getLogger(__name__)

Source: TypeAlias = str | Path | bytes | onnx.ModelProto | ir.Model


def load_model(source: Source, *, input_shapes: Mapping[str, Sequence[int]] | None = None) -> ir.Model:
    """Read a model safely and bring it into the form that ``sliceflow.passes`` describes.

    The graph is verified before anything interprets it; functions are inlined; the standard domain is raised to the
    canonical opset; other spellings of a network become ours (``sliceflow.frontend.forms``, and ``notes_of`` says what
    was done); missing shapes are inferred; the normalizing passes run. Nodes that Sliceflow does not know are kept.

    Args:
        source: path of an ``.onnx`` file (weights in external files must lie in its folder), its bytes, or a model
            in memory, which is not changed.
        input_shapes: sizes of inputs by name, written over what the model says.

    Raises:
        UserError: the source cannot be read, or its structure is damaged, malicious or too old.
    """
    model, where = _read(source)
    _prepare(model, where)
    add_notes(model, *settle_floats(model))
    if input_shapes:
        set_input_shapes(model, input_shapes)
    verify_sizes(model, where)  # what the file states; inference is slow on impossible sizes
    infer_types(model)
    version = upgrade(model, where)
    infer_shapes(model)
    adapt(model, where)
    upgrade_by_shape(model, version, where)
    verify_windows(model)
    normalize(model)
    infer_shapes(model)
    verify_loops(model, where)
    verify_sizes(model, where)
    return model


def _read(source: Source) -> tuple[ir.Model, str]:
    if isinstance(source, ir.Model):
        return source.clone(), "the model"
    folder: Path | None = None
    if isinstance(source, onnx.ModelProto):
        proto, where = source, "the model"
    elif isinstance(source, bytes):
        proto, where = parse(source, "the given bytes"), "the given bytes"
    elif isinstance(source, (str, Path)):
        path = Path(source)
        proto, where, folder = read_file(path), str(path), path.parent
    else:
        raise UserError(
            f"a model must be a path, bytes, ModelProto or onnx_ir.Model, not {type(source).__name__}",
            fix="export torch modules with sliceflow.frontend.torch.export_module",
        )
    verify_structure(proto, where)
    try:
        model = ir.from_proto(proto)
    except Exception as error:  # onnx-ir raises what its reader meets; the message is all that matters here
        raise UserError("the model is not valid ONNX", where=where, why=_innermost(error)) from error
    attach_external(model, folder, where)
    return model, where


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _prepare(model: ir.Model, where: str) -> None:
    """Names, order, functions and Constant nodes, before anything needs shapes."""
    if "ai.onnx" in model.graph.opset_imports:
        model.graph.opset_imports[""] = model.graph.opset_imports.pop("ai.onnx")
    inline_functions(model, where)
    for node in model.graph.all_nodes():
        if getattr(node, "device_configurations", ()):
            node.device_configurations = ()  # advice for other machines, and not writable in damaged form
    try:
        model.graph.sort()
    except ValueError as error:
        raise UserError("the graph has a cycle", where=where, why=str(error)) from error
    verify_nodes(model, where)
    NameNodes()(model)  # before anything is folded: the index in a name is the position in the file
    common.RemoveInitializersFromInputsPass()(model)
    try:
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    except ValueError as error:
        raise UserError("a Constant node has no value that can be read", where=where, why=str(error)) from error
