"""Measures how far a quantized model is from its float model (see :mod:`sliceflow.quantization.quality`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.quantization.comparison import MOST, Comparison, PointError, comparable
from sliceflow.quantization.dataset import CalibrationData
from sliceflow.quantization.mixed import channel_notes
from sliceflow.quantization.quality import LEAST_LAYER_DB, InputRange, LayerQuality, OutputQuality, PartQuality, Quality
from sliceflow.quantization.quantizer import QuantizationResult
from sliceflow.sqnr import sqnr_db

ENOUGH = 64
"""Samples from which on some are held back: as many as calibration needs at the least."""
_HELD_SHARE = 8  # one in eight
_FEWEST = 2
_LOOKED_AT = 4  # samples whose channels are looked at
_PARTS = 4096
"""An axis of more parts than this is not looked at part by part."""


def hold_back(data: CalibrationData) -> tuple[CalibrationData, CalibrationData | None]:
    """Samples for calibration, and others to judge it by: one in eight, if there are 64 or more; else none."""
    if data.count < ENOUGH:
        return data, None
    return data.hold_back(min(data.count // _HELD_SHARE, MOST))


def measure_quality(
    model: ir.Model, result: QuantizationResult, data: CalibrationData, *, held_back: bool, threads: int = 0
) -> Quality:
    """Run a float model and what quantization made of it on a few samples.

    Args:
        model: the float model; it is not changed.
        result: what :func:`~sliceflow.quantization.quantize` returned for it.
        data: samples; 2 to 64 of them are used, fewer the larger the model's activations are.
        held_back: whether they are others than calibration saw.
        threads: of ONNX Runtime; 0 lets it choose.

    Raises:
        UserError: ONNX Runtime cannot run one of the models.
    """
    data = data.of(model)
    inputs = [InputRange(name=name, low=low, high=high) for name, low, high in data.spread(MOST).ranges()]
    data, batch = comparable(model, data, fewest=_FEWEST)
    comparison = Comparison(model)
    comparison.add_whole(result.model)
    comparison.add_isolated(result.model, result.pairs)
    outputs = [_Output(name) for name in comparison.outputs]

    def receive(_: int, exact: list[NDArray[Any]], found: list[NDArray[Any]]) -> None:
        for output, one, other in zip(outputs, exact, found, strict=True):
            output.add(one, other)

    points = comparison.run(data, batch=batch, threads=threads, receive=receive)
    layers = {point.tensor: _layer(point) for point in points if point.op and not point.moves}
    makers = {point.tensor: point.node for point in points}
    blamed = {
        name: tuple(dict.fromkeys(node for node in (layers[point.tensor].name, makers[name]) if node))
        for point in points
        if point.tensor in layers and layers[point.tensor].db < LEAST_LAYER_DB
        for name in point.reads
    }
    scales = {tensor.name: tensor.scale for tensor in result.report.tensors}
    notes = channel_notes(model, blamed, scales, data.spread(_LOOKED_AT), threads) if blamed else []
    return Quality(
        samples=data.count,
        held_back=held_back,
        inputs=tuple(inputs),
        outputs=tuple(output.quality() for output in outputs),
        layers=tuple(layers.values()),
        notes=tuple(notes),
    )


def _layer(point: PointError) -> LayerQuality:
    noise = point.arriving + point.rounding
    return LayerQuality(name=point.node, op=point.op, tensor=point.tensor, sqnr_db=sqnr_db(point.signal, noise))


class _Output:
    """Sums over the samples of one output."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._values = self._equal = self._not_finite = self._lost = 0
        self._integer = self._other_shape = False
        self._signal = self._noise = 0.0
        self._parts: dict[int, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], int]] = {}

    def add(self, exact: NDArray[Any], found: NDArray[Any]) -> None:
        if exact.shape != found.shape:
            self._other_shape = True
            return
        self._values += exact.size
        if exact.dtype.kind != "f":
            self._integer = True
            self._equal += int((exact == found).sum())
            return
        finite = np.isfinite(exact)
        self._not_finite += exact.size - int(finite.sum())
        lost = finite & ~np.isfinite(found)
        self._lost += int(lost.sum())
        usable = finite & ~lost
        signal = np.where(usable, exact, 0).astype(np.float64)
        noise = np.square(np.where(usable, found, 0).astype(np.float64) - signal)
        magnitude, signal = np.abs(signal), np.square(signal)
        self._signal += float(signal.sum())
        self._noise += float(noise.sum())
        for axis in {1, exact.ndim - 1}:
            if 0 < axis < exact.ndim and 1 < exact.shape[axis] <= _PARTS:
                self._add_parts(axis, signal, noise, magnitude)

    def _add_parts(
        self, axis: int, signal: NDArray[np.float64], noise: NDArray[np.float64], magnitude: NDArray[np.float64]
    ) -> None:
        others = tuple(index for index in range(signal.ndim) if index != axis)
        size = signal.shape[axis]
        before = self._parts.get(axis, (np.zeros(size), np.zeros(size), np.zeros(size), 0))
        if before[0].size != size:
            self._other_shape = True
            return
        self._parts[axis] = (
            before[0] + signal.sum(axis=others),
            before[1] + noise.sum(axis=others),
            np.maximum(before[2], magnitude.max(axis=others, initial=0)),
            before[3] + signal.size // size,
        )

    def quality(self) -> OutputQuality:
        if self._integer:
            share = self._equal / self._values if self._values else 1.0
            return OutputQuality(
                name=self._name, sqnr_db=None, agreement=share, note=f"integers: {100 * share:.1f} % are the same"
            )
        return OutputQuality(
            name=self._name,
            sqnr_db=sqnr_db(self._signal, self._noise),
            worst=self._worst(),
            note=self._note(),
            lost=self._bad(),
        )

    def _note(self) -> str:
        notes = []
        if self._other_shape:
            notes.append("its shape depends on the values; where it differs it is not compared")
        if self._not_finite:
            notes.append(f"{self._not_finite} values are not finite in the float model and left out")
        if self._signal == 0 and self._values > self._not_finite:
            notes.append("all zero in the float model")
        elif self._noise == 0 and self._values > self._not_finite:
            notes.append("nothing was lost")
        return "; ".join(notes)

    def _bad(self) -> str:
        if self._lost:
            return f"{self._lost} values are not finite in the quantized model only"
        if self._signal == 0 and self._noise > 0:
            return "it is all zero in the float model, and not in the quantized one"
        return ""

    def _worst(self) -> PartQuality | None:
        """The worst part along the axis whose parts differ more in power; the last axis if both do alike."""
        spreads = {axis: _spread(parts[0]) for axis, parts in self._parts.items()}
        if not spreads:
            return None
        axis = max(spreads, key=lambda key: (spreads[key], key))
        signal, noise, largest, values = self._parts[axis]
        ratio = np.divide(noise, signal, out=np.zeros_like(noise), where=signal > 0)
        index = int(ratio.argmax())
        return PartQuality(
            axis=axis,
            index=index,
            sqnr_db=sqnr_db(float(signal[index]), float(noise[index])),
            largest=float(largest[index]),
            values=values,
        )


def _spread(power: NDArray[np.float64]) -> float:
    """How much parts differ in power: the deviation of its logarithm, over the parts that are not zero."""
    return float(np.log(power[power > 0]).std()) if (power > 0).any() else 0.0
