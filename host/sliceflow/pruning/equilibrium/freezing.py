"""Training in which some neurons stand still for an epoch: no gradient, no momentum, no weight decay."""

from __future__ import annotations

import abc
import dataclasses
import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn, optim

from sliceflow.errors import UserError
from sliceflow.pruning.channels.chains import Chain, find_chains
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.channels.macs import layer_macs
from sliceflow.pruning.training.callback import Batch, Callback, Epoch


@dataclasses.dataclass(frozen=True)
class BackwardCost:
    """Multiply-accumulates of back-propagation for one example, in one epoch.

    A layer costs its forward MACs for the gradient of its weights, and as many for that of its inputs, which the first
    layer does not need.

    Attributes:
        epoch: its number, from 1.
        frozen: neurons that stood still, of the hidden layers.
        neurons: all neurons of hidden layers.
        full: without freezing.
        needed: gradients of frozen neurons' weights are left out; gradients still pass through frozen neurons to the
            layers before, as long as any layer that runs before has a neuron to train.
        proportional: both gradients of a layer shrink with its share of trained neurons. A. Bragagnolo's thesis does
            not give its formula, but freezing at random with p = 0.5 saves 49.8 % there, which is this count.
    """

    epoch: int
    frozen: int
    neurons: int
    full: int
    needed: int
    proportional: int


class Freezing(Callback, abc.ABC):
    """Base of what freezes neurons from epoch to epoch. In the first epoch all neurons are trained.

    A neuron is an output of a hidden layer, with its weights, its bias, and its scale and shift in the batch
    normalization behind the layer. Layers that make the network's outputs are never frozen. Frozen neurons stay in the
    forward pass. Their parameters and what the optimizer keeps for them (momentum, Adam's moments) do not change;
    running statistics of batch normalizations do, as they describe inputs.

    Args:
        model: the network.
        example: inputs ``[N, ...]``.

    Attributes:
        frozen: for each hidden layer which neurons stand still in the coming epoch, bool ``[neurons]``.
        costs: one record for each epoch that was run.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        hidden = {m.layer for group in find_groups(model, example) for m in group.members if m.makes}
        chains = find_chains(model, example)
        self.chains: dict[str, Chain] = {name: chain for name, chain in chains.items() if name in hidden}
        if not self.chains:
            raise UserError("the network has no hidden neurons", where=type(model).__name__)
        self.frozen = {name: torch.zeros(_neurons(chain), dtype=torch.bool) for name, chain in self.chains.items()}
        self.costs: list[BackwardCost] = []
        macs = layer_macs(model, example[:1])
        self._macs = {name: macs[name] for name in chains if name in macs}
        self._optimizer: optim.Optimizer | None = None
        self._held: list[tuple[Tensor, str, Tensor, Tensor]] = []

    @abc.abstractmethod
    def choose(self, epoch: Epoch) -> Mapping[str, Tensor]:
        """Which neurons stand still in the epoch after this one, for each layer bool ``[neurons]``."""

    def on_optimizer(self, optimizer: optim.Optimizer) -> None:
        """Take down whose state must be held."""
        self._optimizer = optimizer

    def on_start(self, model: nn.Module, epochs: int) -> None:
        """Hold what is frozen, in a run that was resumed."""
        self._hold()

    def on_backward(self, batch: Batch) -> None:
        """Frozen neurons have no gradient."""
        for parameter, key, where, _ in self._held:
            if not key and parameter.grad is not None:
                parameter.grad.masked_fill_(where, 0)

    def on_step(self, batch: Batch) -> None:
        """Take back what momentum and weight decay did."""
        with torch.no_grad():
            for parameter, key, where, values in self._held:
                held = self._state(parameter)[key] if key else parameter
                held[where] = values

    def on_epoch(self, epoch: Epoch) -> None:
        """Count what was saved, and choose for the next epoch."""
        self.costs.append(self._cost(epoch.number))
        for name, mask in self.choose(epoch).items():
            self.frozen[name] = mask.clone()
        self._hold()

    def _hold(self) -> None:
        """Take down the values that must not change in the coming epoch."""
        self._held = []
        for name, chain in self.chains.items():
            mask = self.frozen[name]
            if not mask.any():
                continue
            for _, parameter, where in chain.parameters(mask):
                where = where.expand(parameter.shape)
                self._held.append((parameter, "", where, parameter.detach()[where].clone()))
                for key, value in self._state(parameter).items():
                    if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
                        self._held.append((parameter, key, where, value[where].clone()))

    def _state(self, parameter: Tensor) -> dict[str, Any]:
        return self._optimizer.state.get(parameter, {}) if self._optimizer is not None else {}

    def _cost(self, number: int) -> BackwardCost:
        full = needed = 0
        proportional = 0.0
        trained_before = False
        for index, (name, macs) in enumerate(self._macs.items()):
            mask = self.frozen.get(name)
            live = 1.0 if mask is None else float((~mask).float().mean())
            sides = 2 if index else 1
            full += sides * macs
            needed += round(live * macs) + macs * trained_before
            proportional += sides * live * macs
            trained_before = trained_before or live > 0
        frozen, neurons = (sum(int(f(mask)) for mask in self.frozen.values()) for f in (Tensor.sum, Tensor.numel))
        return BackwardCost(number, frozen, neurons, full, needed, round(proportional))

    def state_dict(self) -> dict[str, Any]:
        """What is frozen, and the costs."""
        return {"frozen": dict(self.frozen), "costs": [dataclasses.asdict(cost) for cost in self.costs]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.frozen = dict(state["frozen"])
        self.costs = [BackwardCost(**cost) for cost in state["costs"]]


class RandomFreezing(Freezing):
    """Each neuron stands still with a fixed probability, drawn anew for each epoch: a control.

    Args:
        model: the network.
        example: inputs ``[N, ...]``.
        probability: 0 to 1.
        seed: of the draws.
    """

    def __init__(self, model: nn.Module, example: Tensor, probability: float, seed: int = 0) -> None:
        super().__init__(model, example)
        if not 0 <= probability <= 1:
            raise UserError(f"the probability must be 0 to 1, not {probability}", where="freezing of neurons")
        self._probability, self._seed = probability, seed

    def choose(self, epoch: Epoch) -> Mapping[str, Tensor]:
        """Draw."""
        generator = torch.Generator().manual_seed(random.Random(f"{self._seed} {epoch.number}").getrandbits(60))
        return {
            name: torch.rand(mask.shape, generator=generator) < self._probability for name, mask in self.frozen.items()
        }


def _neurons(chain: Chain) -> int:
    return int(chain.module.out_features if isinstance(chain.module, nn.Linear) else chain.module.out_channels)
