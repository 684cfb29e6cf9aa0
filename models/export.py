"""Torch module to ONNX file."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript import optimizer
from torch import nn

from sliceflow.files import atomic_file

logger = logging.getLogger(__name__)


def export_onnx(module: nn.Module, image_shape: tuple[int, int, int], path: Path) -> None:
    """Write a module to one ONNX file, with input ``input`` [batch, C, H, W] and output ``output``.

    Batch normalization stays a node of its own: torch's own optimization would fold it, and folding it is Sliceflow's
    work. The exporter's notes on its origin (paths, stack traces) are removed, so that equal weights give equal files.

    Args:
        module: the network; exported in evaluation mode.
        image_shape: [C, H, W] of one image.
        path: where to write; the file appears when it is complete.

    Raises:
        OSError: the file cannot be written.
    """
    # Not for the reader of our output: torch's own deprecations, and that torchvision is missing, which is not used.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            (torch.zeros(2, *image_shape),),
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            optimize=False,
            dynamo=True,
            verbose=False,
        )
    model: ir.Model = program.model
    optimizer.fold_constants(model)
    RemoveUnusedNodesPass()(model)
    _remove_notes(model)
    with atomic_file(path) as stream:
        stream.write(ir.to_proto(model).SerializeToString())
    logger.info("wrote %s", path)


def _remove_notes(model: ir.Model) -> None:
    graph = model.graph
    model.metadata_props.clear()
    graph.metadata_props.clear()
    values = [*graph.inputs, *graph.outputs, *graph.initializers.values()]
    for node in graph:
        node.metadata_props.clear()
        node.doc_string = None
        values += node.outputs
    for value in values:
        value.metadata_props.clear()
        value.doc_string = None
