"""The largest threshold under which weights may be zero before the validation loss is too high."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from sliceflow.errors import UserError

_FINEST = 1e-10


@dataclasses.dataclass(frozen=True)
class Threshold:
    """What was found.

    Attributes:
        value: weights of at most this magnitude go; 0 if none may.
        zeros: weights that are zero then, those before included.
        pruned: those of them that were not zero before.
        loss: with these weights gone; None if none goes.
        trials: networks that were judged.
    """

    value: float
    zeros: int
    pruned: int
    loss: float | None
    trials: int


def find_threshold(
    weights: Mapping[str, Tensor], loss: Callable[[], float], bound: float, *, at_most: float = 1.0
) -> Threshold:
    """Bisect the threshold, from half of the largest magnitude on.

    Source: A. Bragagnolo, 2023, section 4.2.2 (LOBSTER), and the thresholding of algorithm 2 (SeReNe), with one
    threshold for all layers. Every trial starts from the weights as they are, and the last threshold that kept to the
    bound counts. The loss need not rise with the threshold; then this is a threshold that keeps to the bound, below one
    that does not. The search ends when no threshold between the two makes other weights zero.

    Args:
        weights: what may become zero; left as it is.
        loss: judges the network that has these weights, in evaluation mode.
        bound: the highest loss that is accepted.
        at_most: share of these weights that may be zero, 0 to 1, those before included.

    Returns:
        The threshold; ``prune`` applies it.

    Raises:
        UserError: there is no weight to prune.
    """
    return _Search(weights, loss, bound, at_most).run()


def below(weight: Tensor, value: float) -> Tensor:
    """Where a weight is of at most this magnitude, bool."""
    return weight.detach().abs().double() <= value  # in float32 the threshold would be rounded


class _Search:
    def __init__(self, weights: Mapping[str, Tensor], loss: Callable[[], float], bound: float, at_most: float) -> None:
        if not weights:
            raise UserError("there is no weight to prune", fix="protect fewer layers")
        self._weights, self._loss, self._bound = weights, loss, bound
        flat = torch.cat([weight.detach().abs().flatten() for weight in weights.values()]).double()
        self._magnitudes = flat.sort().values
        self._most = int(at_most * len(flat) + 1e-9)
        self._low, self._trials = 0.0, 0
        self._low_loss: float | None = None

    def run(self) -> Threshold:
        high = self._ceiling()
        capped = self._zeros(high) < len(self._magnitudes)
        if capped and self._differs(high) and self._keeps_to_the_bound(high):
            return self._found()
        while high - self._low > _FINEST and self._undecided(high):
            value = (self._low + high) / 2
            if not self._differs(value):
                self._low = value
            elif self._zeros(value) == self._zeros(high) or not self._keeps_to_the_bound(value):
                high = value
        return self._found()

    def _ceiling(self) -> float:
        """The largest magnitude with which no more than allowed go; 0 if the least goes with too many."""
        within = self._magnitudes[: self._most]
        if self._most < len(self._magnitudes):
            within = within[within < self._magnitudes[self._most]]  # equals go together or not at all
        return float(within[-1]) if len(within) else 0.0

    def _zeros(self, value: float) -> int:
        return int(torch.searchsorted(self._magnitudes, value, right=True))

    def _differs(self, value: float) -> bool:
        return self._zeros(value) > self._zeros(self._low)

    def _undecided(self, high: float) -> bool:
        """Whether a threshold below a high one makes other weights zero than the low and the high one do."""
        zeros = self._zeros(self._low)
        return zeros < self._zeros(high) and self._zeros(float(self._magnitudes[zeros])) < self._zeros(high)

    def _keeps_to_the_bound(self, value: float) -> bool:
        self._trials += 1
        with _without(self._weights, value):
            found = self._loss()
        if found <= self._bound:
            self._low, self._low_loss = value, found
            return True
        return False

    def _found(self) -> Threshold:
        zeros, before = self._zeros(self._low), self._zeros(0.0)
        return Threshold(self._low if zeros > before else 0.0, zeros, zeros - before, self._low_loss, self._trials)


@contextmanager
def _without(weights: Mapping[str, Tensor], value: float) -> Iterator[None]:
    """Weights below a threshold are zero within a block."""
    with torch.no_grad():
        kept = {name: weight.detach().clone() for name, weight in weights.items()}
        try:
            for weight in weights.values():
                weight.masked_fill_(below(weight, value), 0)
            yield
        finally:
            for name, weight in weights.items():
                weight.copy_(kept[name])
