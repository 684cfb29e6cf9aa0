"""Checks that the parts of a program fit together, before anything is executed.

``sliceflow.graph.validate`` checks each descriptor against the profile and the memories; this module checks what stands
around them: names, tensors, steps and layers. A program from the mapper passes; so must one from a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from sliceflow.graph.images import single_shape
from sliceflow.graph.plain import refuse
from sliceflow.graph.program import (
    MAX_UNROLLED_CHANNELS,
    CpuStep,
    FpgaStep,
    Layer,
    Program,
    Tensor,
    TransformStep,
    Unrolling,
    Value,
    tensor_types,
)
from sliceflow.graph.rules import MAX_SIDE
from sliceflow.graph.validate import validate_parameters, validate_program
from sliceflow.graph.wiring import check_wiring
from sliceflow.hardware.profile import Profile

DTYPES = frozenset(
    "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()  # noqa: SIM905
)
"""Types of host values, by NumPy's names."""
Values = dict[str, tuple[tuple[int, ...], str] | None]
"""Shape and type of the host values at some step; None where only a CPU layer knows them."""
ADDRESSES = 2**32
"""Words that a descriptor can address."""
_CHUNK = 1 << 20
"""Weights that are looked at together."""


def check_program(program: Program) -> None:
    """Check a whole program.

    Raises:
        UserError: the first thing that does not fit, with its place.
    """
    where = f"program {program.name!a}"
    if not 0 <= program.activation_words <= ADDRESSES:
        refuse(f"activation_words must lie in 0..{ADDRESSES}, not {program.activation_words}", where)
    for name, tensor in program.tensors.items():
        if name != tensor.name:
            refuse(f"tensor {tensor.name!a} is listed as {name!a}", where)
        _check_tensor(tensor, program.profile, program.activation_words)
    for kind, values in (("input", program.inputs), ("output", program.outputs)):
        _unique((value.name for value in values), f"{kind} of {where}")
        for value in values:
            _check_value(value, f"{kind} {value.name!a}")
    for value in program.inputs:
        if value.shape.count(0) > 1:
            refuse("only one axis of an input can count images", f"input {value.name!a}")
    for name, memory in (("descriptors", program.program), ("weights", program.weights)):
        if memory.size % program.profile.beat_bytes:
            refuse(f"the {name} are {memory.size} bytes, no whole beats of {program.profile.beat_bytes}", where)
    _check_layers(program, where)
    _check_steps(program)
    validate_program(
        program.descriptors,
        program.profile,
        program.program.size,
        program.weights.size,
        program.activation_words,
    )
    validate_parameters(program.descriptors, program.profile, program.program)
    _check_weights(program, where)
    check_wiring(program)


