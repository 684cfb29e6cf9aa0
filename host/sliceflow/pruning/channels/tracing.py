"""Torch-Pruning's dependency graph, read as groups of coupled positions.

All knowledge of that package is here. Its groups begin at one layer; where a concatenation meets a sum or a depthwise
convolution, some channels of that layer are coupled with one thing and some with another, so they are taken apart here.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.layers import LAYERS, NORMS, count, has_own_weight, is_depthwise, sharing
from sliceflow.pruning.training.task import evaluating, hooked

logger = logging.getLogger(__name__)

_CARRIERS = (*LAYERS, *NORMS, nn.GroupNorm, nn.LayerNorm, nn.PReLU)
"""Modules whose parameters are known to lie channel by channel. All else is an operation to the groups: that channels
survive it is found out by running the network."""

_VISITS = 2
"""How often a group may come to a node, on average; in residual and dense networks it is less than once."""

Side = tuple[nn.Module, bool]
"""A layer, and whether its outputs are meant (else its inputs)."""
Coupled = dict[Side, list[list[int]]]
"""Channels that are coupled in the same way: for each side, for each channel, its positions there."""


def trace(model: nn.Module, example: Tensor) -> list[Coupled]:
    """Groups of channels that do not reach an output of the network.

    Each position that a layer makes is in one, unless it cannot be traced; a warning in the log names the layer then.

    Args:
        model: the network.
        example: inputs, ``[N, ...]``.

    Raises:
        UserError: the package is missing, or cannot trace the network.
    """
    graph, ran = _graph(model, _two(example))
    shared = sharing(model)
    groups: list[Coupled] = []
    made: set[tuple[nn.Module, int]] = set()
    for layer in [module for module in ran if not is_depthwise(module)]:
        parts, reason = _parts_of(graph, layer, shared)
        if reason:
            logger.warning("layer %s keeps all its channels: %s", _name(model, layer), reason)
        for group in parts:
            own = {(side[0], at) for side, all_at in group.items() if side[1] for place in all_at for at in place}
            if not own & made:
                groups.append(group)
                made |= own
    return groups


def _parts_of(graph: Any, layer: nn.Module, shared: Collection[nn.Module]) -> tuple[list[Coupled], str]:
    """The groups that a layer makes, and why some of its channels are in none; empty if they make outputs."""
    items = _items(graph, layer)
    if items is None:
        return [], "they cannot be traced"
    if _reaches_output(items):
        return [], ""
    parts = list(_parts(items))
    reasons = [_why_not(part, shared) for part in parts]
    known = [part for part, reason in zip(parts, reasons, strict=True) if not reason]
    return known, next(filter(None, reasons), "")


def _two(example: Tensor) -> Tensor:
    """Two examples for one.

    Torch computes a fully connected layer of one row by a view, and an activation in place behind a view hides the
    layer from the tracer.
    """
    return torch.cat([example, example]) if len(example) == 1 else example


def _graph(model: nn.Module, example: Tensor) -> tuple[Any, list[nn.Module]]:
    """The package's graph, and the layers that run, in the network's order."""
    try:
        import torch_pruning
    except ImportError as error:
        raise UserError(
            "torch-pruning is not installed", why=str(error), fix="pip install 'sliceflow[pruning]'"
        ) from error
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    layers = [module for module in model.modules() if isinstance(module, LAYERS)]
    ran: set[nn.Module] = set()
    looking = hooked(layer.register_forward_hook(lambda module, *_: ran.add(module)) for layer in layers)
    with evaluating(model), torch.enable_grad(), _without_shared_slopes(model), looking:
        for parameter in frozen:
            parameter.requires_grad_(True)  # the graph is found through autograd
        try:
            graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example, verbose=False)
            return graph, [layer for layer in layers if layer in ran]
        except Exception as error:  # the tracer runs the user's code
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                "the channels of the network cannot be traced", where=type(model).__name__, why=reason
            ) from error
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)


@contextmanager
def _without_shared_slopes(model: nn.Module) -> Iterator[None]:
    """PReLU with one slope for all channels confuses the tracer; another activation function stands in for it."""
    replaced = []
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.PReLU) and child.num_parameters == 1:
                replaced.append((parent, name, child))
                setattr(parent, name, nn.LeakyReLU())
    try:
        yield
    finally:
        for parent, name, child in replaced:
            setattr(parent, name, child)


def _items(graph: Any, layer: nn.Module) -> Any:
    """Everything that goes with the outputs of a layer; None if the tracer fails."""
    try:
        pruner = graph.get_pruner_of_module(layer)
        channels = list(range(pruner.get_out_channels(layer)))
        with _bounded(len(graph.module2node)):
            return graph.get_pruning_group(layer, pruner.prune_out_channels, channels)
    except Exception:  # it fails in many ways on networks that it does not know
        return None


@contextmanager
def _bounded(nodes: int) -> Iterator[None]:
    """A group that does not come to an end fails within this block.

    The package collects until nothing new comes. Where positions are mixed, as in matrix products of maps, something
    new comes for minutes.
    """
    from torch_pruning.dependency.group import Group

    add, most = Group.add_dep, _VISITS * nodes + 100

    def add_dep(group: Any, dep: Any, idxs: Any) -> None:
        if len(group) >= most:
            raise RuntimeError("a group does not come to an end")
        add(group, dep, idxs)

    Group.add_dep = add_dep
    try:
        yield
    finally:
        Group.add_dep = add


def _reaches_output(items: Any) -> bool:
    """Whether the channels are outputs of the network: something that carries them has no reader."""
    return any(not item.dep.target.outputs for item in items if not _reads(item))


def _reads(item: Any) -> bool:
    """Whether an item of Torch-Pruning's group cuts inputs of a layer, not outputs."""
    return item.dep.handler.__name__ == "prune_in_channels" and isinstance(item.dep.target.module, LAYERS)


def _parts(items: Any) -> Iterator[Coupled]:
    """A group taken apart into channels that are coupled with the same sides, with each at equally many positions."""
    positions: dict[int, dict[Side, list[int]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        side = (item.dep.target.module, not _reads(item))
        if not isinstance(side[0], _CARRIERS):
            continue
        for root, at in zip(item.root_idxs, item.idxs, strict=True):
            if at not in positions[root][side]:
                positions[root][side].append(at)
    alike: dict[Any, list[dict[Side, list[int]]]] = defaultdict(list)
    for root in sorted(positions):
        places = positions[root]
        alike[frozenset((side, len(at)) for side, at in places.items())].append(places)
    for channels in alike.values():
        yield {side: [sorted(places[side]) for places in channels] for side in channels[0]}


def _why_not(group: Mapping[Side, list[list[int]]], shared: Collection[nn.Module]) -> str:
    """Why the channels of a group cannot be pruned; empty if they can."""
    for (module, makes), all_at in group.items():
        if max(map(max, all_at)) >= count(module, makes):
            return "what they are coupled with cannot be traced"
        if makes and module in shared:
            return "a parameter that makes them has another use"
        if makes and isinstance(module, LAYERS) and not has_own_weight(module):
            return "their weights are computed of other parameters"
    return ""


def _name(model: nn.Module, layer: nn.Module) -> str:
    return next(str(name) for name, module in model.named_modules() if module is layer)


def as_tensor(places: list[list[int]]) -> Tensor:
    """Positions as ``[channels, k]``."""
    return torch.tensor(places).reshape(len(places), -1)
