"""A network that has not learnt anything yet, of the same shape as another one."""

from __future__ import annotations

import copy

import torch
from torch import nn

from sliceflow.errors import UserError


def fresh_copy(model: nn.Module, seed: int) -> nn.Module:
    """A copy whose layers are initialized anew, each in its type's own way.

    Args:
        model: the network; it stays as it is.
        seed: of the new weights.

    Raises:
        UserError: a module has parameters and no ``reset_parameters``.
    """
    fresh = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, module in fresh.named_modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
            elif next(module.parameters(recurse=False), None) is not None:
                raise UserError(
                    "the network cannot be initialized anew",
                    where=name or type(module).__name__,
                    why=f"{type(module).__name__} has parameters and no `reset_parameters`",
                    fix="give the module that function, or leave the control from scratch out: scratch = []",
                )
    return fresh
