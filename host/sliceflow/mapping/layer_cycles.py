"""What a layer of a given shape costs, before there are weights: the mapper's own descriptor, the cycle model's figure.

The layer stands alone: a pool or a residual sum that the mapper merges into it is not counted, nor is what layers of
one launch gain from each other.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from sliceflow.alignment import LayerShape
from sliceflow.graph.program import contiguous_runs
from sliceflow.hardware import cycles
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.groups import blocks_of
from sliceflow.mapping.layout import Layout
from sliceflow.mapping.lower import DoesNotFitError, size_layer
from sliceflow.mapping.plan import Core, Kernel, LayerPlan, TensorSpec
from sliceflow.mapping.unroll import best_unrolling


def layer_cycles(shape: LayerShape, profile: Profile) -> int:
    """Predicted cycles of a layer; 0 if it does not fit the accelerator and runs on the CPU.

    Args:
        shape: the layer. Each part of its inputs begins a slice of its own, as in the accelerator's memory.
        profile: the accelerator.
    """
    slices = sum(math.ceil(part.channels / profile.cpi) * part.places for part in shape.inputs)
    inputs = sum(part.channels * part.places for part in shape.inputs)
    plan = _plan(shape, inputs)
    outputs, out_slices = contiguous_runs(shape.outputs, profile.cpi)
    blocks = blocks_of(plan, profile)
    if blocks.count > 1:  # each begins a slice
        slices = blocks.count * math.ceil(blocks.channels_in / profile.cpi)
        out_slices = blocks.count * math.ceil(blocks.channels_out / profile.cpi)
    layouts = {
        plan.input.value: Layout(contiguous_runs(inputs, profile.cpi)[0], slices),
        plan.output.value: Layout(outputs, out_slices),
    }
    try:
        if shape.stem:
            plan = best_unrolling(plan, layouts, profile)
            layouts[plan.input.value] = Layout(*contiguous_runs(plan.input.channels, profile.cpi))
        return cycles.predict(size_layer(plan, layouts, profile), profile).predicted
    except DoesNotFitError:
        return 0


def _plan(shape: LayerShape, inputs: int) -> LayerPlan:
    fully_connected = shape.in_size == shape.out_size == (1, 1) and shape.kernel == (1, 1) and shape.groups == 1
    core = Core.DEPTHWISE if shape.depthwise else Core.FULLY_CONNECTED if fully_connected else Core.CONV
    weights = np.broadcast_to(np.int16(0), (shape.outputs, inputs // shape.groups, *shape.kernel))
    zeros = np.broadcast_to(np.float64(0), (shape.outputs,))
    return LayerPlan(
        name="layer",
        nodes=(),
        core=core,
        input=_tensor("input", inputs, shape.in_size),
        output=_tensor("output", shape.outputs, shape.out_size),
        array_size=shape.out_size,
        kernel=Kernel(
            weights=weights,
            scale=zeros,
            bias=zeros,
            stride=shape.stride,
            dilation=shape.dilation,
            pad=shape.pad,
            group=shape.groups,
        ),
    )


def _tensor(name: str, channels: int, size: tuple[int, int]) -> TensorSpec:
    return TensorSpec(value=ir.Value(name=name), channels=channels, height=size[0], width=size[1], quant=None)


def lanes(profile: Profile) -> tuple[int, ...]:
    """Numbers of channels whose multiples fill the array: output lanes and input lanes."""
    return tuple(dict.fromkeys((profile.cpo, profile.cpi)))
