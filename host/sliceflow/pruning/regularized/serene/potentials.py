"""Post-synaptic potentials: what enters the neurons' activations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels.layers import BATCH_NORMS, LAYERS
from sliceflow.pruning.training.task import first_tensor, hooked


class Potentials:
    """The potentials of a forward pass.

    A layer's potential is its output; if a batch normalization reads that output, the normalization's, because this is
    what enters the activation.

    Attributes:
        of: the potential of each layer, in the order in which the layers ran, ``[N, neurons]`` or
            ``[N, filters, ...]``, part of the pass's graph.
    """

    def __init__(self, tell: Callable[[str, Tensor], None] | None = None) -> None:
        self.of: dict[str, Tensor] = {}
        self._passed_on: dict[str, Tensor] = {}
        self._tell = tell

    def layer(self, name: str, output: Tensor) -> Tensor:
        """A layer has run."""
        if name in self.of:
            raise UserError(
                "a layer runs more than once in a forward pass",
                where=name,
                why="its neurons have several potentials",
                fix="give each use a layer of its own",
            )
        return self._keep(name, output)

    def norm(self, read: Tensor, output: Tensor) -> Tensor:
        """A batch normalization has run."""
        for name, passed_on in self._passed_on.items():
            if passed_on is read:
                return self._keep(name, output)
        return output

    def _keep(self, name: str, potential: Tensor) -> Tensor:
        self.of[name] = potential
        self._passed_on[name] = potential.clone()  # an activation in place must not overwrite the potential
        if self._tell is not None:
            self._tell(name, self._passed_on[name])
        return self._passed_on[name]


@contextlib.contextmanager
def capture(
    model: nn.Module,
    change: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None,
    tell: Callable[[str, Tensor], None] | None = None,
) -> Iterator[Potentials]:
    """Take down the potentials of the forward pass within a block.

    Args:
        model: the network.
        change: what to pass on instead of a layer's or a batch normalization's output, from the module, its input and
            its output.
        tell: hears of each potential's layer, and of the tensor with which the network goes on; where a batch
            normalization follows, once more.
    """
    found = Potentials(tell)

    def hook(name: str, is_layer: bool) -> Callable[..., Tensor]:
        def run(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Tensor) -> Tensor:
            read = first_tensor(inputs, named)
            changed = output if change is None else change(module, read, output)
            return found.layer(name, changed) if is_layer else found.norm(read, changed)

        return run

    hooks = (
        module.register_forward_hook(hook(name, isinstance(module, LAYERS)), with_kwargs=True)
        for name, module in model.named_modules()
        if isinstance(module, (*LAYERS, *BATCH_NORMS))
    )
    with hooked(hooks):
        yield found
