"""Channels that live or go together, found by Torch-Pruning's dependency graph."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Collection, Mapping

from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.coupling_check import false_groups
from sliceflow.pruning.channels.group import ChannelGroup, Member
from sliceflow.pruning.channels.layers import LAYERS
from sliceflow.pruning.channels.tracing import Coupled, as_tensor, trace

logger = logging.getLogger(__name__)


def find_groups(model: nn.Module, example: Tensor, protect: Collection[str] = ()) -> list[ChannelGroup]:
    """The groups of channels of a network that may be pruned.

    What the tracer says is tried out by running the network; layers whose channels it loses track of stay whole, with a
    warning in the log.

    Args:
        model: the network.
        example: inputs, ``[N, ...]``, with N of 1 or more.
        protect: layers whose outputs stay; those that make the network's outputs always stay.

    Returns:
        The groups in the order in which the network defines their layers.

    Raises:
        UserError: the package is missing, or the network cannot be traced.
    """
    check_layers(model, protect)
    names = {module: name for name, module in model.named_modules()}
    order = {name: index for index, name in enumerate(names.values())}
    traced = [group for found in trace(model, example) if (group := _group(found, names, order)) is not None]
    groups = _true(model, example, _renamed(traced))
    kept = [group for group in groups if not any(m.makes and m.layer in protect for m in group.members)]
    return sorted(kept, key=lambda group: min(order[member.layer] for member in group.makers))


def _true(model: nn.Module, example: Tensor, groups: list[ChannelGroup]) -> list[ChannelGroup]:
    """Without the groups that running the network disproves: the tracer does not follow every split and shuffle."""
    try:
        false = false_groups(model, example, groups)
    except Exception as error:  # the network's own code, on random inputs and with pruned channels
        raise UserError(
            "the network cannot be tried out with pruned channels",
            where=type(model).__name__,
            why=f"{type(error).__name__}: {str(error).strip()[:200]}",
        ) from error
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


def _group(found: Coupled, names: Mapping[nn.Module, str], order: Mapping[str, int]) -> ChannelGroup | None:
    """A group by names; None if no layer makes its channels."""
    members = [Member(names[module], module, makes, as_tensor(places)) for (module, makes), places in found.items()]
    members.sort(key=lambda member: (order[member.layer], not member.makes))
    group = ChannelGroup("", len(members[0].positions) if members else 0, tuple(members))
    return dataclasses.replace(group, name=group.makers[0].layer) if group.makers else None


def _renamed(groups: list[ChannelGroup]) -> list[ChannelGroup]:
    """Groups with names of their own: a layer may make channels of several ones, which differ in the first channel."""
    counts = Counter(group.name for group in groups)
    return [
        dataclasses.replace(group, name=f"{group.name}[{int(group.makers[0].positions[0, 0])}]")
        if counts[group.name] > 1
        else group
        for group in groups
    ]
