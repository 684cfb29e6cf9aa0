"""PSP-entropy: how much the on and off states of a network's ReLUs vary within each class.

A neuron is on if its post-synaptic potential, what enters its activation, is positive. Source: A. Bragagnolo, PhD
thesis, University of Turin, 2023, chapter 8; E. Tartaglione, A. Bragagnolo and M. Grangetto, "Pruning artificial neural
networks: a way to find well-generalizing, high-entropy sharp minima", 2020.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.chains import find_chains
from sliceflow.pruning.equilibrium.neq import observe

ROWS = 256
"""Neurons whose pairs are counted at a time."""


@dataclasses.dataclass(frozen=True)
class LayerEntropy:
    """Entropies of a layer's neurons, in bits, summed over classes.

    Attributes:
        first: of each neuron's state, ``[neurons]``, 0 to the number of classes (equations 8.4 and 8.5).
        second: of the joint state of two neurons, for all pairs of ``sampled``, ``[n, n]``; 0 to twice the number of
            classes. On the diagonal it is the entropy of one neuron. None unless it was asked for.
        sampled: the neurons that make the pairs, ``[n]``.
    """

    first: Tensor
    second: Tensor | None
    sampled: Tensor

    @property
    def mean_first(self) -> float:
        """Mean over neurons."""
        return float(self.first.mean())

    @property
    def mean_second(self) -> float | None:
        """Mean over pairs of different neurons; None if there are none."""
        if self.second is None or len(self.second) < 2:
            return None
        count = len(self.second)
        return float((self.second.sum() - self.second.diagonal().sum()) / (count * (count - 1)))


def psp_entropy(
    model: nn.Module,
    examples: Iterable[tuple[Tensor, Tensor]],
    *,
    layers: Collection[str] = (),
    positions: bool = False,
    pairs: bool = False,
    most: int = 1024,
    seed: int = 0,
) -> dict[str, LayerEntropy]:
    """Entropies of all layers whose potentials enter an activation.

    Args:
        model: the network, shown the examples in evaluation mode.
        examples: batches of inputs and class indices ``[N]``.
        layers: convolutions and fully connected layers to look at; all but the last that runs if empty.
        positions: every position of a map is a neuron of its own. Else a filter is one neuron, and its states at all
            positions are counted.
        pairs: compute entropies of pairs, too, within each layer.
        most: neurons of a layer that make pairs; of more, so many are drawn.
        seed: of the draw.

    Returns:
        By layer, in the order in which the layers run. A class without examples counts nothing.

    Raises:
        UserError: there is no example, no such layer, or targets are no class indices.
    """
    batches = list(examples)
    if not batches:
        raise UserError("there is no example to observe neurons with", where="PSP-entropy")
    targets = torch.cat([labels for _, labels in batches])
    if targets.ndim != 1 or targets.is_floating_point():
        raise UserError("targets must be class indices, one for each example", where="PSP-entropy")
    chains = find_chains(model, batches[0][0])
    unknown = set(layers) - set(chains)
    if unknown:
        raise UserError(f"no layer {sorted(unknown)[0]!r} runs in the network", fix=f"those are {', '.join(chains)}")
    chosen = [name for name in chains if name in layers] if layers else list(chains)[:-1]
    found = {}
    for name in chosen:  # one at a time, so that the states of one layer only are held
        states = observe(model, [inputs for inputs, _ in batches], {name: chains[name]})[name] > 0
        if positions:
            states = states.movedim(2, 1).flatten(0, 1)[..., None]
        found[name] = _layer(states, targets, pairs, most, seed)
    return found


def _layer(states: Tensor, targets: Tensor, pairs: bool, most: int, seed: int) -> LayerEntropy:
    """Entropies from states ``[neurons, examples, positions]``, bool."""
    neurons = len(states)
    sampled = torch.arange(neurons)
    if neurons > most:
        sampled = torch.randperm(neurons, generator=torch.Generator().manual_seed(seed))[:most].sort().values
    first = torch.zeros(neurons, dtype=torch.float64)
    second = torch.zeros(len(sampled), len(sampled), dtype=torch.float64) if pairs else None
    for label in targets.unique():
        of_class = states[:, targets == label].flatten(1)
        first += _bits(of_class.double().mean(1)) + _bits((~of_class).double().mean(1))
        if second is not None:
            _add_pairs(second, of_class[sampled].float())
    return LayerEntropy(first, second, sampled)


def _add_pairs(second: Tensor, states: Tensor) -> None:
    """Add the entropies of joint states, from states ``[n, observations]`` of 0 and 1."""
    count = states.shape[1]
    on = states.sum(1).double()
    for start in range(0, len(states), ROWS):
        rows = slice(start, start + ROWS)
        both = (states[rows] @ states.t()).double()  # whole numbers below 2**24, so exact in float32
        first_only, other_only = on[rows, None] - both, on[None] - both
        neither = count - both - first_only - other_only
        for joint in (both, first_only, other_only, neither):
            second[rows] += _bits(joint / count)


def _bits(probability: Tensor) -> Tensor:
    """``-p log2 p``, 0 at 0."""
    return -torch.special.xlogy(probability, probability) / torch.log(torch.tensor(2.0, dtype=torch.float64))
