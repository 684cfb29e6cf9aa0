"""The rule of each operator."""

from __future__ import annotations

import onnx_ir as ir

from sliceflow.passes.channels.elementwise import NARY, UNARY, ElementwiseRule
from sliceflow.passes.channels.linear import LinearRule
from sliceflow.passes.channels.rule import Opaque, Rule
from sliceflow.passes.channels.spatial import AveragePoolRule, PadRule, PoolRule, ReduceRule, ResizeRule
from sliceflow.passes.channels.structure import (
    ConcatRule,
    DepthToSpaceRule,
    GatherRule,
    ReshapeRule,
    SameChannelsRule,
    ShapeRule,
    SliceRule,
    SplitRule,
)
from sliceflow.passes.view import is_op

LAYERS = ("Conv", "ConvTranspose", "Gemm")
"""Operators that mix channels by constant weights."""
_OPAQUE = Opaque()
_TABLE: dict[str, Rule] = {
    **dict.fromkeys(LAYERS, LinearRule()),
    **dict.fromkeys((*UNARY, *NARY), ElementwiseRule()),
    **dict.fromkeys(("MaxPool", "GlobalMaxPool", "GlobalAveragePool"), PoolRule()),
    "AveragePool": AveragePoolRule(),
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceMin"), ReduceRule()),
    "Pad": PadRule(),
    "Resize": ResizeRule(),
    "Concat": ConcatRule(),
    "Split": SplitRule(),
    "Slice": SliceRule(),
    "Gather": GatherRule(),
    **dict.fromkeys(("Flatten", "Reshape"), ReshapeRule()),
    **dict.fromkeys(("Squeeze", "Unsqueeze", "Transpose"), SameChannelsRule()),
    "DepthToSpace": DepthToSpaceRule(),
    "Shape": ShapeRule(),
}


def rule_of(node: ir.Node) -> Rule:
    """The rule that describes a node; the opaque one if none does."""
    rule = _TABLE.get(node.op_type) if is_op(node, node.op_type) else None
    return rule if rule is not None and rule.takes(node) else _OPAQUE
