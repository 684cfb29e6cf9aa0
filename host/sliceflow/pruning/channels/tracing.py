"""Torch-Pruning's dependency graph, read as groups of coupled positions.

All knowledge of that package is here. Its groups begin at one layer; where a concatenation meets a sum or a depthwise
convolution, some channels of that layer are coupled with one thing and some with another, so they are taken apart here.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.training.task import evaluating

logger = logging.getLogger(__name__)

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
"""Layers that mix channels."""

Side = tuple[nn.Module, bool]
"""A layer, and whether its outputs are meant (else its inputs)."""
Coupled = dict[Side, list[list[int]]]
"""Channels that are coupled in the same way: for each side, for each channel, its positions there."""


def trace(model: nn.Module, example: Tensor) -> list[Coupled]:
    """Groups of channels that do not reach an output of the network; each position that a layer makes is in one.

    Args:
        model: the network.
        example: inputs, ``[N, ...]``.

    Raises:
        UserError: the package is missing, or cannot trace the network.
    """
    graph = _graph(model, _two(example))
    groups: list[Coupled] = []
    made: set[tuple[nn.Module, int]] = set()
    for layer in [module for module in model.modules() if isinstance(module, LAYERS)]:
        if layer not in graph.module2node or is_depthwise(layer):
            continue
        items = _items(graph, layer)
        if items is None:
            logger.warning("layer %s keeps all its channels: they cannot be traced", _name(model, layer))
            continue
        if _reaches_output(items):
            continue
        for group in _parts(items):
            own = {(side[0], at) for side, all_at in group.items() if side[1] for place in all_at for at in place}
            if not own & made:
                groups.append(group)
                made |= own
    return groups


def is_depthwise(module: nn.Module) -> bool:
    """Whether a layer is a convolution that makes each channel from one of its own."""
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels == module.out_channels > 1


def _two(example: Tensor) -> Tensor:
    """Two examples for one.

    Torch computes a fully connected layer of one row by a view, and an activation in place behind a view hides the
    layer from the tracer.
    """
    return torch.cat([example, example]) if len(example) == 1 else example


def _graph(model: nn.Module, example: Tensor) -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise UserError(
            "torch-pruning is not installed", why=str(error), fix="pip install 'sliceflow[pruning]'"
        ) from error
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    with evaluating(model), torch.enable_grad(), _without_shared_slopes(model):
        for parameter in frozen:
            parameter.requires_grad_(True)  # the graph is found through autograd
        try:
            return torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example)
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
    pruner = graph.get_pruner_of_module(layer)
    try:
        return graph.get_pruning_group(layer, pruner.prune_out_channels, list(range(pruner.get_out_channels(layer))))
    except Exception:  # it fails in many ways on networks that it does not know
        return None


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
        for root, at in zip(item.root_idxs, item.idxs, strict=True):
            if at not in positions[root][side]:
                positions[root][side].append(at)
    alike: dict[Any, list[dict[Side, list[int]]]] = defaultdict(list)
    for root in sorted(positions):
        sides = positions[root]
        alike[frozenset((side, len(at)) for side, at in sides.items())].append(sides)
    for channels in alike.values():
        group = {side: [sorted(sides[side]) for sides in channels] for side in channels[0]}
        if _within(group):
            yield group


def _within(group: Mapping[Side, list[list[int]]]) -> bool:
    """Whether all positions exist; outputs of a grouped transposed convolution have no axis of their own."""
    for (module, makes), all_at in group.items():
        if isinstance(module, nn.ConvTranspose2d) and module.groups > 1:
            return False
        parameters = dict(module.named_parameters(recurse=False))
        if makes and isinstance(module, LAYERS) and "weight" in parameters:
            axis = 1 if isinstance(module, nn.ConvTranspose2d) else 0
            if max(map(max, all_at)) >= parameters["weight"].shape[axis]:
                return False
    return True


def _name(model: nn.Module, layer: nn.Module) -> str:
    return next(str(name) for name, module in model.named_modules() if module is layer)


def as_tensor(places: list[list[int]]) -> Tensor:
    """Positions as ``[channels, k]``."""
    return torch.tensor(places).reshape(len(places), -1)
