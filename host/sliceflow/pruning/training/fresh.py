"""Copies of networks, as they are or with new weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError


def copied(model: nn.Module, shared: dict[int, Any] | None = None) -> nn.Module:
    """A deep copy.

    Args:
        model: the network. Tensors that its modules keep of the last pass, such as normalized weights, are cut off from
            that pass: torch cannot copy them otherwise.
        shared: what the copy takes over as it is, by ``id``.
    """
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                vars(module)[name] = value.detach()
    return copy.deepcopy(model, shared)


def fresh_copy(model: nn.Module, seed: int) -> nn.Module:
    """A copy whose layers are initialized anew, each in its type's own way.

    Args:
        model: the network; it stays as it is.
        seed: of the new weights.

    Raises:
        UserError: a module has parameters and no ``reset_parameters``.
    """
    fresh = copied(model)
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
