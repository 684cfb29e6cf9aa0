"""Cutting channels out of layers of a live network: parameters, statistics, sizes, and what training remembers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.layers import LAYERS, NORMS, TRANSPOSED, by_group, has_own_weight, is_depthwise, sides
from sliceflow.pruning.training.masks import Masks


def nonzero(layer: nn.Module) -> Tensor:
    """Where an output reads an input of its group: bool ``[groups, outputs, inputs]``, any element is not zero."""
    grouped = by_group(layer, layer.weight.detach() != 0)
    return grouped.flatten(3).any(3) if grouped.ndim > 3 else grouped


def can_be_cut(layer: nn.Module) -> bool:
    """Whether channels can be taken out of a layer: it has no other parameters, and no other use for its channels."""
    if isinstance(layer, nn.PReLU):
        return True
    if not isinstance(layer, (*LAYERS, *NORMS)) or (isinstance(layer, LAYERS) and not has_own_weight(layer)):
        return False
    known = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    named = (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False))
    return all(name in known for name, _ in named)


class Surgery:
    """Cuts into one network, which can be taken back.

    Args:
        model: the network.
        optimizer: gets the new parameters; its state is cut as they are.
        masks: the same.

    Raises:
        UserError: the optimizer's state has no element for each element of a parameter.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer | None, masks: Masks | None) -> None:
        self._names = {parameter: name for name, parameter in model.named_parameters()}
        self._optimizer, self._masks = optimizer, masks
        self._undo: list[Callable[[], Any]] = []
        for parameter, state in (optimizer.state if optimizer is not None else {}).items():
            for key, value in state.items():
                if isinstance(value, Tensor) and value.numel() > 1 and value.shape != parameter.shape:
                    raise UserError(
                        f"the optimizer's {key!r} cannot be cut with its parameter",
                        where=self._names.get(parameter, "a parameter"),
                        why=f"its shape is {list(value.shape)}, that of the parameter {list(parameter.shape)}",
                        fix="make a new optimizer after shrinking",
                    )

    @property
    def done(self) -> int:
        """How much was done; for ``undo``."""
        return len(self._undo)

    def undo(self, done: int = 0) -> None:
        """Take back all that was done since ``done`` was this much."""
        while len(self._undo) > done:
            self._undo.pop()()

    def cut(self, layer: nn.Module, inputs: Tensor | None, outputs: Tensor | None) -> None:
        """Cut channels out of a layer.

        Args:
            layer: one that ``can_be_cut``.
            inputs: bool, True for inputs that stay; None keeps all. Only for layers that mix channels.
            outputs: the same for outputs.
        """
        if not isinstance(layer, LAYERS):
            self._cut_vectors(layer, outputs)
            return
        in_count, out_count = sides(layer)
        inputs = torch.ones(in_count, dtype=torch.bool) if inputs is None else inputs
        outputs = torch.ones(out_count, dtype=torch.bool) if outputs is None else outputs
        if is_depthwise(layer):
            inputs = outputs
        groups = getattr(layer, "groups", 1)
        rows, columns = outputs.reshape(groups, -1), inputs.reshape(groups, -1)
        stay = rows.any(1).nonzero().flatten().tolist()

        def take(values: Tensor) -> Tensor:
            grouped = by_group(layer, values)
            parts = [grouped[group][rows[group]][:, columns[group]] for group in stay]
            if isinstance(layer, TRANSPOSED):
                parts = [part.transpose(0, 1) for part in parts]
            return torch.cat(parts)

        self._replace(layer, "weight", take)
        if layer.bias is not None:
            self._replace(layer, "bias", lambda values: values[outputs])
        names = ("in_features", "out_features") if isinstance(layer, nn.Linear) else ("in_channels", "out_channels")
        self._set(layer, names[0], int(inputs.sum()))
        self._set(layer, names[1], int(outputs.sum()))
        if groups > 1:
            self._set(layer, "groups", len(stay))

    def add_to_bias(self, layer: nn.Module, amount: Tensor) -> None:
        """Add to the bias of a layer."""
        self._replace(layer, "bias", lambda values: values + amount, every_element=False)

    def _cut_vectors(self, layer: nn.Module, outputs: Tensor | None) -> None:
        if outputs is None or (isinstance(layer, nn.PReLU) and layer.num_parameters == 1):
            return
        for name in ("weight", "bias", "running_mean", "running_var"):
            values = getattr(layer, name, None)
            if isinstance(values, nn.Parameter):
                self._replace(layer, name, lambda old: old[outputs])
            elif isinstance(values, Tensor):
                self._set(layer, name, values[outputs])
        self._set(layer, "num_parameters" if isinstance(layer, nn.PReLU) else "num_features", int(outputs.sum()))

    def _set(self, owner: Any, name: str, value: Any) -> None:
        self._undo.append(functools.partial(setattr, owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def _replace(
        self, layer: nn.Module, name: str, change: Callable[[Tensor], Tensor], *, every_element: bool = True
    ) -> None:
        """Give a layer a changed parameter, and with ``every_element`` change all that training keeps for it alike.

        A new object, because graphs of passes that are over may hold the old one together with its shape.
        """
        old = getattr(layer, name)
        new = nn.Parameter(change(old.detach()).contiguous(), requires_grad=old.requires_grad)
        if not every_element:
            new.grad = old.grad
        elif old.grad is not None:
            new.grad = change(old.grad).contiguous()
        full_name = self._names[old]
        self._names[new] = full_name
        self._set(layer, name, new)
        if self._optimizer is not None:
            self._hand_over(self._optimizer, old, new, change if every_element else lambda value: value)
        if self._masks is not None:
            live = self._masks[full_name]
            self._undo.append(functools.partial(self._masks.replace, full_name, old, live))
            self._masks.replace(full_name, new, change(live).contiguous() if every_element else live)

    def _hand_over(
        self, optimizer: torch.optim.Optimizer, old: nn.Parameter, new: nn.Parameter, change: Callable[[Tensor], Tensor]
    ) -> None:
        for group in optimizer.param_groups:
            params = group["params"]
            for index, parameter in enumerate(params):
                if parameter is old:
                    self._undo.append(functools.partial(params.__setitem__, index, old))
                    params[index] = new
        if old in optimizer.state:
            state = optimizer.state.pop(old)
            self._undo.append(functools.partial(optimizer.state.__setitem__, old, state))
            self._undo.append(functools.partial(optimizer.state.pop, new))
            optimizer.state[new] = {key: _changed(value, old, change) for key, value in state.items()}


def _changed(value: Any, like: Tensor, change: Callable[[Tensor], Tensor]) -> Any:
    has_elements = isinstance(value, Tensor) and value.ndim > 0 and value.shape == like.shape
    return change(value).contiguous() if has_elements else value
