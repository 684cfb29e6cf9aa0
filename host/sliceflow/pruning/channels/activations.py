"""Which activation function reads a potential; modules and functions alike.

The forward pass runs in a mode that sees every call of a torch function.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def names(text: str) -> frozenset[str]:
    """Names that blanks separate."""
    return frozenset(text.split())


RISING = names(
    "relu relu6 hardtanh sigmoid expit hardsigmoid tanh softplus elu selu celu softsign logsigmoid "
    "log_sigmoid erf exp expm1 atan arctan sinh asinh threshold clamp clip clamp_min clamp_max"
)
"""Functions of single elements that never fall."""
ELEMENTWISE = RISING | names(
    "leaky_relu rrelu prelu gelu silu mish hardswish hardshrink softshrink tanhshrink sin cos abs "
    "absolute neg negative square erfc"
)
"""Functions of single elements."""
MOVES = names(
    "flatten unflatten reshape view permute transpose swapaxes movedim moveaxis squeeze unsqueeze "
    "contiguous clone dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout cat "
    "concat stack channel_shuffle pixel_shuffle pixel_unshuffle"
)
"""What leaves each element as it is, in evaluation mode; in another place, perhaps."""
SUMS = names("add iadd radd")
MAXIMA = names("max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax")
MEANS = names("avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d mean sum")
_LAYERS = names("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear bilinear matmul")
"""What reads neurons' outputs: a potential that comes here has no activation function."""


def name_of(function: Callable[..., Any]) -> str:
    """The plain name of a torch function: the same for methods, operators and what works in place."""
    return str(getattr(function, "__name__", "")).strip("_")


def tensors(found: Any) -> Iterator[Tensor]:
    """All tensors in arguments or results."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, Mapping):
        yield from tensors(list(found.values()))
    elif isinstance(found, (list, tuple)):
        for item in found:
            yield from tensors(item)


def rises(name: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> bool:
    """Whether a function of single elements never falls, as it is called."""
    if name == "leaky_relu":
        return bool(named.get("negative_slope", arguments[1] if len(arguments) > 1 else 0.01) >= 0)
    if name == "prelu":
        return bool((arguments[1] if len(arguments) > 1 else named["weight"]).min() >= 0)
    return name in RISING


@dataclasses.dataclass(frozen=True)
class _Carrier:
    """A tensor in which potentials lie.

    Attributes:
        tensor: it.
        values: for each potential what an activation function would read, in the potential's shape.
        moved: the tensor has another order of elements, or others besides.
        largest: maxima were taken.
        mixed: means were taken.
    """

    tensor: Tensor
    values: Mapping[str, Tensor]
    moved: bool = False
    largest: bool = False
    mixed: bool = False


Take = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]
"""What is taken down, from an activation function and the values that it reads, in the values' shape."""


def output(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """The output of an activation function."""
    return function(values.clone())  # it may work in place


def slope(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """The absolute derivative of an activation function."""
    with torch.enable_grad():
        leaf = values.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(leaf.clone()).sum(), leaf)
    return gradient.abs()


class Activations(TorchFunctionMode):
    """Finds each potential's activation function while the network runs, and takes something down of it.

    A neuron's activation function is the one that reads its potential, or the sum that a residual connection makes of
    it. Maxima over positions may come first if the function never falls: they could as well come behind it. A potential
    that goes into the next layer as it is has none.

    Args:
        take: ``output`` or ``slope``.
    """

    def __init__(self, take: Take) -> None:
        super().__init__()
        self._take = take
        self._carriers: dict[int, _Carrier] = {}
        self._ends: dict[str, list[Tensor | str]] = defaultdict(list)

    def potential(self, name: str, passed_on: Tensor) -> None:
        """A potential is there: what the network goes on with."""
        self._ends.pop(name, None)
        self._carriers[id(passed_on)] = _Carrier(passed_on, {name: passed_on.detach().clone()})

    def found(self, name: str) -> tuple[Tensor | None, str]:
        """What was taken down of a potential's activation function; None if it has none, or if it is not known.

        Returns:
            That, and why it is not known: empty if it is.
        """
        ends = self._ends.get(name, [])
        taken = [end for end in ends if isinstance(end, Tensor)]
        if len(ends) == 1 and taken:
            return taken[0], ""
        reasons = [end for end in ends if isinstance(end, str) and end]
        return None, next(iter(reasons), "several functions read what it makes" if taken else "")

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: Sequence[Any] = (), named: Any = None
    ) -> Any:
        """See ``TorchFunctionMode``."""
        named = named or {}
        name = name_of(function)
        read = [self._carriers[id(t)] for t in tensors((arguments, named)) if id(t) in self._carriers]
        found = self._activation(function, name, read, arguments, named) if read else None
        result = function(*arguments, **named)
        made = list(tensors(result))
        if read and (made or name == "setitem"):
            self._follow(name, read, found, made)
        return result

    def _activation(
        self, function: Any, name: str, read: list[_Carrier], arguments: Sequence[Any], named: Mapping[str, Any]
    ) -> dict[str, Tensor] | None:
        """What is taken of an activation function; before it runs, as it may overwrite what it reads."""
        carrier = read[0]
        unknown = carrier.mixed or (carrier.largest and not rises(name, arguments, named))
        if name not in ELEMENTWISE or len(read) > 1 or unknown or (carrier.moved and name == "prelu"):
            return None

        def apply(values: Tensor) -> Tensor:
            swapped = [values if item is carrier.tensor else item for item in arguments]
            named_too = {key: values if item is carrier.tensor else item for key, item in named.items()}
            made: Tensor = function(*swapped, **named_too)
            return made

        return {potential: self._take(apply, values) for potential, values in carrier.values.items()}

    def _follow(self, name: str, read: list[_Carrier], found: Mapping[str, Tensor] | None, made: list[Tensor]) -> None:
        """Take down where potentials are now, or what has become of them."""
        values = {key: value for carrier in read for key, value in carrier.values.items()}
        moved, largest, mixed = (any(getattr(c, flag) for c in read) for flag in ("moved", "largest", "mixed"))
        result = made[0] if made else None
        if result is not None:
            self._carriers.pop(id(result), None)  # overwritten, if it was one of those
        if found is not None:
            for key, taken in found.items():
                self._ends[key].append(taken)
        elif name in MOVES and result is not None and _keeps(name, read, result):
            self._carriers[id(result)] = _Carrier(result, values, True, largest, mixed)
        elif name in MAXIMA and result is not None:
            self._carriers[id(result)] = _Carrier(result, values, True, True, mixed)
        elif name in MEANS and result is not None:
            self._carriers[id(result)] = _Carrier(result, values, True, largest, True)
        elif name in SUMS and result is not None and not moved and all(c.tensor.shape == result.shape for c in read):
            whole = result.detach().clone()
            self._carriers[id(result)] = _Carrier(result, dict.fromkeys(values, whole))
        else:
            for key in values:
                self._ends[key].append("" if name in _LAYERS else f"{name!r} reads what it makes")


def _keeps(name: str, read: list[_Carrier], result: Tensor) -> bool:
    """Whether dropout is off, as it is in evaluation mode if the network's code asks for the mode."""
    return "dropout" not in name or torch.equal(read[0].tensor, result)
