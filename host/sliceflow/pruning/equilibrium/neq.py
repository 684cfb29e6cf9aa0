"""NEq: neurons whose outputs have stopped changing are not trained for an epoch.

It saves back-propagation and prunes nothing. Source: A. Bragagnolo, PhD thesis, University of Turin, 2023, chapter 9;
A. Bragagnolo, E. Tartaglione and M. Grangetto, "To update or not to update? Neurons at equilibrium in deep models",
2022.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.activations import Activations, output
from sliceflow.pruning.channels.chains import Chain
from sliceflow.pruning.equilibrium.freezing import Freezing
from sliceflow.pruning.training.callback import Epoch
from sliceflow.pruning.training.task import evaluating, hooked

logger = logging.getLogger(__name__)


Observed = Literal["outputs", "potentials"]
"""What of a neuron is looked at: behind its activation function, or in front of it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EquilibriumOptions:
    """When a neuron is at equilibrium.

    Attributes:
        epsilon: it is while the magnitude of its velocity is below this; 0 freezes nothing.
        momentum: how much of the last velocity goes into the next, 0 or more and less than 1. The thesis takes 0.5.
        damping: ``subtract`` takes that part away from the change of similarity (thesis, equation 9.4); ``add``
            adds it, as the authors' published program does.
        similarity: ``whole`` is one cosine over all examples and positions (equation 9.1); ``example`` is the mean of
            one cosine for each example, as the published program has it.
        observe: ``outputs`` compares what neurons make of their potentials, as equation 9.1 has it; ``potentials``
            compares what enters their activation functions.
    """

    epsilon: float = 1e-3
    momentum: float = 0.5
    damping: Literal["subtract", "add"] = "subtract"
    similarity: Literal["whole", "example"] = "whole"
    observe: Observed = "outputs"

    def __post_init__(self) -> None:
        if self.epsilon < 0 or not 0 <= self.momentum < 1:
            raise UserError(
                "epsilon must not be negative, and momentum must be 0 or more and less than 1",
                where="equilibrium options",
                why=f"epsilon {self.epsilon}, momentum {self.momentum}",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EquilibriumSection(EquilibriumOptions):
    """The same in a recipe: the network is trained with it before it is pruned.

    Attributes:
        images: validation inputs to observe neurons with.
    """

    images: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images < 1:
            raise UserError("there must be 1 image at least to observe neurons with", where="[equilibrium]")


class Equilibrium(Freezing):
    """Freezes neurons at equilibrium, epoch by epoch; a neuron that moves again is trained again.

    A neuron's potential is the output of its layer, behind the batch normalization if one follows; its output is what
    the activation function makes of that. A layer whose activation function cannot be told, or that has none, is
    looked at by its potentials; in the first case a warning says so. Velocities begin near 1, because the first
    similarity does; with a momentum of 0.5 it takes about ten epochs until anything can freeze at an epsilon of 1e-3.

    Args:
        model: the network.
        inputs: batches of a few validation inputs ``[N, ...]``; always the same, without augmentation. 50 images do
            for CIFAR-10.
        options: when neurons freeze.

    Attributes:
        similarities: of the last two epochs, phi, for each layer ``[neurons]``.
        velocities: v, after the last epoch, for each layer ``[neurons]``.
    """

    def __init__(self, model: nn.Module, inputs: Sequence[Tensor], options: EquilibriumOptions) -> None:
        if not inputs:
            raise UserError("there is no input to observe neurons with", where="equilibrium")
        super().__init__(model, inputs[0])
        self._inputs, self._options, self._model = list(inputs), options, model
        self._outputs: dict[str, Tensor] = {}
        self.similarities = {name: torch.zeros(len(mask), dtype=torch.float64) for name, mask in self.frozen.items()}
        self.velocities = {name: torch.zeros(len(mask), dtype=torch.float64) for name, mask in self.frozen.items()}

    def on_start(self, model: nn.Module, epochs: int) -> None:
        """Take down the outputs before training, or those of the epoch after which training was broken off."""
        super().on_start(model, epochs)
        self._outputs = observe(self._model, self._inputs, self.chains, self._options.observe)

    def choose(self, epoch: Epoch) -> Mapping[str, Tensor]:
        """Compare outputs with those of the epoch before."""
        options = self._options
        outputs = observe(self._model, self._inputs, self.chains, options.observe)
        sign = -1 if options.damping == "subtract" else 1
        frozen = {}
        for name, now in outputs.items():
            similarity = cosine(now, self._outputs[name], per_example=options.similarity == "example")
            change = similarity - self.similarities[name]
            self.velocities[name] = change + sign * options.momentum * self.velocities[name]
            self.similarities[name] = similarity
            frozen[name] = self.velocities[name].abs() < options.epsilon
        self._outputs = outputs
        return frozen

    def state_dict(self) -> dict[str, Any]:
        """Similarities, velocities, what is frozen, and the costs."""
        return {**super().state_dict(), "similarities": self.similarities, "velocities": self.velocities}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        super().load_state_dict(state)
        self.similarities, self.velocities = dict(state["similarities"]), dict(state["velocities"])


def observe(
    model: nn.Module, inputs: Sequence[Tensor], chains: Mapping[str, Chain], what: Observed = "potentials"
) -> dict[str, Tensor]:
    """Potentials or outputs of neurons in evaluation mode.

    Returns:
        For each layer ``[neurons, examples, elements]``, elements being the positions of a map.

    Raises:
        UserError: what a layer makes does not belong to examples.
    """
    calls: dict[str, list[Tensor]] = {}
    activations = Activations(output)
    unknown: dict[str, str] = {}

    def take(chain: Chain) -> Any:
        def hook(_module: nn.Module, _inputs: Any, made: Tensor) -> None:
            found = calls.setdefault(chain.layer, [])
            found.append(made.detach().clone())  # later layers may overwrite it
            activations.potential(f"{chain.layer} {len(found) - 1}", made)

        return hook

    hooks = (chain.last.register_forward_hook(take(chain)) for chain in chains.values())
    found: dict[str, list[Tensor]] = {name: [] for name in chains}
    with hooked(hooks), evaluating(model), torch.no_grad():
        for batch in inputs:
            calls.clear()
            with activations if what == "outputs" else contextlib.nullcontext():
                model(batch)
            for name, parts in found.items():
                made = calls.get(name, [])
                if what == "outputs":
                    made = [_output(activations, f"{name} {i}", p, unknown) for i, p in enumerate(made)]
                values = [m.movedim(chains[name].axis, 0) for m in made]
                parts.append(_joined(name, [v.reshape(*v.shape[:2], -1) for v in values], len(batch)))
    for name, reason in unknown.items():
        logger.warning("layer %s is looked at by its potentials: %s", name.rpartition(" ")[0], reason)
    return {name: torch.cat(parts, 1) for name, parts in found.items()}


def _output(activations: Activations, label: str, potential: Tensor, unknown: dict[str, str]) -> Tensor:
    made, reason = activations.found(label)
    if reason:
        unknown[label] = reason
    return potential if made is None else made


def _joined(name: str, calls: Sequence[Tensor], examples: int) -> Tensor:
    """What a layer made in its calls for one batch; several calls make more elements of each example."""
    if not calls or any(values.shape[1] != examples for values in calls):
        raise UserError(
            "the neurons of a layer cannot be observed",
            where=name,
            why="for some examples it does not run, or the first axis of what it makes is not that of the examples",
        )
    return torch.cat(list(calls), 2)


def cosine(now: Tensor, before: Tensor, *, per_example: bool = False) -> Tensor:
    """Similarity of neurons' outputs (equation 9.1).

    Two outputs that are all zero, as those of dead neurons, are the same: 1. One of them zero: 0.

    Args:
        now: ``[neurons, examples, elements]``.
        before: the same of the epoch before.
        per_example: the mean of one cosine for each example.

    Returns:
        ``[neurons]`` of type float64, -1 to 1.
    """
    now, before = now.double(), before.double()
    if not per_example:
        now, before = now.flatten(1)[:, None], before.flatten(1)[:, None]
    lengths, others = now.norm(dim=-1), before.norm(dim=-1)
    both = lengths * others
    similarity = torch.where(both > 0, (now * before).sum(-1) / both, ((lengths == 0) & (others == 0)).double())
    return similarity.mean(1)
