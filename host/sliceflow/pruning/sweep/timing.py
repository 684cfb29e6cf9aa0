"""How long networks take for a batch, and from which sparsity on sparse matrices pay."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.training.task import evaluating


def forward_seconds(
    models: Mapping[str, nn.Module],
    inputs: Tensor,
    *,
    rounds: int = 15,
    warm_up: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median time of a forward pass of each network. In each round every network runs once, so all meet the same load.

    Args:
        models: by name; whatever they must be converted to, they are already.
        inputs: one batch.
        rounds: that count.
        warm_up: rounds before those, which do not count.
        clock: seconds; ``time.thread_time`` leaves out what else the machine does, if torch has one thread.

    Returns:
        Seconds by name.

    Raises:
        UserError: no round counts.
    """
    if rounds < 1 or warm_up < 0:
        raise UserError("there must be at least one round that counts", where="timing")
    times: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(warm_up + rounds):
        for name, model in models.items():
            with evaluating(model), torch.inference_mode():
                begin = clock()
                model(inputs)
                taken = clock() - begin
            if turn >= warm_up:
                times[name].append(taken)
    return {name: statistics.median(found) for name, found in times.items()}


def break_even(shares: Sequence[float], seconds: Sequence[float], dense: float) -> float | None:
    """The smallest share from which on all measured ones are faster than dense; None if the last is not.

    Args:
        shares: pruned, ascending.
        seconds: of the sparse network at each share.
        dense: seconds of the dense network.
    """
    found = None
    for share, taken in zip(reversed(shares), reversed(seconds), strict=True):
        if taken >= dense:
            break
        found = share
    return found
