"""A model made for a fixed number of images, for one image."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import onnx

from sliceflow.frontend.batch import find_batch
from sliceflow.frontend.bind import bind_shapes
from sliceflow.frontend.load import load_model
from sliceflow.frontend.write import serialize


def for_one_image(model: Path | bytes) -> tuple[Path | bytes, int]:
    """What ONNX Runtime can be given single images with, and the images that the model itself takes at a time.

    Args:
        model: a file, or its content.

    Returns:
        The model itself and 1, unless it is made for a fixed number of images, and each of them is by itself: then a
        copy for one image, and that number.

    Raises:
        UserError: the model cannot be read, or its copy not be written.
    """
    if max(_first_sizes(model), default=1) <= 1:
        return model, 1
    loaded = load_model(model)
    size = find_batch(loaded).size
    if size is None or size == 1:
        return model, 1
    where = "the model" if isinstance(model, bytes) else str(model)
    return serialize(bind_shapes(loaded, 1), where, source=model if isinstance(model, Path) else None), size


def _first_sizes(model: Path | bytes) -> list[int]:
    """First sizes of the inputs, 0 where one is open; none of a file that is damaged, which its reader will say."""
    try:
        read = onnx.load_model_from_string if isinstance(model, bytes) else partial(onnx.load, load_external_data=False)
        shapes = [value.type.tensor_type.shape.dim for value in read(model).graph.input]
    except Exception:  # protobuf has no base class for its errors
        return []
    return [shape[0].dim_value for shape in shapes if shape]
