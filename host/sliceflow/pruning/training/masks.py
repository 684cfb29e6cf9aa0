"""Weights that are zero and stay zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sliceflow.pruning.training.callback import Batch, Callback


class Masks(Callback):
    """For each parameter, which elements live. Pruned ones are zero, and stay zero through momentum and weight decay.

    As a callback of training it zeroes them again behind every step.

    Args:
        model: the network whose parameters are masked.
        live: for each parameter's name True where an element lives, in the parameter's shape; others live whole.
    """

    def __init__(self, model: nn.Module, live: Mapping[str, Tensor] | None = None) -> None:
        self._parameters = dict(model.named_parameters())
        self._live: dict[str, Tensor] = {}
        for name, mask in (live or {}).items():
            self.prune(name, ~mask)

    def __getitem__(self, name: str) -> Tensor:
        """Where a parameter lives, bool, in its shape."""
        found = self._live.get(name)
        return torch.ones_like(self._parameters[name], dtype=torch.bool) if found is None else found

    def items(self) -> list[tuple[str, Tensor]]:
        """Masks of the parameters that have lost something."""
        return list(self._live.items())

    def prune(self, name: str, gone: Tensor) -> None:
        """Prune elements of a parameter, besides those that are gone already. ``gone``: bool, in its shape."""
        live = self[name]
        self._live[name] = live & ~gone.to(live.device)
        self.apply()

    def revive(self, name: str, back: Tensor) -> None:
        """Let elements of a parameter live again, at the values that they have. ``back``: bool, in its shape."""
        if name in self._live:
            self._live[name] = self._live[name] | back

    def replace(self, name: str, parameter: nn.Parameter, live: Tensor) -> None:
        """Take another object for a parameter, and its mask: bool, in its shape."""
        self._parameters[name] = parameter
        if name in self._live or not live.all():
            self._live[name] = live

    def prune_zeros(self) -> None:
        """Prune every element that is zero now ("pinning")."""
        for name, parameter in self._parameters.items():
            gone = parameter.detach() == 0
            if (gone & self[name]).any():
                self._live[name] = self[name] & ~gone

    def apply(self) -> None:
        """Set what is pruned to zero."""
        with torch.no_grad():
            for name, mask in self._live.items():
                self._parameters[name].masked_fill_(~mask, 0)  # also what is not a number

    @property
    def pruned(self) -> int:
        """Elements that are pruned."""
        return sum(int((~mask).sum()) for mask in self._live.values())

    def on_start(self, model: nn.Module, epochs: int) -> None:
        """See ``apply``."""
        self.apply()

    def on_step(self, batch: Batch) -> None:
        """See ``apply``."""
        self.apply()

    def state_dict(self) -> dict[str, Any]:
        """The masks."""
        return dict(self._live)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the masks of a checkpoint."""
        self._live = dict(state)
        self.apply()
