"""Which channels to keep so that none of the accelerator's lanes idle: a decision on numbers alone.

Knows neither torch nor ONNX nor the accelerator. ``pruning.align`` and ``mapping.align_model`` describe their networks
by channel groups and layer shapes, and hand in what a layer costs.
"""

from __future__ import annotations

from sliceflow.alignment.decision import Decision, Group, Mode, Options, decide
from sliceflow.alignment.layers import LayerShape, LayerUse, NetworkCost, Part
from sliceflow.alignment.report import AlignReport, GroupChange

__all__ = [
    "AlignReport",
    "Decision",
    "Group",
    "GroupChange",
    "LayerShape",
    "LayerUse",
    "Mode",
    "NetworkCost",
    "Options",
    "Part",
    "decide",
]
