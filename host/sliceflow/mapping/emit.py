"""From a schedule and its lowered layers to a program: memories, steps and the report."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from sliceflow.frontend import interface
from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor
from sliceflow.graph.program import (
    CpuStep,
    FpgaStep,
    Layer,
    Program,
    Step,
    Tensor,
    TransformStep,
    encode_descriptors,
)
from sliceflow.hardware import cycles
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import submodel
from sliceflow.mapping.layout import Layout
from sliceflow.mapping.lower import Placement
from sliceflow.mapping.lowered import Lowered, touched
from sliceflow.mapping.partition import Partition, is_glue
from sliceflow.mapping.plan import LayerPlan
from sliceflow.mapping.schedule import Action, CpuWork, ToDevice, ToHost
from sliceflow.passes.macs import macs_of
from sliceflow.passes.view import static_shape

logger = logging.getLogger(__name__)


def emit(
    model: ir.Model,
    found: Partition,
    actions: Sequence[Action],
    lowered: Lowered,
    profile: Profile,
    *,
    name: str,
    source_sha256: str,
) -> Program:
    """Build the program.

    Args:
        model: the legalized graph; its interface becomes the program's.
        found: the partition, for reasons.
        actions: the schedule.
        lowered: its layers.
        profile: the accelerator.
        name: name of the model.
        source_sha256: checksum of the file it came from.
    """
    descriptors, layouts = lowered.descriptors, lowered.placement.layouts
    program = lowered.program.image()
    encoded = np.frombuffer(encode_descriptors(descriptors, profile), np.uint8)
    program[: encoded.size] = encoded
    reporter = _Reporter(found, profile, layouts)
    steps, models = _steps(model, actions)
    inputs, outputs = interface(model)
    estimates = [
        estimate
        for step in steps
        if isinstance(step, FpgaStep)
        for estimate in cycles.predict_launch(descriptors[step.first : step.first + step.count], profile)
    ]
    return Program(
        name=name,
        source_sha256=source_sha256,
        profile=profile,
        inputs=inputs,
        outputs=outputs,
        tensors=_tensors(layouts, lowered.placement, actions),
        layers=tuple(reporter.layers(actions, descriptors, estimates)),
        steps=tuple(steps),
        descriptors=descriptors,
        program=program,
        weights=lowered.weights.image(),
        activation_words=lowered.activation_words,
        cpu_models=models,
    )


def _tensors(layouts: dict[ir.Value, Layout], placement: Placement, actions: Sequence[Action]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for tensor in (tensor for action in actions for tensor in touched(action)):
        layout, quant = layouts[tensor.value], tensor.quant
        found[tensor.name] = Tensor(
            name=tensor.name,
            channels=tensor.channels,
            height=tensor.height,
            width=tensor.width,
            runs=layout.runs,
            slices=layout.slices,
            base=placement.base(tensor),
            dtype=quant.dtype if quant else "float32",
            scale=quant.scale if quant else 1.0,
            zero_point=quant.zero_point if quant else 0,
        )
    return found


def _dtype(value: ir.Value) -> str:
    return value.dtype.numpy().name if value.dtype is not None else "float32"


def _steps(model: ir.Model, actions: Sequence[Action]) -> tuple[list[Step], dict[str, bytes]]:
    steps: list[Step] = []
    models: dict[str, bytes] = {}
    number = 0
    for action in actions:
        if isinstance(action, LayerPlan):
            last = steps[-1] if steps else None
            if isinstance(last, FpgaStep):
                steps[-1] = dataclasses.replace(last, count=last.count + 1)
            else:
                steps.append(FpgaStep(first=number, count=1))
            number += 1
        elif isinstance(action, (ToDevice, ToHost)):
            steps.append(
                TransformStep(
                    direction="to_device" if isinstance(action, ToDevice) else "to_host",
                    value=str(action.value.name),
                    tensor=action.tensor.name,
                    shape=_host_shape(action),
                    dtype=_dtype(action.value),
                    unrolling=action.tensor.unrolling,
                )
            )
        elif isinstance(action, CpuWork):
            key = f"cpu_{len(models)}"
            models[key] = submodel.cut(model, action.nodes, action.inputs, action.outputs)
            steps.append(
                CpuStep(
                    layer=_cpu_name(action),
                    model=key,
                    inputs=tuple(str(v.name) for v in action.inputs),
                    outputs=tuple(str(v.name) for v in action.outputs),
                )
            )
    return steps, models


def _cpu_name(action: CpuWork) -> str:
    return str(next((n for n in action.nodes if not is_glue(n)), action.nodes[0]).name)


class _Reporter:
    """Turns actions into the layers of the report."""

    def __init__(self, found: Partition, profile: Profile, layouts: dict[ir.Value, Layout]) -> None:
        self._found = found
        self._profile = profile
        self._layouts = layouts

    def layers(
        self, actions: Sequence[Action], descriptors: Sequence[Descriptor], estimates: Sequence[cycles.CycleEstimate]
    ) -> list[Layer]:
        """One entry for each accelerator layer, CPU node and transform."""
        result: list[Layer] = []
        waiting = iter(zip(descriptors, estimates, strict=True))
        for action in actions:
            if isinstance(action, LayerPlan):
                result.append(self._fpga(action, *next(waiting)))
            elif isinstance(action, CpuWork):
                result += [self._cpu(node, action) for node in action.nodes]
            elif isinstance(action, (ToDevice, ToHost)):
                result.append(self._transform(action))
        names: dict[str, int] = {}
        for index, layer in enumerate(result):
            seen = names.setdefault(layer.name, 0)
            names[layer.name] += 1
            if seen:
                result[index] = dataclasses.replace(layer, name=f"{layer.name}#{seen + 1}")
        return result

    def _fpga(self, plan: LayerPlan, layer: Descriptor, estimate: cycles.CycleEstimate) -> Layer:
        computed = estimate.ideal * self._profile.multipliers
        slices_in, slices_out = (self._layouts[t.value].slices for t in (plan.input, plan.output))
        flat = plan.input.height * plan.input.width if plan.flatten_input else 1
        return Layer(
            name=plan.name,
            placement="fpga",
            op=" + ".join(plan.label),
            reason="the accelerator has all its operators",
            nodes=tuple(str(node.name) for node in plan.nodes),
            inputs=tuple(tensor.name for tensor in plan.inputs),
            outputs=(plan.output.name,),
            macs=plan.macs,
            ideal_cycles=estimate.ideal,
            predicted_cycles=estimate.predicted,
            channels_in=plan.input.channels * flat,
            channels_out=plan.output.channels,
            channels_in_computed=slices_in * self._profile.cpi * flat,
            channels_out_computed=max(
                slices_out * self._profile.cpi,
                layer.groups * geometry.output_groups(layer, self._profile) * geometry.lanes(layer, self._profile),
            ),
            # The model counts rows that no pool window reads; the array skips them, and would use over 100 %.
            lanes_used=min(1.0, plan.macs / computed) if computed and plan.macs else 0.0,
        )

    def _cpu(self, node: ir.Node, action: CpuWork) -> Layer:
        refusal = self._found.refusals.get(node)
        glue = "it converts a tensor for a neighbour on the CPU"
        return Layer(
            name=str(node.name),
            placement="cpu",
            op=node.op_type,
            reason=refusal.reason if refusal else glue,
            nodes=(str(node.name),),
            inputs=tuple(str(v.name) for v in node.inputs if v is not None),
            outputs=tuple(str(v.name) for v in node.outputs),
            macs=macs_of(node),
            channels_in=_channels(node.inputs[0] if node.inputs else None),
            channels_out=_channels(node.outputs[0]),
        )

    def _transform(self, action: ToDevice | ToHost) -> Layer:
        inward = isinstance(action, ToDevice)
        names = (str(action.value.name), action.tensor.name)
        kind = "quantize and slice" if inward else "unslice and dequantize"
        if action.value.dtype not in (None, ir.DataType.FLOAT) or action.tensor.quant is None:
            kind = "slice" if inward else "unslice"
        channels = action.tensor.channels
        if action.tensor.unrolling is not None:
            kind = "quantize, unroll and slice" if kind == "quantize and slice" else "unroll and slice"
            channels //= action.tensor.unrolling.taps
        return Layer(
            name=f"{'to_device' if inward else 'to_host'}:{action.tensor.name}",
            placement="transform",
            op=kind,
            reason="the tensor crosses to the FPGA" if inward else "the tensor crosses to the CPU",
            inputs=(names[0] if inward else names[1],),
            outputs=(names[1] if inward else names[0],),
            channels_in=channels,
            channels_out=action.tensor.channels,
        )


def _host_shape(action: ToDevice | ToHost) -> tuple[int, ...]:
    """Shape of the host's side. Unrolling needs rows and columns: a 1-D map has one row."""
    shape = static_shape(action.value) or (1, *action.tensor.size)
    if action.tensor.unrolling is not None and len(shape) == 3:
        return (*shape[:2], 1, shape[2])
    return shape


def _channels(value: ir.Value | None) -> int:
    dims = static_shape(value)
    return dims[1] if dims and len(dims) > 1 else math.prod(dims) if dims else 0
