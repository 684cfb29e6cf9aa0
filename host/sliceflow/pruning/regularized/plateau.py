"""Train with a regularizer until the validation loss stays, prune what the loss allows, and again."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.layers import LAYERS, own_weights
from sliceflow.pruning.definitions import compression_ratio, nonzero_parameters, parameters, sparsity
from sliceflow.pruning.method import Outcome, Request
from sliceflow.pruning.regularized.decay import Decay
from sliceflow.pruning.regularized.remaining import remaining
from sliceflow.pruning.regularized.thresholding import Threshold, below, find_threshold
from sliceflow.pruning.training.fit import History
from sliceflow.pruning.training.masks import Masks
from sliceflow.pruning.training.resplit import resplit
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Quality, Task, evaluate, evaluating, hooked

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlateauMethod:
    """Rounds of training with decaying weights and of thresholding. By itself with plain weight decay: "L2 + pruning".

    Source: A. Bragagnolo, PhD thesis, University of Turin, 2023, section 4.2.2, algorithms 2 and 3. In each round the
    network is trained until the validation loss has not fallen for ``Training.patience`` epochs (PWE) and its best
    weights are restored; then all weights below the largest threshold that the loss allows become zero, and stay zero.
    It ends when nothing more can be pruned, when the requested ratio is reached, or when a limit below is met; the
    network is always one that was trained since it was last pruned.

    Attributes:
        strength: of the decay: share of a weight that goes in a step (lambda). The learning rate does not scale it.
        tolerance: how much higher the validation loss may be behind thresholding, relative to the best (TWT):
            1.45 allows 2.45 times the loss.
        initial: a round's initial weights are a candidate for its best. Algorithm 3 wants that, LOBSTER's does not.
        rounds: the most rounds of thresholding.
        budget: the most epochs in all rounds together.
        drop: end when the best network of a round has a validation metric more than this below that of the network
            before pruning, and return to the best network of the round before: algorithm 2 returns that network with
            what was pruned since, whose metric nobody has seen. None sees to the loss only.
        resplit: divide the examples for training and validation anew in each round.
        biases: biases of convolutions and fully connected layers too decay and are pruned. The thesis' equations speak
            of weights only, so the default leaves them alone; so are batch normalizations, always.
        output_layer: the layer that makes the outputs takes part, as in the thesis' tables.
    """

    strength: float = 1e-4
    tolerance: float = 0.05
    initial: bool = True
    rounds: int = 100
    budget: int | None = None
    drop: float | None = None
    resplit: bool = False
    biases: bool = False
    output_layer: bool = True

    structured: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.strength < 1 or self.tolerance < 0 or self.rounds < 0:
            raise UserError(
                "strength must be 0 or more and less than 1, tolerance and rounds must not be negative",
                where="options of the method",
                why=f"strength {self.strength}, tolerance {self.tolerance}, rounds {self.rounds}",
            )

    def regularizer(self, model: nn.Module, weights: Mapping[str, Tensor]) -> Decay:
        """What makes weights decay in training: a new callback for a round."""
        return Decay(weights, self.strength)

    def prune(self, model: nn.Module, task: Task, request: Request, run: Run) -> Outcome:
        """See ``Method``. ``Request.ratio`` is the most that is pruned, of the weights that may be."""
        return _Loop(self, model, task, request, run).run()


class _Loop:
    """One run of the method."""

    def __init__(self, method: PlateauMethod, model: nn.Module, task: Task, request: Request, run: Run) -> None:
        self._method, self._model, self._task, self._request, self._run = method, model, task, request, run
        self._weights = prunable(
            model, task.example(), request.protect, biases=method.biases, output_layer=method.output_layer
        )
        self._total = sum(weight.numel() for weight in self._weights.values())
        self._masks = Masks(model)
        self._pin(0.0)
        self._epochs = 0
        self._log: list[dict[str, Any]] = []

    def run(self) -> Outcome:
        options = {"method": type(self._method).__name__, **dataclasses.asdict(self._method)}
        self._run.once("options", {**options, "ratio": self._request.ratio}, dict)
        start = evaluate(self._model, self._task.validation, self._task)
        floor = -math.inf if self._method.drop is None else start.metric - self._method.drop
        accepted = self._state()
        for number in range(self._method.rounds + 1):
            task = resplit(self._task, self._request.seed + number) if self._method.resplit else self._task
            history = self._train(number, task)
            quality = history.best.validation
            if quality.metric < floor:
                self._restore(*accepted)
                log.info("round %d: metric %.4f is below %.4f; back to the round before", number, quality.metric, floor)
                if not self._log:
                    self._record(number, start, len(history.epochs) - 1)
                break
            accepted = self._state()
            self._record(number, quality, len(history.epochs) - 1)
            if number == self._method.rounds or self._spent() or not self._prune(task, quality).pruned:
                break
        return Outcome(self._masks, self._log)

    def _train(self, number: int, task: Task) -> History:
        training = self._request.training
        limit = training.epochs if self._method.budget is None else self._method.budget - self._epochs
        training = dataclasses.replace(
            training,
            epochs=min(training.epochs, limit),
            keep="best",
            initial=self._method.initial,
            seed=training.seed * 1009 + number,
        )
        decay = self._method.regularizer(self._model, self._weights)
        history = self._run.fit(f"round-{number}", self._model, task, training, [decay, self._masks])
        self._epochs += len(history.epochs) - 1
        return history

    def _spent(self) -> bool:
        return self._method.budget is not None and self._epochs >= self._method.budget

    def _prune(self, task: Task, best: Quality) -> Threshold:
        found = find_threshold(
            self._weights,
            lambda: evaluate(self._model, task.validation, task).loss,
            (1 + self._method.tolerance) * best.loss,
            at_most=self._request.ratio,
        )
        self._pin(found.value)
        self._log[-1] |= {"threshold": found.value, "trials": found.trials, "pruned": found.pruned}
        log.info("threshold %.3g after %d trials: %d weights more", found.value, found.trials, found.pruned)
        return found

    def _pin(self, threshold: float) -> None:
        """What is at most this large becomes zero for good (5.20)."""
        for name, weight in self._weights.items():
            gone = below(weight, threshold)
            if gone.any():
                self._masks.prune(name, gone)

    def _state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return copy.deepcopy(self._model.state_dict()), dict(self._masks.items())

    def _restore(self, weights: dict[str, Any], live: dict[str, Tensor]) -> None:
        self._model.load_state_dict(weights)
        self._masks.load_state_dict(live)

    def _record(self, number: int, quality: Quality, epochs: int) -> None:
        zeros = sum(int((weight == 0).sum()) for weight in self._weights.values())
        left = parameters(self._model), nonzero_parameters(self._model)
        self._log.append(
            {
                "round": number,
                "epochs": epochs,
                "loss": quality.loss,
                "metric": quality.metric,
                "sparsity": sparsity(zeros, self._total),
                "compression": compression_ratio(*left),
                "layers": [dataclasses.asdict(layer) for layer in remaining(self._model)],
            }
        )
        log.info("round %d: loss %.4f, %.2f times smaller", number, quality.loss, self._log[-1]["compression"])


def prunable(
    model: nn.Module, example: Tensor, protect: tuple[str, ...] = (), *, biases: bool = False, output_layer: bool = True
) -> dict[str, Tensor]:
    """Weights that may be pruned one by one: those of convolutions and fully connected layers.

    Args:
        model: the network.
        example: inputs, ``[N, ...]``, with N of 1 or more.
        protect: layers that keep all their weights.
        biases: biases of these layers too.
        output_layer: the layer that runs last too.

    Raises:
        UserError: a protected layer does not exist, or there is nothing to prune.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LAYERS)}
    if unknown := set(protect) - set(dict(model.named_modules())):
        raise UserError(f"the network has no layer {min(unknown)!r}", where="protected layers")
    kept = set(protect) | (set() if output_layer else {_last_layer(model, layers, example)})
    names = {parameter: name for name, parameter in model.named_parameters()}
    found: dict[str, Tensor] = {}
    for name, (module, weight) in own_weights(model, kept).items():
        found[name] = weight
        if biases and isinstance(module.bias, nn.Parameter):
            found[names[module.bias]] = module.bias
    if not found:
        raise UserError("the network has no weight that may be pruned", fix="protect fewer layers")
    return found


def _last_layer(model: nn.Module, layers: Mapping[str, nn.Module], example: Tensor) -> str:
    ran: list[str] = []
    hooks = (module.register_forward_hook(lambda *_, name=name: ran.append(name)) for name, module in layers.items())
    with hooked(hooks), evaluating(model), torch.no_grad():
        model(example)
    return ran[-1] if ran else ""
