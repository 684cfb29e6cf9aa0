"""What an exporter puts behind a layer: scale, round, clamp."""

from __future__ import annotations

import dataclasses
import math

import onnx_ir as ir

from sliceflow.passes.sign import clamp_of
from sliceflow.passes.view import constant, input_at, is_op, only_consumer

ROUNDINGS = ("Floor", "Round")


@dataclasses.dataclass(frozen=True)
class Chain:
    """``y = clamp(round(x * factor), low, high)``.

    Attributes:
        end: y.
        nodes: what computes it from x, in order.
        factor: a power of two.
        rounding: ``"Floor"``, ``"Round"`` (ties to even), or "" if the file does not round.
        low, high: bounds of y.
    """

    end: ir.Value
    nodes: tuple[ir.Node, ...]
    factor: float
    rounding: str
    low: float
    high: float

    @property
    def is_closed(self) -> bool:
        """Whether both bounds are integers: what comes out is an integer of few bits."""
        return (
            math.isfinite(self.low)
            and math.isfinite(self.high)
            and self.low == int(self.low)
            and (self.high == int(self.high))
        )


def chain_after(value: ir.Value) -> Chain:
    """The longest chain that alone reads a value; it may be empty."""
    found = Chain(value, (), 1.0, "", -math.inf, math.inf)
    while (node := only_consumer(found.end)) is not None:
        longer = _extended(found, node)
        if longer is None:
            break
        found = longer
    return found


def _extended(chain: Chain, node: ir.Node) -> Chain | None:
    nodes, end = (*chain.nodes, node), node.outputs[0]
    bounds = clamp_of(node)
    if bounds is not None and node.inputs[0] is chain.end:
        low, high = (min(max(each, bounds[0]), bounds[1]) for each in (chain.low, chain.high))
        return dataclasses.replace(chain, end=end, nodes=nodes, low=low, high=high)
    if is_op(node, *ROUNDINGS):
        if not chain.rounding:
            round_ = math.floor if node.op_type == "Floor" else round
            low, high = (round_(each) if math.isfinite(each) else each for each in (chain.low, chain.high))
            return Chain(end, nodes, chain.factor, node.op_type, low, high)
        return dataclasses.replace(chain, end=end, nodes=nodes) if chain.is_closed else None  # it changes nothing
    factor = _factor(node, chain.end)
    if factor is None or (chain.rounding and factor != 1):
        return None
    return dataclasses.replace(
        chain,
        end=end,
        nodes=nodes,
        factor=chain.factor * factor,
        low=chain.low * factor,
        high=chain.high * factor,
    )


def _factor(node: ir.Node, value: ir.Value) -> float | None:
    """The power of two by which a Mul or Div multiplies ``value``, None for other nodes."""
    if not is_op(node, "Mul", "Div") or len(node.inputs) != 2:
        return None
    other = node.inputs[1] if node.inputs[0] is value else node.inputs[0] if node.op_type == "Mul" else None
    array = constant(other)
    if array is None or array.size != 1 or input_at(node, 0) is input_at(node, 1):
        return None
    number = float(array.reshape(-1)[0])
    if not math.isfinite(number) or number <= 0 or math.frexp(number)[0] != 0.5:
        return None
    return number if node.op_type == "Mul" else 1 / number
