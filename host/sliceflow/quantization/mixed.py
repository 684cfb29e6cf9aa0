"""Tensors that mix ranges: what is small in them gets only a few steps of a scale that is made for what is large."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.quantization.access import operand
from sliceflow.quantization.dataset import CalibrationData
from sliceflow.quantization.placement import Placement
from sliceflow.quantization.sessions import observer, open_model, run

FEW_STEPS = 8.0
"""A part whose values span fewer steps than that is named: it is left with three bits at most."""
_NAMED = 8


def concat_notes(
    placement: Placement, ranges: Mapping[ir.Value, tuple[float, float]], scales: Mapping[ir.Value, float]
) -> list[str]:
    """Sentences on inputs of a Concat that span few steps of the scale that they share with the others.

    Args:
        placement: where the quantization points are.
        ranges: least and greatest value of each observed tensor by itself.
        scales: the scale of each group, by its leader.
    """
    notes = []
    for concat in dict.fromkeys(node for value in placement.points for node in [value.producer()] if _joins(node)):
        if concat is None or concat not in placement.nodes:
            continue
        step = scales[placement.groups.leader(concat.outputs[0])]
        parts = []
        for index, _ in enumerate(concat.inputs):
            low, high = _range(operand(concat, index), ranges)
            if 0 < (steps := (high - low) / step) < FEW_STEPS:
                parts.append(f"{operand(concat, index).name} ({low:.3g} to {high:.3g}: {steps:.2g} steps)")
        if parts:
            low, high = _range(concat.outputs[0], ranges)
            notes.append(
                f"{concat.op_type} {concat.name!r} joins tensors of very different ranges at one scale: of "
                f"{concat.outputs[0].name} ({low:.3g} to {high:.3g}, a step is {step:.3g}) there is little left in "
                f"{_some(parts)}. {_cure([str(concat.name), *_readers(concat.outputs[0], placement)])}"
            )
    return notes


def channel_notes(
    model: ir.Model,
    tensors: Mapping[str, Sequence[str]],
    scales: Mapping[str, float],
    data: CalibrationData,
    threads: int,
) -> list[str]:
    """Sentences on channels that span few steps of their tensor's scale.

    Args:
        model: float model; it is not changed.
        tensors: tensors to look at, each with the node that loses by it and, if there is one, the node that makes it.
        scales: their scales.
        data: samples.
        threads: of ONNX Runtime.
    """
    extremes = _channel_ranges(model, list(tensors), data, threads)
    notes = []
    for name, (lows, highs) in extremes.items():
        span = highs - lows
        few = np.flatnonzero((span > 0) & (span < FEW_STEPS * scales[name]))
        if few.size and span.max() >= FEW_STEPS * scales[name]:
            parts = [f"{index} ({span[index] / scales[name]:.2g} steps)" for index in few]
            notes.append(
                f"{name} has channels of very different ranges at one scale ({lows.min():.3g} to {highs.max():.3g}, a "
                f"step is {scales[name]:.3g}), and {tensors[name][0]} loses by it: little is left in channels "
                f"{_some(parts)}. {_cure(tensors[name])}"
            )
    return notes


def _joins(node: ir.Node | None) -> bool:
    return node is not None and node.op_type == "Concat"


def _range(value: ir.Value, ranges: Mapping[ir.Value, tuple[float, float]]) -> tuple[float, float]:
    """What a tensor itself was seen to hold: its own range, or that of what was moved into it."""
    if value in ranges:
        return ranges[value]
    node = value.producer()
    if node is None:
        return 0.0, 0.0
    sources = list(node.inputs) if _joins(node) else list(node.inputs[:1])
    found = [_range(source, ranges) for source in sources if source is not None]
    return min(low for low, _ in found), max(high for _, high in found)


def _channel_ranges(
    model: ir.Model, names: Sequence[str], data: CalibrationData, threads: int
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    found: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    fixed = data.together
    with tempfile.TemporaryDirectory(prefix="sliceflow-") as folder:
        session = open_model(observer(model, names), Path(folder), threads)
        for start in range(0, data.count, fixed or 1):
            feed = data.batch(start, min(start + (fixed or 1), data.count), fill=fixed)
            for name in names:
                (value,) = run(session, [name], feed)
                if value.ndim < 2:
                    continue
                others = tuple(axis for axis in range(value.ndim) if axis != 1)
                low, high = value.min(axis=others, initial=0), value.max(axis=others, initial=0)
                before = found.get(name, (low, high))
                found[name] = np.minimum(before[0], low), np.maximum(before[1], high)
    return found


def _some(parts: Sequence[str]) -> str:
    more = len(parts) - _NAMED
    return ", ".join(parts[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _readers(value: ir.Value, placement: Placement) -> list[str]:
    """Names of the quantized layers that read a tensor, moved or not: they want it quantized as well."""
    names: list[str] = []
    for node, _ in value.uses():
        if node in placement.layers:
            names.append(str(node.name))
        elif node in placement.nodes and placement.groups.leader(node.outputs[0]) is placement.groups.leader(value):
            names += _readers(node.outputs[0], placement)
    return list(dict.fromkeys(names))


def _cure(nodes: Sequence[str]) -> str:
    return (
        f"To try: {' '.join(f'--exclude {node}' for node in nodes)} (runs on the CPU in float), --activations int16 "
        "(profiles of 16-bit activations), outputs of their own for the parts, or factors in the model that bring them "
        "to one range."
    )
