"""Residual blocks in one form: a branch beside a shortcut."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from sliceflow.pruning.channels.layers import LAYERS

_ADD_FUNCTIONS = {operator.add, operator.iadd, torch.add}
_ADD_METHODS = {"add", "add_"}


class Residual(nn.Module):
    """``after(shortcut(x) + gate * branch(x))``.

    Args:
        branch: what the block adds.
        shortcut: what it adds to; ``nn.Identity`` in plain blocks.
        after: the activation of the sum, without parameters.

    Attributes:
        gate: number or scalar tensor; 1 leaves the block as it was.
        held: the branch stays in evaluation mode, so that its statistics do not move.
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut, self.after = branch, shortcut, after
        self.gate: float | Tensor = 1.0
        self.held = False

    def forward(self, maps: Tensor) -> Tensor:
        """The block's output."""
        added = self.branch(maps)
        if not (isinstance(self.gate, float) and self.gate == 1):
            added = self.gate * added
        result: Tensor = self.after(self.shortcut(maps) + added)
        return result

    def train(self, mode: bool = True) -> Residual:
        """Training or evaluation mode; a held branch keeps the latter."""
        super().train(mode)
        if self.held:
            self.branch.eval()
        return self

    @property
    def plain(self) -> bool:
        """Nothing is computed in the shortcut."""
        return isinstance(self.shortcut, nn.Identity)

    def bare(self) -> nn.Module:
        """What is left without the branch: the input in plain blocks, else the shortcut and the activation.

        The activation matters behind a shortcut that is a convolution: the next block must not meet negative values.
        """
        return nn.Identity() if self.plain else nn.Sequential(self.shortcut, self.after)


def split(block: nn.Module) -> Residual | None:
    """A block in this form, if it has it. Modules inside are the block's own, not copies.

    The block's forward is traced. It must have one input, and end with a sum and at most layers without parameters. The
    two terms of the sum must have nothing in common but the input. The term with fewer layers is the shortcut.

    Args:
        block: any module.

    Returns:
        None if the module is no such block, or cannot be traced.
    """
    try:
        graph = fx.Tracer().trace(block)
    except Exception:  # the tracer runs the user's code, and anything may happen there
        return None
    nodes = list(graph.nodes)
    inputs = [node for node in nodes if node.op == "placeholder"]
    if len(inputs) != 1 or any("training" in node.kwargs for node in nodes):  # the mode would be fixed by tracing
        return None
    found = _sum(nodes[-1].args[0], block)
    if found is None:
        return None
    total, behind = found
    terms = [(term, _ancestors(term) - {inputs[0]}) for term in total.args]
    if terms[0][1] & terms[1][1]:
        return None
    terms.sort(key=lambda item: _layers(item[1], block))
    (shortcut, light), (branch, heavy) = terms
    if not _layers(heavy, block) or _layers(light, block) == _layers(heavy, block):
        return None
    return Residual(
        _part(block, nodes, inputs[0], heavy, branch),
        nn.Identity() if _is_identity(light, block) else _part(block, nodes, inputs[0], light, shortcut),
        nn.Identity() if not behind else _part(block, nodes, total, set(behind), behind[0]),
    )


def _sum(node: Any, block: nn.Module) -> tuple[fx.Node, list[fx.Node]] | None:
    """The last sum before a node, and the nodes from there to it, last first."""
    behind: list[fx.Node] = []
    while isinstance(node, fx.Node):
        added = node.op == "call_function" and node.target in _ADD_FUNCTIONS
        added = added or (node.op == "call_method" and node.target in _ADD_METHODS)
        if added and not node.kwargs and len(node.args) == 2 and all(isinstance(arg, fx.Node) for arg in node.args):
            return node, behind
        light = node.op in ("call_function", "call_method") or (
            node.op == "call_module" and next(block.get_submodule(str(node.target)).parameters(), None) is None
        )
        if not light or len(node.all_input_nodes) != 1:
            return None
        behind.append(node)
        node = node.all_input_nodes[0]
    return None


def _ancestors(node: fx.Node) -> set[fx.Node]:
    """A node and all that it depends on."""
    found: set[fx.Node] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(node.all_input_nodes)
    return found


def _layers(nodes: set[fx.Node], block: nn.Module) -> int:
    return sum(node.op == "call_module" and isinstance(block.get_submodule(str(node.target)), LAYERS) for node in nodes)


def _is_identity(nodes: set[fx.Node], block: nn.Module) -> bool:
    return all(n.op == "call_module" and isinstance(block.get_submodule(str(n.target)), nn.Identity) for n in nodes)


def _part(block: nn.Module, nodes: list[fx.Node], start: fx.Node, inside: set[fx.Node], end: fx.Node) -> fx.GraphModule:
    """The nodes between two as a module, in their order."""
    graph = fx.Graph()
    copies = {start: graph.placeholder("maps")}
    for node in nodes:
        if node in inside:
            copies[node] = graph.node_copy(node, lambda old: copies[old])
    graph.output(copies[end])
    return fx.GraphModule(block, graph)
