"""Align an ONNX model: how many channels each layer keeps, by what the accelerator's cycles say."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.alignment import (
    AlignReport,
    Decision,
    Group,
    GroupChange,
    LayerShape,
    LayerUse,
    NetworkCost,
    Options,
    Part,
    decide,
)
from sliceflow.frontend import bind_shapes
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.layer_cycles import lanes, layer_cycles
from sliceflow.passes.align_channels import AlignChannels
from sliceflow.passes.channels.coupling import CoupledChannels
from sliceflow.passes.channels.linear import Linear
from sliceflow.passes.channels.table import LAYERS
from sliceflow.passes.remove_channels import RemoveChannels
from sliceflow.passes.view import attribute, is_op, static_shape


def align_model(
    model: ir.Model,
    profile: Profile,
    options: Options | None = None,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> AlignReport:
    """Drop the least important channels of a model, in place, where that saves enough cycles.

    A group of coupled channels never becomes empty. Importance is the L2 norm of the weights that make a channel.
    Nothing can be brought back: the weights of pruned channels are not in the model.

    Args:
        model: a normalized model (``sliceflow.frontend.load_model``), float or quantized; best a simplified one.
        profile: the accelerator.
        options: how; multiples are those of the profile by default.
        input_shapes: sizes of inputs that are open, as for a compilation.

    Raises:
        UserError: an input's shape remains open.
    """
    options = options or Options(multiples=lanes(profile))
    shapes = static_shapes(model, input_shapes)
    groups: list[Group] = []
    decisions: list[Decision] = []

    def choose(coupled: Sequence[CoupledChannels]) -> dict[str, NDArray[np.bool_]]:
        groups.extend(Group(group.name, group.importance, np.ones(group.size, np.bool_)) for group in coupled)
        cost = NetworkCost(layer_uses(model.graph, coupled, shapes), lambda shape: layer_cycles(shape, profile))
        decisions.append(decide(groups, cost, options))
        return decisions[0].keep

    AlignChannels(choose)(model)
    RemoveChannels()(model)
    decision = decisions[0]
    changes = [
        GroupChange(group.name, len(group.kept), int(keep.sum()), group.loss(int(keep.sum())))
        for group, keep in zip(groups, decision.keep.values(), strict=True)
    ]
    return AlignReport(changes, decision.cycles_before, decision.cycles_after)


def static_shapes(
    model: ir.Model, input_shapes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of a model by name, batch 1.

    Raises:
        UserError: the shape of an input remains open.
    """
    graph = bind_shapes(model, input_shapes=input_shapes).graph
    values = (*graph.inputs, *(value for node in graph for value in node.outputs))
    return {str(value.name): shape for value in values if (shape := static_shape(value)) is not None}


def layer_uses(
    nodes: Iterable[ir.Node], coupled: Sequence[CoupledChannels], shapes: Mapping[str, tuple[int, ...]]
) -> list[LayerUse]:
    """Convolutions over maps and fully connected layers, with the groups on both of their sides.

    Args:
        nodes: a graph's, or some of them.
        coupled: the graph's groups.
        shapes: static shapes of tensors by name; layers whose shapes are missing are left out.
    """
    found = []
    for node in nodes:
        linear = Linear.of(node) if is_op(node, *LAYERS) else None
        source, target = node.inputs[0] if node.inputs else None, node.outputs[0]
        sizes = [shapes.get(str(value.name)) for value in (source, target) if value is not None]
        if linear is None or is_op(node, "ConvTranspose") or len(sizes) < 2 or None in sizes:
            continue
        (in_size, out_size) = (_map_size(size) for size in sizes if size is not None)
        if in_size is not None and out_size is not None:
            found.append(_use(linear, coupled, in_size, out_size))
    return found


def layer_shape(node: ir.Node, shapes: Mapping[str, tuple[int, ...]]) -> LayerShape | None:
    """The shape of one layer; None if it has no constant weights, or its shapes are missing."""
    uses = layer_uses([node], (), shapes)
    return uses[0].shape if uses else None


def _use(
    linear: Linear, coupled: Sequence[CoupledChannels], in_size: tuple[int, int], out_size: tuple[int, int]
) -> LayerUse:
    node = linear.node
    parts, reads = _parts(linear.source, coupled)
    pads = attribute(node, "pads", [0, 0, 0, 0])
    kernel = linear.weights.shape[3:] or (1, 1)
    strides, dilations = attribute(node, "strides", [1, 1]), attribute(node, "dilations", [1, 1])
    shape = LayerShape(
        inputs=parts,
        outputs=linear.layer.outputs,
        kernel=(int(kernel[0]), int(kernel[1])),
        stride=(int(strides[0]), int(strides[1])),
        dilation=(int(dilations[0]), int(dilations[1])),
        pad=(int(pads[0]), int(pads[1]), int(pads[2]), int(pads[3])),
        groups=len(linear.weights),
        in_size=in_size,
        out_size=out_size,
        stem=_is_given(linear.source),
    )
    target = node.outputs[0]
    makes = {group.name: group.members[target].size for group in coupled if target in group.members}
    return LayerUse(str(node.name), shape, reads, makes)


def _parts(source: ir.Value, coupled: Sequence[CoupledChannels]) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """The channels of a tensor as runs of one group each."""
    count = source.shape[1] if source.shape is not None else 0
    owners = np.full(int(count) if isinstance(count, int) else 0, -1)
    here = [group for group in coupled if source in group.members]
    for number, group in enumerate(here):
        owners[group.members[source]] = number
    runs = [(owner, len(list(run))) for owner, run in itertools.groupby(owners.tolist())]
    if any(owner >= 0 and length % here[owner].size for owner, length in runs):  # shuffled: no order to speak of
        runs = [(owner, int((owners == owner).sum())) for owner in sorted(set(owners.tolist()))]
    parts = tuple(
        Part(here[owner].size, length // here[owner].size) if owner >= 0 else Part(length) for owner, length in runs
    )
    return parts, tuple(here[owner].name if owner >= 0 else "" for owner, _ in runs)


def _map_size(shape: tuple[int, ...]) -> tuple[int, int] | None:
    if len(shape) == 2:
        return 1, 1
    return (shape[2], shape[3]) if len(shape) == 4 else None


def _is_given(value: ir.Value) -> bool:
    """Whether a tensor is an input of the model, perhaps quantized."""
    producer = value.producer()
    while is_op(producer, "QuantizeLinear", "DequantizeLinear") and producer is not None:
        source = producer.inputs[0]
        if source is None:
            return False
        value, producer = source, source.producer()
    return value.is_graph_input()
