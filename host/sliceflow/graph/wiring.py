"""Checks that descriptors and the tensors around them tell the same story.

A descriptor that passes ``sliceflow.graph.validate`` stays inside the activation memory, but could still read words
that nothing has written, and its result would depend on what was there before.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import AddMode, Descriptor
from sliceflow.graph.plain import refuse
from sliceflow.graph.program import FpgaStep, Layer, Program, TransformStep

Extent = tuple[int, int]
"""First word, and the word behind the last."""


def check_wiring(program: Program) -> None:
    """Walk through the steps and follow what is written and read.

    The descriptors must have passed ``validate_program``, and the steps their own checks.

    Raises:
        UserError: a layer does not read and write exactly tensors of its own, computes only a part, or reads words that
            nothing has written.
    """
    written = _Words()
    layers = program.fpga_layers
    for step in program.steps:
        if isinstance(step, TransformStep):
            tensor = program.tensors[step.tensor]
            extent = (tensor.base, tensor.base + tensor.words)
            if step.direction == "to_device":
                written.add(extent)
            else:
                written.require(extent, f"tensor {step.tensor!a}")
        elif isinstance(step, FpgaStep):
            for index in range(step.first, step.first + step.count):
                _check_layer(program, program.descriptors[index], layers[index], written)


def _check_layer(program: Program, descriptor: Descriptor, layer: Layer, written: _Words) -> None:
    where = f"layer {layer.name!a}"
    _check_whole(program, descriptor, where)
    reads = [("input", (descriptor.in_base, descriptor.in_base + geometry.input_words(descriptor)))]
    if descriptor.add_mode != AddMode.OFF:
        reads.append(("addend", (descriptor.add_base, descriptor.add_base + geometry.addend_words(descriptor))))
    for kind, extent in reads:
        _check_tensor(program, kind, extent, layer.inputs, where)
        written.require(extent, f"the {kind} of {where}")
    extent = (descriptor.out_base, descriptor.out_base + geometry.output_words(descriptor))
    _check_tensor(program, "output", extent, layer.outputs, where)
    written.add(extent)


def _check_whole(program: Program, descriptor: Descriptor, where: str) -> None:
    """Ranges are for those who share a layer at run time; an artifact holds whole layers."""
    outs = geometry.output_groups(descriptor, program.profile)
    counts = (descriptor.group_count, descriptor.strip_count, descriptor.out_count)
    if counts != (descriptor.groups, descriptor.strips, outs):
        refuse(f"the descriptor computes {counts} of {(descriptor.groups, descriptor.strips, outs)} parts", where)


def _check_tensor(program: Program, kind: str, extent: Extent, names: Iterable[str], where: str) -> None:
    tensors = [program.tensors[name] for name in names]
    if all((tensor.base, tensor.base + tensor.words) != extent for tensor in tensors):
        shown = ", ".join(f"{tensor.base}..{tensor.base + tensor.words}" for tensor in tensors)
        refuse(f"the {kind} at words {extent[0]}..{extent[1]} is none of its tensors ({shown})", where)


class _Words:
    """A set of words, as sorted intervals that do not touch."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._last: list[int] = []

    def add(self, extent: Extent) -> None:
        """Take words in."""
        low = bisect.bisect_left(self._last, extent[0])
        high = bisect.bisect_right(self._first, extent[1])
        first = min([extent[0], *self._first[low:high]])
        last = max([extent[1], *self._last[low:high]])
        self._first[low:high], self._last[low:high] = [first], [last]

    def require(self, extent: Extent, what: str) -> None:
        """Refuse the program unless it has all of the words."""
        place = bisect.bisect_right(self._first, extent[0]) - 1
        if place < 0 or self._last[place] < extent[1]:
            refuse(f"words {extent[0]}..{extent[1]} are read, and nothing has written them", what)
