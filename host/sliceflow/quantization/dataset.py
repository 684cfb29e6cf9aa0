"""Calibration data: samples for each input of a model, read when they are needed."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.frontend import closed, find_batch, value_of
from sliceflow.graph.images import Lineup, lineup
from sliceflow.graph.program import Value
from sliceflow.passes.view import dims
from sliceflow.quantization import images
from sliceflow.quantization.arrays import load_arrays

Array = NDArray[Any]


class CalibrationData:
    """Samples of all inputs of one model.

    Args:
        arrays: for each input name an array of shape (samples, ...), or of the shape of the input where that is the
            same for all samples (``sliceflow.graph.images``).
        where: the source, for error messages.
        limit: use only the first so many samples.

    Attributes:
        count: number of samples. Before ``of``, the entries of the longest array.
        together: samples that a run of the model must have, None if any number; known behind ``of``.

    Raises:
        UserError: no input, or an empty array.
    """

    def __init__(
        self,
        arrays: Mapping[str, Array | images.ImageFolder],
        *,
        where: str = "calibration data",
        limit: int | None = None,
    ) -> None:
        if not arrays or any(0 in array.shape for array in arrays.values()):
            raise UserError(
                "every input needs at least one sample",
                where=where,
                why=", ".join(f"{name!r} has shape {list(array.shape)}" for name, array in arrays.items())
                or "there are no arrays",
                fix="give one array of shape (samples, ...) for each input",
            )
        self._arrays = dict(arrays)
        self._where = where
        self._limit = limit
        self._lineups = {name: Lineup(array.shape[0] if array.shape else None) for name, array in arrays.items()}
        self._pick_first(max(lineup.count or 1 for lineup in self._lineups.values()))
        self._known = False
        self.together: int | None = None

    def of(self, model: ir.Model) -> CalibrationData:
        """The same samples, after what the model's inputs are: one for each sample, or the same for all.

        Samples that know it already are returned as they are.

        Args:
            model: normalized float model.

        Raises:
            UserError: names, shapes or types differ from the model's inputs, inputs have different numbers of samples,
                or the model has an open first axis that counts no samples.
        """
        self.check(model.graph.inputs)
        if self._known:
            return self
        batch = find_batch(closed(model, {name: array.shape for name, array in self._arrays.items()}))
        bound = copy.copy(self)
        bound._known = True
        inputs = [value_of(value, batch.inputs, batch.single) for value in model.graph.inputs]
        bound._lineups = {value.name: self._lineup(value) for value in inputs}
        counts = {name: found.count for name, found in bound._lineups.items() if found.count is not None}
        if len(set(counts.values())) > 1:
            raise UserError(
                "every input needs the same number of samples, at least one",
                where=self._where,
                why=", ".join(f"{name!r} has {count}" for name, count in counts.items()),
                fix="give one array of shape (samples, ...) for each input, or one of its own shape for all samples",
            )
        bound._pick_first(next(iter(counts.values()), 1))
        bound.together = batch.size if batch.inputs else 1
        if any(name not in batch.inputs for name in counts):  # whole inputs differ, so that each needs a run of its own
            bound.together = 1
        if batch.size is not None and bound.together != batch.size:
            raise UserError(
                f"the model takes {batch.size} samples at once, and inputs that are the same for all of them",
                where=self._where,
                why="the data has other values of such an input for each sample",
                fix="export the model with batch 1",
            )
        return bound

    def _pick_first(self, count: int) -> None:
        self._picked: Sequence[int] = range(count if self._limit is None else min(count, self._limit))
        self.count = len(self._picked)

    def _lineup(self, value: Value) -> Lineup:
        shape = self._arrays[value.name].shape
        found = lineup(value, shape)
        if found is None:
            raise _misfit(shape, value.shape, self._where, value.name)
        return found

    def batch(self, start: int, stop: int, *, fill: int | None = None) -> dict[str, Array]:
        """Samples ``start`` to ``stop - 1`` of each input, in the input's own type.

        Args:
            start: first sample.
            stop: sample behind the last.
            fill: size to fill a short batch up to, with samples from the beginning on.

        Raises:
            UserError: an image cannot be read.
        """
        picked = list(range(start, stop))
        picked += [index % self.count for index in range(max(0, (fill or 0) - len(picked)))]
        chosen = [self._picked[index] for index in picked]
        parts = {name: self._lineups[name].pick(array, chosen) for name, array in self._arrays.items()}
        return {name: np.require(part, requirements="C") for name, part in parts.items()}

    def ranges(self) -> list[tuple[str, float, float]]:
        """Name, least and greatest value of each input."""
        found: dict[str, tuple[float, float]] = {}
        for index in range(self.count):
            for name, array in self.batch(index, index + 1).items():
                low, high = found.get(name, (math.inf, -math.inf))
                found[name] = min(low, float(array.min())), max(high, float(array.max()))
        return [(name, low, high) for name, (low, high) in found.items()]

    def spread(self, count: int) -> CalibrationData:
        """At most ``count`` of the samples, evenly spread: files are often sorted by class."""
        return self._pick([index * self.count // count for index in range(count)] if count < self.count else None)

    def hold_back(self, count: int) -> tuple[CalibrationData, CalibrationData]:
        """The samples without ``count`` of them, and those, evenly spread."""
        held = {(2 * index + 1) * self.count // (2 * count) for index in range(count)}
        rest = [index for index in range(self.count) if index not in held]
        return self._pick(rest), self._pick(sorted(held))

    def _pick(self, picked: list[int] | None) -> CalibrationData:
        chosen = copy.copy(self)
        chosen._picked = self._picked if picked is None else [self._picked[index] for index in picked]
        chosen.count = len(chosen._picked)
        return chosen

    def check(self, inputs: Sequence[ir.Value]) -> None:
        """Compare names, shapes and types with a model's inputs.

        Raises:
            UserError: something differs.
        """
        wanted = [str(value.name) for value in inputs]
        if sorted(wanted) != sorted(self._arrays):
            raise UserError(
                "the calibration data does not have the model's inputs",
                where=self._where,
                why=f"the inputs are {', '.join(map(repr, wanted))}; the data has "
                + ", ".join(map(repr, sorted(self._arrays))),
                fix="name the arrays after the inputs",
            )
        for value in inputs:
            array = self._arrays[str(value.name)]
            _check_shape(array.shape, value, self._where)
            if value.dtype is not None and array.dtype != value.dtype.numpy():
                raise UserError(
                    f"the samples must be {value.dtype.numpy()}, not {array.dtype}",
                    where=f"{self._where}, input {value.name!r}",
                    fix=f"convert them with .astype({str(value.dtype.numpy())!r})",
                )

    @classmethod
    def load(
        cls,
        path: str | Path,
        inputs: Sequence[ir.Value],
        *,
        limit: int | None = None,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        scale: float | None = None,
    ) -> CalibrationData:
        """Read calibration samples for a model.

        A sample becomes ``(x * scale - mean) / std``; mean and std are numbers, or one number for each channel.
        Images have 8 bits and ``scale`` 1/255 unless told otherwise. Arrays stay as they are if none of the three is
        given, and must then have a float type where the input has one: integers in 0..255 for an input that expects
        0..1 would spoil the result silently.

        Args:
            path: ``.npz`` (one array for each input, or a single one for a single input), ``.npy``, or a folder of
                images, which are resized to the input's height and width, as RGB or grey after its channels.
            inputs: the model's inputs (``model.graph.inputs``).
            limit: use only the first so many samples.
            mean: subtracted after scaling.
            std: divisor after that, over zero.
            scale: factor.

        Raises:
            UserError: the data cannot be read, is empty, too large, holds NaN or infinity, or does not fit.
        """
        source, where = Path(path), str(path)
        if limit is not None and limit < 1:
            raise UserError(f"the limit must be at least 1, not {limit}", where=where, fix="use at least one sample")
        normalize = images.Normalization.of(mean, std, scale)
        if source.is_dir():
            if len(inputs) != 1:
                raise UserError(
                    f"a folder of images serves models with one input, not {len(inputs)}",
                    where=where,
                    fix="give an .npz file with one array for each input",
                )
            folder = images.ImageFolder(source, inputs[0], normalize.for_images(), limit)
            return cls({str(inputs[0].name): folder}, where=where, limit=limit)
        arrays = load_arrays(source, inputs, limit)
        return cls(
            {name: _prepare(array, _input(inputs, name, where), normalize, where) for name, array in arrays.items()},
            where=where,
            limit=limit,
        )


def _input(inputs: Sequence[ir.Value], name: str, where: str) -> ir.Value:
    for value in inputs:
        if value.name == name:
            return value
    raise UserError(
        f"the model has no input {name!r}",
        where=where,
        fix=f"name the arrays after the inputs: {', '.join(repr(value.name) for value in inputs)}",
    )


def _check_shape(found: tuple[int, ...], value: ir.Value, where: str) -> None:
    """Refuse a shape that cannot hold samples of an input, whatever its first axis is."""
    wanted = dims(value)
    if wanted is None:
        return
    whole = all(isinstance(size, int) for size in wanted[:1])
    one_each = len(found) == len(wanted) > 0 and _fit(found[1:], wanted[1:])
    if not (one_each or (whole and (_fit(found, wanted) or (len(found) > 0 and _fit(found[1:], wanted))))):
        raise _misfit(found, wanted, where, str(value.name))


def _fit(found: Sequence[int], wanted: Sequence[int | str | None]) -> bool:
    return len(found) == len(wanted) and all(
        not isinstance(size, int) or size == got for size, got in zip(wanted, found, strict=True)
    )


def _misfit(found: tuple[int, ...], wanted: Sequence[int | str | None], where: str, name: str) -> UserError:
    first = next(iter(wanted), None)
    rest = [str(size) for size in wanted[1:]]
    fix = "save the samples along a first axis of their own"
    if isinstance(first, int) and first > 1:
        needs = f"[{', '.join([str(first), *rest])}], or [{', '.join(['samples', str(first), *rest])}]"
    else:
        needs = f"[{', '.join(['samples', *rest])}]"
        if not isinstance(first, int) and len(found) == len(wanted) + 1:
            fix = f"if one sample has this shape, say so: --shape {name}={'x'.join(map(str, found[1:]))}"
    return UserError(
        f"the samples have shape {list(found)}, the input needs {needs}", where=f"{where}, input {name!r}", fix=fix
    )


def _prepare(array: Array, value: ir.Value, normalize: images.Normalization, where: str) -> Array:
    """Check one array, and bring it to the input's type."""
    where = f"{where}, input {value.name!r}"
    _check_shape(array.shape, value, where)
    dtype = np.dtype(np.float32 if value.dtype is None else value.dtype.numpy())
    if array.dtype.kind not in "fiub":
        raise UserError(f"the samples must be numbers, not {array.dtype}", where=where, fix="save them as float32")
    if dtype.kind == "f":
        if array.dtype.kind != "f" and normalize.is_identity:
            raise UserError(
                f"the samples are {array.dtype}, the input is {dtype}",
                where=where,
                why="their scale is not known",
                fix="save what the model expects as float32, or give scale (1/255 for pixels), mean and std",
            )
        array = normalize.apply(array) if not normalize.is_identity else array
        with np.errstate(over="ignore"):
            array = array.astype(dtype, copy=False)
        if not np.isfinite([array.min(initial=0), array.max(initial=0)]).all():
            bad = next(index for index, sample in enumerate(array) if not np.isfinite(sample).all())
            raise UserError(
                "the samples hold NaN or infinity", where=f"{where}, sample {bad}", fix="remove or repair that sample"
            )
        return array
    converted = array.astype(dtype)
    if array.dtype.kind == "f" or not np.array_equal(converted, array):
        raise UserError(
            f"the samples are {array.dtype}, the input is {dtype}", where=where, fix=f"save them as {dtype}"
        )
    return converted
