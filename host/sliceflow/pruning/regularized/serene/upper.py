"""Networks whose layers have the absolute values of their Jacobians, for the upper bound of the sensitivity."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sliceflow.errors import UserError
from sliceflow.pruning.channels.activations import MAXIMA, MEANS, MOVES, SUMS, name_of, names, rises, tensors
from sliceflow.pruning.channels.layers import BATCH_NORMS, LAYERS, has_own_weight
from sliceflow.pruning.training.task import hooked

_HARMLESS = (
    MOVES
    | SUMS
    | MAXIMA
    | MEANS
    | names(
        "pad getitem split chunk unbind narrow select index_select gather expand expand_as repeat "
        "repeat_interleave flip roll max maximum minimum min amin unfold tile broadcast_to detach get set "
        "requires_grad"
    )
)
"""Functions without a negative derivative: the absolute value of their Jacobian is the Jacobian."""
_SCALINGS = names("mul imul rmul multiply div idiv truediv itruediv")
_UPSAMPLING = names("interpolate upsample")


@contextlib.contextmanager
def absolute_jacobians(model: nn.Module) -> Iterator[Callable[[nn.Module, Tensor, Tensor], Tensor]]:
    """What makes a forward pass whose values are the network's, and whose derivatives are those of absolute Jacobians.

    Convolutions, fully connected layers and batch normalizations pass derivatives on through absolute weights. All
    else, modules and functions, must not fall: pools, sums, concatenations and the usual rising activations.

    Args:
        model: the network, in evaluation mode.

    Yields:
        A ``change`` for ``capture``, which must be used within the block.

    Raises:
        UserError: the network does something that may have a negative derivative, or a layer computes its weight.
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, (*LAYERS, *BATCH_NORMS))}
    for name, module in layers.items():
        if isinstance(module, LAYERS) and not has_own_weight(module):
            raise _undefined(f"layer {name}", "it computes its weight")
    twins = {module: _absolute(module) for module in layers.values()}
    mode = _NothingFalls()

    def change(module: nn.Module, read: Tensor, output: Tensor) -> Tensor:
        with mode.off():
            straight = twins[module](read)
            return output.detach() + (straight - straight.detach())

    def enter(*_: Any) -> None:
        mode.depth += 1

    def leave(*_: Any) -> None:
        mode.depth -= 1

    before = (module.register_forward_pre_hook(enter) for module in twins)
    after = (module.register_forward_hook(leave) for module in twins)
    with hooked(before), hooked(after), mode:
        yield change


class _NothingFalls(TorchFunctionMode):
    """Refuses functions that may have a negative derivative, outside of layers and norms.

    Attributes:
        depth: above 0 within what is not looked at.
    """

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """Nothing is looked at within this block."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: Sequence[Any] = (), named: Any = None
    ) -> Any:
        """See ``TorchFunctionMode``."""
        named = named or {}
        looked_at = self.depth == 0 and any(t.requires_grad for t in tensors((arguments, named)))
        known = not looked_at or _rises(name_of(function), arguments, named)
        result = function(*arguments, **named)
        if not known and any(t.requires_grad for t in tensors(result)):
            raise _undefined(f"the function {name_of(function)!r}", "it is not known to rise everywhere")
        return result


def _rises(name: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> bool:
    if name in _SCALINGS:
        factors = [item for item in arguments if not isinstance(item, Tensor) or not item.requires_grad]
        return len(factors) == 1 and bool(torch.as_tensor(factors[0]).ge(0).all())
    if name in ("sub", "isub", "subtract"):
        return len(arguments) > 1 and not (isinstance(arguments[1], Tensor) and arguments[1].requires_grad)
    if name in _UPSAMPLING:
        return bool(named.get("mode", arguments[3] if len(arguments) > 3 else "nearest") != "bicubic")
    return name in _HARMLESS or rises(name, arguments, named)


def _undefined(what: str, why: str) -> UserError:
    return UserError(
        "the upper bound of the sensitivity is not defined for this network",
        where=what,
        why=why,
        fix="choose the exact sensitivity or its lower bound",
    )


def _absolute(module: nn.Module) -> nn.Module:
    twin = copy.deepcopy(module)
    if twin.weight is not None:
        twin.weight.data.abs_()
    return twin
