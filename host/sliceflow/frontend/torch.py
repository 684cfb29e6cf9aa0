"""Torch modules. The only file of the front end that imports torch, and only when it is used."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.files import write_file
from sliceflow.frontend.load import load_model

logger = logging.getLogger(__name__)
_OPSET = 18
"""Both exporters of all supported torch versions write it."""


def export_module(
    module: Any,
    example_inputs: Any,
    path: str | Path | None = None,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_batch: bool = True,
    older_first: bool = False,
) -> ir.Model:
    """Export a torch module through ONNX, in evaluation mode.

    Args:
        module: a ``torch.nn.Module``; its training mode is restored.
        example_inputs: a tensor, or a tuple of tensors, of the module's inputs, ``[N, ...]``.
        path: where to keep the ONNX file; it is written as torch exported it.
        input_names: names of the inputs; ``input``, ``input_1`` ... by default.
        output_names: names of the outputs; ``output``, ``output_1`` ... by default.
        dynamic_batch: leave the first dimension of every input open.
        older_first: try torch's older exporter before the newer one; it takes a hundredth of the time.

    Returns:
        The normalized model.

    Raises:
        UserError: torch is not installed, or cannot export the module.
    """
    torch = _torch()
    if not isinstance(module, torch.nn.Module):
        raise UserError(f"export_module takes a torch.nn.Module, not {type(module).__name__}")
    inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    if not inputs or not all(isinstance(item, torch.Tensor) for item in inputs):
        raise UserError("example_inputs must be a tensor or a tuple of tensors")
    names = list(input_names or _numbered("input", len(inputs)))
    if len(names) != len(inputs):
        raise UserError(f"there are {len(names)} input names for {len(inputs)} inputs")
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            results = module(*inputs)
            count = len(results) if isinstance(results, (tuple, list)) else 1
            outputs = list(output_names or _numbered("output", count))
            data = _export(torch, module, inputs, names, outputs, dynamic_batch, older_first)
    finally:
        module.train(was_training)
    if path is not None:
        try:
            write_file(Path(path), data)
        except OSError as error:
            raise UserError("the model cannot be written", where=str(path), why=str(error)) from error
    return load_model(data)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError("torch is not installed", why=str(error), fix="pip install 'sliceflow[torch]'") from error
    return torch


def _numbered(stem: str, count: int) -> list[str]:
    return [stem if index == 0 else f"{stem}_{index}" for index in range(count)]


def _export(
    torch: Any,
    module: Any,
    inputs: tuple[Any, ...],
    names: list[str],
    outputs: list[str],
    dynamic_batch: bool,
    older_first: bool,
) -> bytes:
    """Serialized ONNX from one exporter, or from the other if that fails; the newer one needs onnxscript."""
    common: dict[str, Any] = {"input_names": names, "output_names": outputs, "opset_version": _OPSET}
    problems: list[str] = []
    for dynamo in (not older_first, older_first):
        if dynamo and importlib.util.find_spec("onnxscript") is None:
            problems.append("the newer exporter needs the package onnxscript")
            continue
        options = dict(common)
        if dynamic_batch and dynamo:
            options["dynamic_shapes"] = tuple({0: torch.export.Dim("batch")} for _ in inputs)
        elif dynamic_batch:
            options["dynamic_axes"] = {name: {0: "batch"} for name in (*names, *outputs)}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _run_export(torch, module, inputs, options, dynamo=dynamo)
        except Exception as error:  # torch's exporters raise errors of many kinds for modules that they cannot trace
            logger.info("torch.onnx.export(dynamo=%s) failed: %s", dynamo, error)
            lines = str(error).strip().splitlines() or [""]
            problems.append(f"{type(error).__name__}: {lines[0]}")
    raise UserError(
        "torch cannot export the module",
        where=type(module).__name__,
        why="; ".join(problems),
        fix="make the module traceable, or export it to ONNX yourself",
    )


def _run_export(torch: Any, module: Any, inputs: tuple[Any, ...], options: dict[str, Any], *, dynamo: bool) -> bytes:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that it does without
    if dynamo:
        program = torch.onnx.export(module, inputs, dynamo=True, verbose=False, **options)
        return bytes(program.model_proto.SerializeToString())
    buffer = io.BytesIO()
    torch.onnx.export(module, inputs, buffer, dynamo=False, **options)
    return buffer.getvalue()
