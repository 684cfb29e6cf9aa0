"""Channels that live or go together, found by Torch-Pruning's dependency graph."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.coupling_check import false_groups
from sliceflow.pruning.task import evaluating

logger = logging.getLogger(__name__)

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)


@dataclasses.dataclass(frozen=True)
class Member:
    """A layer's side of a group.

    Attributes:
        layer: the layer's name in the network.
        module: the layer.
        makes: the layer makes the channels (its outputs); else it reads them (its inputs).
        positions: ``[channels, k]``, for each channel of the group its k positions on that side of the layer: more than
            one where a flattened map is read.
    """

    layer: str
    module: nn.Module
    makes: bool
    positions: Tensor


@dataclasses.dataclass(frozen=True)
class ChannelGroup:
    """Channels of layers that are coupled, through residual sums, depthwise convolutions, batch normalizations.

    Attributes:
        name: that of the layer that makes the channels; of the first one of several.
        size: channels.
        members: all layers that make or read them.
    """

    name: str
    size: int
    members: tuple[Member, ...]

    @property
    def makers(self) -> tuple[Member, ...]:
        """Convolutions and fully connected layers that make the channels, depthwise ones left out."""
        return tuple(m for m in self.members if m.makes and isinstance(m.module, LAYERS) and not _depthwise(m.module))

    @property
    def readers(self) -> tuple[Member, ...]:
        """Convolutions and fully connected layers that read the channels."""
        return tuple(m for m in self.members if not m.makes and isinstance(m.module, LAYERS))

    def parameters_of(self, channels: Tensor) -> list[tuple[str, Tensor]]:
        """Elements of parameters that are zero when channels are pruned: all that belongs to making them.

        Args:
            channels: bool ``[size]``, True for those pruned.

        Returns:
            Names of parameters, and bool masks in their shapes.
        """
        found = []
        for member in self.members:
            if not member.makes:
                continue
            gone = member.positions[channels].flatten()
            for name, parameter in member.module.named_parameters(recurse=False):
                axis = 1 if name == "weight" and isinstance(member.module, nn.ConvTranspose2d) else 0
                if parameter.shape[axis] == 1 < self.size:  # one for all channels, like the slope of a PReLU
                    continue
                mask = torch.zeros(parameter.shape, dtype=torch.bool)
                mask.index_fill_(axis, gone, True)
                found.append((f"{member.layer}.{name}" if member.layer else name, mask))
        return found


def find_groups(model: nn.Module, example: Tensor, protect: Collection[str] = ()) -> list[ChannelGroup]:
    """The groups of channels of a network that may be pruned.

    Args:
        model: the network; every layer is used once.
        example: inputs, ``[N, ...]``, with N of 1 or more.
        protect: layers whose outputs stay; those that make the network's outputs always stay.

    Returns:
        The groups in the order in which the network defines their layers.

    Raises:
        UserError: the package is missing, or the network cannot be traced.
    """
    try:
        import torch_pruning
    except ImportError as error:
        raise UserError(
            "torch-pruning is not installed", why=str(error), fix="pip install 'sliceflow[pruning]'"
        ) from error
    names = {module: name for name, module in model.named_modules()}
    check_layers(model, protect)
    frozen = {parameter for parameter in model.parameters() if not parameter.requires_grad}
    with evaluating(model), torch.enable_grad():
        for parameter in frozen:
            parameter.requires_grad_(True)  # the graph is found through autograd
        try:
            graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example)
            found = list(graph.get_all_groups(root_module_types=list(LAYERS)))
        except Exception as error:  # the tracer runs the user's code
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                "the channels of the network cannot be traced", where=type(model).__name__, why=reason
            ) from error
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)
    order = {name: index for index, name in enumerate(names.values())}
    traced = [_group(group, names) for group in found if not _reaches_output(group)]
    groups = _true(model, example, [group for group in traced if group is not None])
    kept = [group for group in groups if not any(m.makes and m.layer in protect for m in group.members)]
    return sorted(kept, key=lambda group: order[group.name])


def _true(model: nn.Module, example: Tensor, groups: list[ChannelGroup]) -> list[ChannelGroup]:
    """Without the groups that running the network disproves: the tracer does not follow every split and shuffle."""
    if not example.is_floating_point():
        return groups
    false = false_groups(model, example, groups)
    for name in sorted(false):
        logger.warning("layer %s keeps all its channels: what they are coupled with cannot be traced", name)
    return [group for group in groups if group.name not in false]


def check_layers(model: nn.Module, layers: Collection[str]) -> None:
    """Make sure that a network has layers of these names.

    Raises:
        UserError: it has not; the message names those it has.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, LAYERS)]
    known = {name for name, _ in model.named_modules()}
    if unknown := sorted(set(layers) - known):
        fix = f"the layers are {', '.join(names)}"
        raise UserError(f"the network has no layer {unknown[0]!r}", where="protected layers", fix=fix)


def _reaches_output(group: Any) -> bool:
    """Whether channels of a group are outputs of the network: something that carries them has no reader."""
    return any(not item.dep.target.outputs for item in group if not _reads(item))


def _reads(item: Any) -> bool:
    """Whether an item of Torch-Pruning's group cuts inputs of a layer, not outputs."""
    return item.dep.handler.__name__ == "prune_in_channels" and isinstance(item.dep.target.module, LAYERS)


def _group(group: Any, names: Mapping[nn.Module, str]) -> ChannelGroup | None:
    """A group as plain data; None if the tracer lost its way."""
    size = len(group[0].idxs)
    members: dict[tuple[nn.Module, bool], Member] = {}
    for item in group:
        module = item.dep.target.module
        if module not in names:  # an operation, not a layer
            continue
        if isinstance(module, nn.ConvTranspose2d) and module.groups > 1:  # its outputs have no axis of their own
            return None
        makes = not _reads(item)
        pairs = sorted(zip(item.root_idxs, item.idxs, strict=True))
        counts = Counter(root for root, _ in pairs)
        if sorted(counts) != list(range(size)) or len(set(counts.values())) > 1:
            return None
        positions = torch.tensor([index for _, index in pairs]).reshape(size, -1)
        members.setdefault((module, makes), Member(names[module], module, makes, positions))
    order = {name: index for index, name in enumerate(names.values())}
    ordered = sorted(members.values(), key=lambda member: (order[member.layer], not member.makes))
    makers = [m for m in ordered if m.makes and isinstance(m.module, LAYERS) and not _depthwise(m.module)]
    return ChannelGroup((makers or ordered)[0].layer, size, tuple(ordered))


def _depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels == module.out_channels > 1
