"""Align a masked network: pruned channels come back into lanes that would idle, or a few more go.

The decision is ``alignment.decide``, by predicted cycles against importance. Channels that come back get the weights
that the dense network had; fine-tuning follows.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
from sliceflow.errors import UserError
from sliceflow.pruning.channels.group import ChannelGroup, Member
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.channels.layers import (
    CONVOLUTIONS,
    LAYERS,
    TRANSPOSED,
    by_output,
    has_own_weight,
    is_depthwise,
    sharing,
    sides,
)
from sliceflow.pruning.training.masks import Masks
from sliceflow.pruning.training.task import evaluating, hooked


@dataclasses.dataclass(frozen=True)
class MaskedGroupChange(GroupChange):
    """A group of a masked network.

    Attributes:
        size: channels of the dense network.
    """

    size: int


def align(
    model: nn.Module,
    example: Tensor,
    masks: Masks,
    dense: Mapping[str, Tensor],
    cycles_of: Callable[[LayerShape], int],
    options: Options,
    *,
    protect: Collection[str] = (),
) -> AlignReport:
    """Change which channels of a masked network live, in place; masks and weights are changed together.

    A channel lives if the masks leave any weight that makes it. Importance is the L2 norm of the dense weights that
    make a channel.

    Args:
        model: the network, pruned by ``masks``; no layer has lost its size.
        example: inputs, ``[N, ...]``, of the size that the accelerator will see.
        masks: what is pruned.
        dense: the state of the network before it was pruned (``state_dict``).
        cycles_of: predicted cycles of one layer, as ``functools.partial(mapping.layer_cycles.layer_cycles,
            profile=...)``.
        options: how; its multiples are the accelerator's lanes.
        protect: layers whose outputs stay as they are.

    Raises:
        UserError: the network cannot be traced, or the dense state is not that of this network.
    """
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    wrong = [name for name, shape in shapes.items() if name not in dense or list(dense[name].shape) != shape]
    if wrong:
        raise UserError(
            "the dense weights do not fit the network", where=wrong[0], fix="pass the state from before pruning"
        )
    shared = sharing(model)
    found = [group for group in find_groups(model, example, protect) if _can_change(group, shared)]
    groups = [_group(group, masks, dense) for group in found]
    cost = NetworkCost(layer_uses(model, example, found, groups), cycles_of)
    decision = decide(groups, cost, options)
    _apply(model, found, groups, decision, masks, dense)
    changes = [
        MaskedGroupChange(
            g.name, int(g.kept.sum()), left := int(decision.keep[g.name].sum()), g.loss(left), len(g.kept)
        )
        for g in groups
    ]
    return AlignReport(changes, decision.cycles_before, decision.cycles_after)


def layer_uses(model: nn.Module, example: Tensor, found: list[ChannelGroup], groups: list[Group]) -> list[LayerUse]:
    """The two-dimensional convolutions and fully connected layers of a network that run, each with its groups.

    Args:
        model: the network.
        example: inputs; map sizes are those of this one.
        found: its channel groups.
        groups: how many channels of each live.
    """
    sizes = _map_sizes(model, example)
    names = {module: name for name, module in model.named_modules()}
    live = {group.name: int(group.kept.sum()) for group in groups}
    uses = []
    for layer, (in_size, out_size) in sizes.items():
        parts, reads = _parts(layer, found, live)
        outputs, makes = sides(layer)[1], {}
        for group in found:
            for member in group.members:
                if member.module is layer and member.makes:
                    makes[group.name] = live[group.name]
                    outputs += live[group.name] - group.size
        depthwise = is_depthwise(layer)
        if depthwise:  # it has no reading side of its own
            parts, reads = (Part(outputs),), tuple(makes) or ("",)
        shape = LayerShape(
            inputs=parts,
            outputs=outputs,
            groups=outputs if depthwise else getattr(layer, "groups", 1),
            in_size=in_size,
            out_size=out_size,
            stem=layer is next(iter(sizes)),
            **_window(layer),
        )
        uses.append(LayerUse(names[layer], shape, reads, makes))
    return uses


def _can_change(group: ChannelGroup, shared: Collection[nn.Module]) -> bool:
    """Whether the number of its channels is free.

    Grouped convolutions need equally many channels in each group, and layers with a computed or shared weight have
    other ties: they stay as they are.
    """
    layers = [member.module for member in group.members if isinstance(member.module, LAYERS)]
    grouped = [layer for layer in layers if getattr(layer, "groups", 1) > 1 and not is_depthwise(layer)]
    tied = [layer for layer in layers if layer in shared or not has_own_weight(layer)]
    return bool(group.makers) and not grouped and not tied


def _group(group: ChannelGroup, masks: Masks, dense: Mapping[str, Tensor]) -> Group:
    kept, squares = np.zeros(group.size, np.bool_), np.zeros(group.size)
    for member in group.makers:
        name = _weight(member)
        kept |= _by_output(member, masks[name]).any(1).numpy()
        squares += _by_output(member, dense[name].double()).square().sum(1).numpy()
    if not kept.any():
        kept[int(squares.argmax())] = True  # nothing is left of it; one channel is needed
    return Group(group.name, np.sqrt(squares), kept)


def _weight(member: Member) -> str:
    return f"{member.layer}.weight" if member.layer else "weight"


def _by_output(member: Member, values: Tensor) -> Tensor:
    """Elements of a weight that make each channel of a group: ``[channels, elements]``."""
    return by_output(member.module, values)[member.positions].flatten(1)


def _apply(
    model: nn.Module,
    found: list[ChannelGroup],
    groups: list[Group],
    decision: Decision,
    masks: Masks,
    dense: Mapping[str, Tensor],
) -> None:
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    backs = []
    with torch.no_grad():
        for group, known in zip(found, groups, strict=True):
            keep, kept = torch.from_numpy(decision.keep[group.name]), torch.from_numpy(known.kept)
            backs.append(keep & ~kept)
            for name, mask in group.parameters_of(keep & ~kept):
                _revive(name, mask, state, masks, dense)
            _restore_statistics(group, keep & ~kept, state, dense)
            for name, mask in group.parameters_of(kept & ~keep):
                masks.prune(name, mask)
        for group, back in zip(found, backs, strict=True):
            for member in group.readers:
                _read_again(member, back, state, masks, dense)
    masks.apply()


def _revive(
    name: str, elements: Tensor, state: Mapping[str, Tensor], masks: Masks, dense: Mapping[str, Tensor]
) -> None:
    masks.revive(name, elements)
    state[name][elements] = dense[name][elements].to(state[name])


def _read_again(
    member: Member, back: Tensor, state: Mapping[str, Tensor], masks: Masks, dense: Mapping[str, Tensor]
) -> None:
    """Where weights that read a channel went with it, they come back in the outputs that live."""
    name, transposed = _weight(member), isinstance(member.module, TRANSPOSED)
    live = masks[name].transpose(0, 1) if transposed else masks[name]
    rows = live.flatten(1).any(1)
    elements = torch.zeros_like(live)
    elements[:, member.positions[back].flatten()] = True
    elements &= rows.reshape(-1, *(1 for _ in live.shape[1:])) & ~live
    _revive(name, elements.transpose(0, 1) if transposed else elements, state, masks, dense)


def _restore_statistics(
    group: ChannelGroup, back: Tensor, state: Mapping[str, Tensor], dense: Mapping[str, Tensor]
) -> None:
    """Norms go on from what they knew of the channels that come back."""
    for member in group.members:
        for name in ("running_mean", "running_var"):
            full = f"{member.layer}.{name}"
            if member.makes and full in state:
                places = member.positions[back].flatten()
                state[full][places] = dense[full][places].to(state[full])


def _map_sizes(model: nn.Module, example: Tensor) -> dict[nn.Module, tuple[tuple[int, int], tuple[int, int]]]:
    """Sizes of the maps that layers read and make, in the order in which they run; (1, 1) for vectors."""
    sizes: dict[nn.Module, tuple[tuple[int, int], tuple[int, int]]] = {}

    def look(layer: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            sizes[layer] = (1, 1), (1, 1)
        else:
            sizes[layer] = tuple(arguments[0].shape[-2:]), tuple(output.shape[-2:])

    hooks = (m.register_forward_hook(look) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
    with hooked(hooks), evaluating(model), torch.no_grad():
        model(example[:1])
    return sizes


def _parts(
    layer: nn.Module, found: list[ChannelGroup], live: Mapping[str, int]
) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """The inputs of a layer as runs of one group each."""
    owners = [-1] * sides(layer)[0]
    for number, group in enumerate(found):
        for member in group.members:
            if member.module is layer and not member.makes:
                for place in member.positions.flatten().tolist():
                    owners[place] = number
    runs = [(owner, len(list(run))) for owner, run in itertools.groupby(owners)]
    if any(owner >= 0 and length % found[owner].size for owner, length in runs):  # shuffled
        runs = [(owner, owners.count(owner)) for owner in sorted(set(owners))]
    parts = tuple(
        Part(live[found[owner].name], length // found[owner].size) if owner >= 0 else Part(length)
        for owner, length in runs
    )
    return parts, tuple(found[owner].name if owner >= 0 else "" for owner, _ in runs)


def _window(layer: nn.Module) -> dict[str, Any]:
    if not isinstance(layer, CONVOLUTIONS):
        return {}
    pad = layer.padding
    if isinstance(pad, str):
        reach = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        pad = [size // 2 for size in reach] if pad == "same" else [0, 0]
    return {
        "kernel": tuple(layer.kernel_size),
        "stride": tuple(layer.stride),
        "dilation": tuple(layer.dilation),
        "pad": (pad[0], pad[1], pad[0], pad[1]),
    }
