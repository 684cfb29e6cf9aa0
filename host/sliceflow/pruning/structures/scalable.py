"""Structures of a network that can be scaled as a whole: channels, groups of grouped convolutions, residual blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.blocks.residual import split
from sliceflow.pruning.channels.chains import Chain, find_chains
from sliceflow.pruning.channels.group import ChannelGroup
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.channels.layers import LAYERS, making, spread

Kind = Literal["channels", "groups", "blocks"]


@dataclasses.dataclass(frozen=True)
class Place:
    """A potential that structures scale: the output of a layer, or of the batch normalization behind it.

    Attributes:
        chain: the layer.
        positions: ``[structures, k]``, the neurons of each structure; neurons that are in none are not scaled.
    """

    chain: Chain
    positions: Tensor

    def scale(self, factors: Tensor) -> Tensor:
        """The factor of each neuron, from those of the structures ``[structures]``; differentiable."""
        last = self.chain.module
        count = last.out_features if isinstance(last, nn.Linear) else last.out_channels
        repeated = factors.repeat_interleave(self.positions.shape[1])
        return torch.ones(count, dtype=factors.dtype).index_put((self.positions.flatten(),), repeated)

    def apply(self, factors: Tensor, output: Tensor) -> Tensor:
        """The potential, scaled."""
        shape = [1] * output.ndim
        shape[self.chain.axis] = -1
        return output * self.scale(factors).reshape(shape)

    def fold(self, factors: Tensor) -> None:
        """Scale the parameters instead: exact, with factors of any sign, as only the activation comes behind them.

        Scale and shift of the normalization take the factor if there is one, else weights and bias of the layer.
        """
        scale = self.scale(factors)
        owner = self.chain.last
        with torch.no_grad():
            for name, parameter in making(owner):
                parameter.mul_(spread(owner, name, parameter.shape, scale))


@dataclasses.dataclass(frozen=True)
class Structures:
    """Structures of which each has one factor.

    Attributes:
        name: of the layer or the block.
        count: of structures.
        places: where they are scaled; several where residual sums couple channels.
        parameters: names and masks of what belongs to structures that are gone, bool ``[count]``.
        least: that must stay.
    """

    name: str
    count: int
    places: tuple[Place, ...]
    parameters: Callable[[Tensor], list[tuple[str, Tensor]]]
    least: int = 1


def find_structures(model: nn.Module, example: Tensor, kind: Kind, protect: Collection[str] = ()) -> list[Structures]:
    """Structures of one kind.

    Args:
        model: the network.
        example: inputs ``[N, ...]``.
        kind: ``channels`` of all layers but those that make the outputs; ``groups`` of grouped convolutions;
            ``blocks``, the branches of residual blocks, see ``blocks.residual.split``.
        protect: layers that are left alone, with the structures that they are in.

    Raises:
        UserError: the network has none of that kind.
    """
    chains = find_chains(model, example)
    if kind == "channels":
        found = [_channels(group, chains) for group in find_groups(model, example, protect)]
    elif kind == "groups":
        found = [_groups(chain) for name, chain in chains.items() if name not in protect and _is_grouped(chain.module)]
    else:
        found = _blocks(model, chains, protect)
    found = [structures for structures in found if structures.places]
    if not found:
        raise UserError(f"the network has no {kind} that can be scaled", where=type(model).__name__)
    return found


def _channels(group: ChannelGroup, chains: Mapping[str, Chain]) -> Structures:
    """Every layer that makes the channels is scaled; a depthwise one as well, since its bias is not zero."""
    makers = [m for m in group.members if m.makes and isinstance(m.module, LAYERS) and m.layer in chains]
    foldable = all(chains[m.layer].foldable for m in makers)
    places = tuple(Place(chains[m.layer], m.positions) for m in makers) if foldable else ()
    return Structures(group.name, group.size, places, group.parameters_of)


def _is_grouped(module: Any) -> bool:
    return isinstance(module, nn.Conv2d) and 1 < module.groups < module.out_channels


def _groups(chain: Chain) -> Structures:
    count = chain.module.groups
    positions = torch.arange(chain.module.out_channels).reshape(count, -1)

    def parameters(gone: Tensor) -> list[tuple[str, Tensor]]:
        neurons = torch.zeros(chain.module.out_channels, dtype=torch.bool)
        neurons[positions[gone].flatten()] = True
        return [(name, mask.expand(parameter.shape).clone()) for name, parameter, mask in chain.parameters(neurons)]

    return Structures(chain.layer, count, (Place(chain, positions),) if chain.foldable else (), parameters)


def _blocks(model: nn.Module, chains: Mapping[str, Chain], protect: Collection[str]) -> list[Structures]:
    """Blocks whose branch ends with a layer or its normalization; inner ones first, and none that contains another."""
    ends = {chain.last: chain for chain in chains.values() if chain.foldable}
    found: list[Structures] = []
    for name, module in reversed(list(model.named_modules())):
        taken = any(other.name.startswith(f"{name}.") for other in found)
        if not name or taken or any(layer.startswith(f"{name}.") for layer in protect):
            continue
        block = split(module) if next(module.children(), None) is not None else None
        if block is None:
            continue
        last = list(block.branch.graph.nodes)[-1].args[0]
        chain = ends.get(module.get_submodule(str(last.target))) if last.op == "call_module" else None
        if chain is not None:
            found.append(_block(name, block.branch, chain))
    return found[::-1]


def _block(name: str, branch: nn.Module, chain: Chain) -> Structures:
    outputs = torch.arange(chain.module.out_channels)[None]

    def parameters(gone: Tensor) -> list[tuple[str, Tensor]]:
        inside = branch.named_parameters() if gone.any() else ()
        return [(f"{name}.{inner}", torch.ones(p.shape, dtype=torch.bool)) for inner, p in inside]

    return Structures(name, 1, (Place(chain, outputs),), parameters, least=0)
