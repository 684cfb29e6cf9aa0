"""Post-training quantization of a float model to integers."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.frontend.forms import quantized_ops, refuse_dynamic
from sliceflow.passes.sign import never_negative
from sliceflow.quantization.access import layer_constants, operand
from sliceflow.quantization.auto import CANDIDATES, choose
from sliceflow.quantization.calibration import Progress, collect
from sliceflow.quantization.dataset import CalibrationData
from sliceflow.quantization.histogram import Histogram
from sliceflow.quantization.mixed import concat_notes
from sliceflow.quantization.options import QuantizationOptions
from sliceflow.quantization.placement import Placement, place
from sliceflow.quantization.ranges import find_range
from sliceflow.quantization.report import LayerQuantization, QuantizationReport, TensorQuantization
from sliceflow.quantization.rewrite import Pair, Rewriter
from sliceflow.quantization.scales import Affine, affine
from sliceflow.quantization.weights import QuantizedWeights, quantize_weights, snr_db

_LOG = logging.getLogger(__name__)
_LEAST_OPSET = 13
Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class QuantizationResult:
    """A quantized model and what was decided.

    Attributes:
        model: standard ONNX with QuantizeLinear and DequantizeLinear nodes; inputs and outputs as before.
        report: the decisions.
        pairs: where tensors are quantized in ``model``.
    """

    model: ir.Model
    report: QuantizationReport
    pairs: tuple[Pair, ...]


def quantize(
    model: ir.Model,
    calibration: CalibrationData,
    options: QuantizationOptions | None = None,
    *,
    cpu_nodes: Collection[str] = (),
    progress: Progress | None = None,
) -> QuantizationResult:
    """Quantize a float model after training.

    Args:
        model: normalized float model (see ``sliceflow.frontend``), with known types and shapes, opset 13 or newer. It
            is not changed.
        calibration: samples that resemble what the model will see.
        options: method and scheme; the defaults if None.
        cpu_nodes: names of nodes that will not run on the accelerator, and stay float like excluded ones.
        progress: called with (samples done, samples in all) during calibration.

    Raises:
        UserError: the model is quantized already, is too old, holds weights that are not finite or too
            large, or lacks a node to exclude; or the calibration data does not fit it.
    """
    options = options or QuantizationOptions()
    check_float(model, options)
    calibration = calibration.of(model)
    work = model.clone()
    kept = dataclasses.replace(options, exclude=options.exclude | frozenset(cpu_nodes))
    placement = place(work.graph, kept.exclude)
    float_nodes = tuple(str(node.name) for node in work.graph if node not in placement.nodes)
    histograms = collect(work, [str(value.name) for value in placement.observed], calibration, options, progress)
    method, ranges = _choose_ranges(model, placement, histograms, calibration, kept)
    parameters = {leader: affine(*found, options.activations) for leader, found in ranges.items()}
    tensors = tuple(_tensor(value, placement, ranges, parameters, method) for value in placement.points)
    own = {
        value: find_range(histograms[str(value.name)], dataclasses.replace(options, method=method))
        for value in placement.observed
    }
    mixed = concat_notes(placement, own, {leader: found.scale for leader, found in parameters.items()})
    layers, pairs = _rewrite(work.graph, placement, parameters, options.weights)
    notes = (*_notes(ranges, layers), *mixed)
    for note in notes:
        _LOG.warning("%s", note)
    report = QuantizationReport(
        options=options,
        method=method,
        samples=calibration.count,
        tensors=tensors,
        layers=layers,
        float_nodes=float_nodes,
        notes=notes,
    )
    return QuantizationResult(work, report, pairs)


def _rewrite(
    graph: ir.Graph, placement: Placement, parameters: dict[ir.Value, Affine], weight_type: str
) -> tuple[tuple[LayerQuantization, ...], tuple[Pair, ...]]:
    """Put integers and quantization points into the graph; returns what became of the weights, and the points."""
    rewriter = Rewriter(graph, placement, parameters)
    layers = []
    for layer, end in placement.layers.items():
        source = parameters[placement.groups.leader(operand(layer, 0))]
        low, high = source.reach
        y_scale = parameters[placement.groups.leader(end)].scale
        axis, weights, bias = layer_constants(layer)
        quantized = quantize_weights(
            weights,
            bias,
            source.scale,
            y_scale,
            dtype=weight_type,
            reach=(0 if never_negative(operand(layer, 0)) else low, high),
            where=f"{layer.op_type} {layer.name!r}",
        )
        layers.append(_layer(layer, weights, quantized))
        rewriter.add_weights(layer, quantized, source.scale, axis)
    pairs = rewriter.add_points()
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]
    return tuple(layers), pairs


def _notes(ranges: dict[ir.Value, Range], layers: tuple[LayerQuantization, ...]) -> tuple[str, ...]:
    silent = [
        f"{leader.name} was zero in all calibration samples; its scale is a guess"
        for leader, (low, high) in ranges.items()
        if low == high
    ]
    raised = [
        f"{layer.name}: the scale of channels {list(layer.raised_channels)} was raised: bias and sum must fit 32 bits"
        for layer in layers
        if layer.raised_channels
    ]
    return (*silent, *raised)


def check_float(model: ir.Model, options: QuantizationOptions) -> None:
    """Refuse a model that cannot be quantized, or lacks a node to exclude.

    Raises:
        UserError: see ``quantize``.
    """
    refuse_dynamic(model.graph)
    found = quantized_ops(model.graph.all_nodes())
    if found:
        raise UserError(
            "the model is quantized already",
            where=f"model {model.graph.name!r}",
            why=f"it contains {', '.join(found)}",
            fix="compile it as it is",
        )
    opset = model.opset_imports.get("", 0)
    if opset < _LEAST_OPSET:
        raise UserError(
            f"quantization needs opset {_LEAST_OPSET} or newer, not {opset}",
            where=f"model {model.graph.name!r}",
            why="older versions have no scale for each channel",
            fix="load the model with sliceflow.frontend.load_model, which converts it",
        )
    unknown = sorted(options.exclude - {str(node.name) for node in model.graph})
    if unknown:
        raise UserError(
            "nodes to exclude do not exist",
            where=f"model {model.graph.name!r}",
            why=f"there is no node {', '.join(map(repr, unknown))}",
            fix="give the names of nodes, as `sliceflow check` prints them",
        )


def _choose_ranges(
    model: ir.Model,
    placement: Placement,
    histograms: dict[str, Histogram],
    data: CalibrationData,
    options: QuantizationOptions,
) -> tuple[str, dict[ir.Value, Range]]:
    """The method, and with it the range of each group of tensors that share a scale, by its leader."""
    methods = CANDIDATES if options.method == "auto" else (options.method,)
    tried = [_group_ranges(placement, histograms, dataclasses.replace(options, method=method)) for method in methods]
    if len(tried) == 1:
        return methods[0], tried[0]
    scales = [
        {str(leader.name): affine(*found, options.activations) for leader, found in ranges.items()} for ranges in tried
    ]
    best = choose(model, data, options, scales)
    return methods[best], tried[best]


def _group_ranges(
    placement: Placement, histograms: dict[str, Histogram], options: QuantizationOptions
) -> dict[ir.Value, Range]:
    """The union of the ranges of all tensors that share a scale, for each leader."""
    leader = placement.groups.leader
    ranges: dict[ir.Value, Range] = {leader(value): (0.0, 0.0) for value in placement.points}

    def widen(group: ir.Value, low: float, high: float) -> None:
        ranges[group] = (min(ranges[group][0], low), max(ranges[group][1], high))

    for value in placement.observed:
        widen(leader(value), *find_range(histograms[str(value.name)], options))
    for concat, index in placement.requantized:  # in execution order, so a source is complete before its reader
        widen(leader(concat.outputs[0]), *ranges[leader(operand(concat, index))])
    return ranges


def _tensor(
    value: ir.Value,
    placement: Placement,
    ranges: dict[ir.Value, Range],
    parameters: dict[ir.Value, Affine],
    method: str,
) -> TensorQuantization:
    leader = placement.groups.leader(value)
    low, high = ranges[leader]
    return TensorQuantization(
        name=str(value.name),
        **dataclasses.asdict(parameters[leader]),
        low=low,
        high=high,
        method=method,
        shares=str(leader.name),
    )


def _layer(layer: ir.Node, weights: NDArray[np.float32], quantized: QuantizedWeights) -> LayerQuantization:
    return LayerQuantization(
        name=str(layer.name),
        op=layer.op_type,
        channels=weights.shape[0],
        zero_channels=int((~weights.any(axis=tuple(range(1, weights.ndim)))).sum()),
        scale_min=float(quantized.scale.min()),
        scale_max=float(quantized.scale.max()),
        snr_db=snr_db(weights, quantized),
        raised_channels=quantized.raised,
        accumulator_bits=quantized.accumulator_bits,
    )
