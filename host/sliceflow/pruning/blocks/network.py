"""A network whose residual blocks can be taken out and put back."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning import definitions
from sliceflow.pruning.blocks.residual import Residual, split
from sliceflow.pruning.channels.layers import LAYERS
from sliceflow.pruning.channels.macs import macs
from sliceflow.pruning.channels.observe import largest_difference, outputs
from sliceflow.pruning.training.task import hooked

TOLERANCE = 1e-4
"""Largest difference of an output that is accepted, as a share of the largest element: sums in another order."""


class BlockNetwork:
    """Finds the residual blocks of a network, in any network where they are modules; see ``residual.split``.

    Each block found is replaced, in place, by a ``Residual`` of the same layers. Weights are shared, the network's
    outputs are the same.

    Args:
        model: the network; it is changed.
        example: inputs ``[N, ...]``.
        kind: name of the class of the blocks; None takes blocks of all classes.
        protect: blocks with these layers are left as they are.

    Attributes:
        model: the network.
        stages: for each block, also removed ones, its stage: blocks with outputs of one shape are in one.

    Raises:
        UserError: no block is found, a block runs more than once, or the network changes its outputs.
    """

    def __init__(
        self, model: nn.Module, example: Tensor, kind: str | None = None, protect: Collection[str] = ()
    ) -> None:
        self.model, self._example = model, example[:1]
        before = outputs(model, example)
        found = find_residuals(model, kind, protect)
        if not found:
            of_kind = f" of class {kind}" if kind else ""
            raise UserError(
                f"the network has no residual block{of_kind}",
                where=type(model).__name__,
                why="no module inside it returns a sum of a branch and a shortcut of its only input",
                fix="write each block as a module whose forward ends with such a sum, and an activation",
            )
        for name, block in found.items():
            model.set_submodule(name, block)
        order: list[tuple[str, tuple[int, ...]]] = []
        hooks = (
            block.register_forward_hook(lambda _, __, out, name=name: order.append((name, tuple(out.shape[1:]))))
            for name, block in found.items()
        )
        with hooked(hooks):
            after = outputs(model, example)
        if sorted(name for name, _ in order) != sorted(found):
            raise UserError("a residual block does not run exactly once", where=type(model).__name__)
        if largest_difference(before, after) > TOLERANCE:
            raise UserError("the residual blocks cannot be told apart", where=type(model).__name__)
        self._blocks = {name: found[name] for name, _ in order}
        shapes = list(dict.fromkeys(shape for _, shape in order))
        self.stages = {name: shapes.index(shape) for name, shape in order}
        self._removed: set[str] = set()

    @property
    def blocks(self) -> dict[str, Residual]:
        """The blocks that are left, by name, in the order in which they run."""
        return {name: block for name, block in self._blocks.items() if name not in self._removed}

    def remove(self, name: str) -> None:
        """Take a block's branch out of the network, with its parameters."""
        self.model.set_submodule(name, self._block(name).bare())
        self._removed.add(name)

    def restore(self, name: str) -> None:
        """Put a removed block back, with the weights that it had."""
        self.model.set_submodule(name, self._blocks[name])
        self._removed.discard(name)

    @contextlib.contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Remove a block for a while."""
        self.remove(name)
        try:
            yield
        finally:
            self.restore(name)

    @property
    def parameters(self) -> int:
        """All parameters that are left."""
        return definitions.parameters(self.model)

    @property
    def macs(self) -> int:
        """Multiply-accumulates that are left, for one example."""
        return macs(self.model, self._example)

    def _block(self, name: str) -> Residual:
        if name not in self.blocks:
            raise UserError(f"there is no block {name!r}", fix=f"those left are {', '.join(self.blocks) or 'none'}")
        return self._blocks[name]


def find_residuals(model: nn.Module, kind: str | None = None, protect: Collection[str] = ()) -> dict[str, Residual]:
    """The innermost blocks by name, last first; see ``BlockNetwork``. The network is not changed."""
    found: dict[str, Residual] = {}
    for name, module in reversed(list(model.named_modules())):  # what is inside comes first
        if not name or any(inner.startswith(f"{name}.") for inner in (*found, *protect)):
            continue
        if (kind is None or type(module).__name__ == kind) and _has_layers(module):
            block = split(module)
            if block is not None:
                block.training = module.training
                found[name] = block
    return found


def _has_layers(module: Any) -> bool:
    return any(isinstance(inner, LAYERS) for inner in module.modules() if inner is not module)
