"""Torch modules. The only file of the front end that imports torch, and only when it is used."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.files import write_file
from sliceflow.frontend.load import load_model
from sliceflow.onnx_runtime import exact_session

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
        examples = inputs
        if dynamic_batch and dynamo:
            options["dynamic_shapes"] = tuple({0: torch.export.Dim("batch")} for _ in inputs)
            if any(len(item) == 1 for item in inputs):  # it takes a 1 for a size that never changes
                examples = tuple(torch.cat([item, item]) for item in inputs)
        elif dynamic_batch:
            options["dynamic_axes"] = {name: {0: "batch"} for name in (*names, *outputs)}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data = _run_export(torch, module, examples, options, dynamo=dynamo)
            _try_out(torch, data, module, inputs, names, (1, 3) if dynamic_batch else ())
        except Exception as error:  # torch's exporters raise errors of many kinds for modules that they cannot trace
            logger.info("torch.onnx.export(dynamo=%s) failed: %s", dynamo, error)
            problems.append(_reason(error))
        else:
            return data
    raise UserError(
        "torch cannot export the module",
        where=type(module).__name__,
        why="; ".join(problems),
        fix="write x.shape[0] where the module's code has len(x), and no sizes of a batch; make it traceable, or "
        "export it to ONNX yourself",
    )


def _reason(error: Exception) -> str:
    """An error of a library in one line."""
    if isinstance(error, UserError):
        return f"{error.what}: {error.why}" if error.why else error.what
    lines = re.sub("\x1b\\[[0-9;]*m", "", str(error)).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _try_out(
    torch: Any, data: bytes, module: Any, inputs: tuple[Any, ...], names: list[str], batches: tuple[int, ...]
) -> None:
    """Run an exported model on other numbers of examples: exporters take some sizes for ones that never change.

    Raises:
        UserError: it does not run, or makes something else than the module.
    """
    session = None
    for batch in batches:
        examples = tuple(torch.cat([item] * batch)[:batch] for item in inputs)
        try:
            first, second = (_tensors(torch, module(*examples)) for _ in range(2))
        except Exception as error:  # the module's own code: this number of examples does not suit it
            logger.info("the module does not run on %d examples: %s", batch, error)
            continue
        session = session or exact_session(data, 1, where="the exported model")
        try:
            found = session.run(None, {name: item.numpy() for name, item in zip(names, examples, strict=True)})
        except UserError as error:
            raise UserError(f"what was exported does not run on {batch} examples", why=error.why) from error
        for one, again, other in zip(first, second, found, strict=False):
            same = torch.equal(one, again)  # else it draws at random
            alike = list(one.shape) == list(other.shape)
            if not alike or (same and not torch.allclose(one, torch.from_numpy(other), 1e-2, 1e-3)):
                raise UserError(f"what was exported makes something else of {batch} examples than the module")


def _tensors(torch: Any, found: Any) -> list[Any]:
    """All tensors that a module returns, in the order in which they are exported."""
    if isinstance(found, torch.Tensor):
        return [found]
    items = found.values() if isinstance(found, dict) else found if isinstance(found, (list, tuple)) else ()
    return [tensor for item in items for tensor in _tensors(torch, item)]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """What exporters print within this block goes nowhere: graphs and tracebacks of what they cannot export."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, _ in kept:
            os.dup2(nowhere, number)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


def _run_export(torch: Any, module: Any, inputs: tuple[Any, ...], options: dict[str, Any], *, dynamo: bool) -> bytes:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that it does without
    with _silence():
        if dynamo:
            program = torch.onnx.export(module, inputs, dynamo=True, verbose=False, **options)
            return bytes(program.model_proto.SerializeToString())
        buffer = io.BytesIO()
        torch.onnx.export(module, inputs, buffer, dynamo=False, **options)
        return buffer.getvalue()
