"""ONNX files and torch modules in, normalized onnx-ir models out."""

from __future__ import annotations

from sliceflow.frontend.batch import closed, find_batch
from sliceflow.frontend.bind import bind_shapes
from sliceflow.frontend.forms import notes_of
from sliceflow.frontend.interface import input_axes, interface, value_of
from sliceflow.frontend.load import load_model
from sliceflow.frontend.opset import OPSET
from sliceflow.frontend.single import for_one_image
from sliceflow.frontend.write import serialize, write_model

__all__ = [
    "OPSET",
    "bind_shapes",
    "closed",
    "find_batch",
    "for_one_image",
    "input_axes",
    "interface",
    "load_model",
    "notes_of",
    "serialize",
    "value_of",
    "write_model",
]
