"""Running one node on small arrays."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

logger = logging.getLogger(__name__)


def compute(node: ir.Node, arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    """The first output of a node of the standard domain, by onnx's reference implementation.

    Args:
        node: the node.
        arrays: its inputs, None for absent ones.

    Returns:
        The output; None if the implementation cannot compute it.
    """
    names = ["" if array is None else f"i{index}" for index, array in enumerate(arrays)]
    feeds = {name: array for name, array in zip(names, arrays, strict=True) if array is not None}
    proto = ir.serde.serialize_node(node)
    proto.ClearField("input")
    proto.input.extend(names)
    del proto.output[1:]
    proto.output[0] = "o"
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    graph = onnx.helper.make_graph([proto], "one", infos, [onnx.ValueInfoProto(name="o")])
    version = node.graph.opset_imports.get("", 21) if node.graph is not None else 21
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)])
    try:
        with np.errstate(all="ignore"):
            return np.asarray(ReferenceEvaluator(model).run(None, feeds)[0])
    except Exception as error:  # the implementation raises whatever its NumPy code meets
        logger.debug("%s cannot be computed: %s", node.op_type, error)
        return None
