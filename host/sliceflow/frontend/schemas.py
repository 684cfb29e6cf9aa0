"""Definitions of the standard operators."""

from __future__ import annotations

import functools
from typing import Any

import onnx


@functools.lru_cache(maxsize=4096)
def schema(op_type: str, version: int) -> Any:
    """The definition of a standard operator at an opset; None if there is none."""
    try:
        return onnx.defs.get_schema(op_type, version, "")
    except onnx.defs.SchemaError:
        return None