def _check_weights(program: Program, where: str) -> None:
    """Float weights are numbers: 0 * NaN would spread from lanes and taps that are not in use."""
    if not program.profile.is_float:
        return
    words = program.weights[: program.weights.size // 4 * 4].view("<f4")
    for first in range(0, words.size, _CHUNK):
        if not np.isfinite(words[first : first + _CHUNK]).all():
            refuse("the weights hold NaN or infinity", where)


def _unique(names: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            refuse(f"{name!a} appears twice", where)
        seen.add(name)


def _check_value(value: Value, where: str) -> None:
    if value.dtype not in DTYPES:
        refuse(f"the type must be one of {', '.join(sorted(DTYPES))}, not {value.dtype!a}", where)
    if any(size < 0 for size in value.shape):
        refuse(f"the shape {value.shape} is negative", where)


def _check_tensor(tensor: Tensor, profile: Profile, words: int) -> None:
    where = f"tensor {tensor.name!a}"
    dtypes = tensor_types(profile)
    if tensor.dtype not in dtypes:
        refuse(f"the type must be {' or '.join(dtypes)} for profile {profile.name!a}, not {tensor.dtype!a}", where)
    if min(tensor.channels, tensor.height, tensor.width, tensor.slices) < 1:
        refuse("channels, height, width and slices must be positive", where)
    if not 0 <= tensor.base <= tensor.base + tensor.words <= words:
        refuse(f"words {tensor.base}..{tensor.base + tensor.words} do not lie in a memory of {words} words", where)
    limits = np.iinfo(tensor.dtype) if tensor.dtype != "float32" else None
    low, high = (int(limits.min), int(limits.max)) if limits else (0, 0)
    if not low <= tensor.zero_point <= high:
        refuse(f"zero_point must lie in {low}..{high}, not {tensor.zero_point}", where)
    if not (math.isfinite(tensor.scale) and tensor.scale > 0):
        refuse(f"scale must be positive, not {tensor.scale}", where)
    _check_runs(tensor, profile.cpi, where)


def _check_runs(tensor: Tensor, cpi: int, where: str) -> None:
    channel, free = 0, 0
    for run in tensor.runs:
        if run.channel != channel or run.count < 1 or run.slice < free:
            refuse("runs must cover the channels in order without sharing a slice", where)
        channel, free = channel + run.count, run.slice + math.ceil(run.count / cpi)
    if channel != tensor.channels:
        refuse(f"runs cover {channel} channels, not {tensor.channels}", where)
    if free > tensor.slices:
        refuse(f"runs need {free} slices, not {tensor.slices}", where)


def _check_layers(program: Program, where: str) -> None:
    _unique((layer.name for layer in program.layers), f"layers of {where}")
    for layer in program.layers:
        _check_layer(layer, program)
    if len(program.fpga_layers) != len(program.descriptors):
        refuse(f"{len(program.fpga_layers)} FPGA layers have {len(program.descriptors)} descriptors", where)


def _check_layer(layer: Layer, program: Program) -> None:
    where = f"layer {layer.name!a}"
    if layer.placement not in ("fpga", "cpu", "transform"):
        refuse(f"placement must be fpga, cpu or transform, not {layer.placement!a}", where)
    if layer.macs is None and layer.placement != "cpu":
        refuse("the multiply-accumulates of an FPGA layer are known", where)
    counts = (layer.macs or 0, layer.ideal_cycles, layer.predicted_cycles, layer.channels_in, layer.channels_out)
    if min(*counts, layer.channels_in_computed, layer.channels_out_computed) < 0 or not 0 <= layer.lanes_used <= 1:
        refuse("a count is negative, or lanes_used is not a share", where)
    if layer.placement == "fpga":
        for name in (*layer.inputs, *layer.outputs):
            if name not in program.tensors:
                refuse(f"there is no tensor {name!a}", where)
        if not layer.outputs:
            refuse("the layer writes no tensor", where)


def _check_steps(program: Program) -> None:
    """Walk through the steps as the runtime will, with the names that exist at each."""
    values: Values = {value.name: (single_shape(value), value.dtype) for value in program.inputs}
    launched, used = 0, set()
    cpu_layers = {layer.name for layer in program.layers if layer.placement == "cpu"}
    for index, step in enumerate(program.steps):
        where = f"steps[{index}]"
        if isinstance(step, FpgaStep):
            if step.first != launched or step.count < 1:
                refuse(f"descriptors {step.first} .. + {step.count} do not follow {launched}", where)
            launched += step.count
        elif isinstance(step, CpuStep):
            if step.model not in program.cpu_models:
                refuse(f"there is no CPU model {step.model!a}", where)
            if step.layer not in cpu_layers:
                refuse(f"there is no CPU layer {step.layer!a}", where)
            for name in step.inputs:
                _known(name, values, where)
            values |= dict.fromkeys(step.outputs)
            used.add(step.model)
        else:
            _check_transform(step, program, values, where)
    if launched != len(program.descriptors):
        refuse(f"the steps launch {launched} of {len(program.descriptors)} descriptors", "steps")
    for key in program.cpu_models:
        if key not in used:
            refuse(f"no step uses the CPU model {key!a}", "steps")
    for value in program.outputs:
        _known(value.name, values, "outputs")


def _known(name: str, values: Values, where: str) -> None:
    if name not in values:
        refuse(f"nothing has produced the value {name!a}", where)


def _check_transform(step: TransformStep, program: Program, values: Values, where: str) -> None:
    if step.tensor not in program.tensors:
        refuse(f"there is no tensor {step.tensor!a}", where)
    tensor = program.tensors[step.tensor]
    if step.dtype not in {"float32", tensor.dtype}:
        refuse(f"a tensor of type {tensor.dtype} cannot be transformed to {step.dtype!a}", where)
    elements = tensor.channels * tensor.height * tensor.width
    if step.unrolling is not None:
        _check_unrolling(step, step.unrolling, tensor, where)
        elements = math.prod(step.shape)
    if not step.shape or any(size < 1 for size in step.shape) or math.prod(step.shape) != elements:
        refuse(f"the shape {step.shape} does not have the {elements} elements of tensor {step.tensor!a}", where)
    if step.direction == "to_device":
        _known(step.value, values, where)
        found = values[step.value]
        if found is not None and (math.prod(found[0]) != elements or found[1] != step.dtype):
            refuse(f"value {step.value!a} is {found[1]} {found[0]}, not {step.dtype} {step.shape}", where)
    elif step.direction == "to_host":
        values[step.value] = (step.shape, step.dtype)
    else:
        refuse(f"direction must be to_device or to_host, not {step.direction!a}", where)


def _check_unrolling(step: TransformStep, unrolling: Unrolling, tensor: Tensor, where: str) -> None:
    """Bounds that keep the runtime's loops and positions small, whatever a file says."""
    if step.direction != "to_device":
        refuse(f"only a transform to_device unrolls, not {step.direction!a}", where)
    if tensor.channels > MAX_UNROLLED_CHANNELS:
        refuse(f"an unrolled tensor has at most {MAX_UNROLLED_CHANNELS} channels, not {tensor.channels}", where)
    if unrolling.rows < 1 or unrolling.columns < 1:
        refuse(f"rows and columns must be positive, not {unrolling.rows} x {unrolling.columns}", where)
    steps = (unrolling.stride_y, unrolling.stride_x, unrolling.dilation_y, unrolling.dilation_x)
    if min(steps) < 1 or max(steps) > MAX_SIDE:
        refuse(f"strides and dilations must lie in 1..{MAX_SIDE}, not {steps}", where)
    pads = (unrolling.pad_top, unrolling.pad_left)
    if min(pads) < 0 or max(pads) > MAX_SIDE:
        refuse(f"paddings must lie in 0..{MAX_SIDE}, not {pads}", where)
    if len(step.shape) != 4 or step.shape[0] != 1 or unrolling.taps * step.shape[1] != tensor.channels:
        refuse(
            f"the shape {step.shape}, unrolled {unrolling.taps} times, is not the tensor's {tensor.channels} channels",
            where,
        )
