"""Calibration data: samples for each input of a model, read when they are needed."""

from __future__ import annotations

import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.quantization import images

MAX_BYTES = 768 << 20
"""Largest ``.npz`` content that is loaded."""
Array = NDArray[Any]
_UNREADABLE: tuple[type[Exception], ...] = (
    *(OSError, ValueError, TypeError, EOFError, MemoryError, OverflowError, SyntaxError, tokenize.TokenError),
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError),
)
"""What zipfile and NumPy raise for damaged, encrypted or foreign files."""


class CalibrationData:
    """Samples of all inputs of one model.

    Args:
        arrays: for each input name an array of shape (samples, ...), at least one sample, the same number for all.
        where: the source, for error messages.
        picked: use these samples only; all if None.

    Attributes:
        count: number of samples.

    Raises:
        UserError: no input, no sample, or different numbers of samples.
    """

    def __init__(
        self,
        arrays: Mapping[str, Array | images.ImageFolder],
        *,
        where: str = "calibration data",
        picked: Sequence[int] | None = None,
    ) -> None:
        counts = {name: len(array) for name, array in arrays.items()}
        if not counts or len(set(counts.values())) != 1 or 0 in counts.values():
            raise UserError(
                "every input needs the same number of samples, at least one",
                where=where,
                why=", ".join(f"{name!r} has {count}" for name, count in counts.items()) or "there are no arrays",
                fix="give one array of shape (samples, ...) for each input",
            )
        self._arrays = dict(arrays)
        self._where = where
        self._picked = range(next(iter(counts.values()))) if picked is None else picked
        self.count = len(self._picked)

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
        return {name: np.ascontiguousarray(array[chosen]) for name, array in self._arrays.items()}

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
        chosen = self._picked if picked is None else [self._picked[index] for index in picked]
        return CalibrationData(self._arrays, where=self._where, picked=chosen)

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
            return cls({str(inputs[0].name): folder}, where=where)
        arrays = _load_arrays(source, inputs, limit)
        return cls(
            {name: _prepare(array, _input(inputs, name, where), normalize, where) for name, array in arrays.items()},
            where=where,
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
    if value.shape is None:
        return
    wanted = tuple(value.shape)
    fits = len(found) == len(wanted) > 0 and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(wanted[1:], found[1:], strict=True)
    )
    if not fits:
        rest = ", ".join(str(dim) for dim in wanted[1:])
        raise UserError(
            f"the samples have shape {list(found)}, the input needs [samples, {rest}]",
            where=f"{where}, input {value.name!r}",
            fix="save the samples along a first axis of their own",
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


def _load_arrays(path: Path, inputs: Sequence[ir.Value], limit: int | None) -> dict[str, Array]:
    readers: dict[str, Callable[[Path, int | None], dict[str, Array]]] = {".npz": _load_npz, ".npy": _load_npy}
    if path.suffix not in readers:
        raise UserError(
            "calibration data must be an .npz or .npy file, or a folder of images",
            where=str(path),
            why="there is no such file or folder" if not path.exists() else f"its suffix is {path.suffix!r}",
            fix="save the samples with numpy.savez",
        )
    try:
        arrays = readers[path.suffix](path, limit)
    except _UNREADABLE as error:
        raise UserError(
            "the calibration data cannot be read",
            where=str(path),
            why=str(error) or type(error).__name__,
            fix="save the samples again with numpy.savez (plain arrays, no objects)",
        ) from error
    if len(arrays) == 1 and len(inputs) == 1:  # a single array needs no name
        return {str(inputs[0].name): next(iter(arrays.values()))}
    return arrays


def _load_npy(path: Path, limit: int | None) -> dict[str, Array]:
    """Map an array into memory; only the samples in use are ever read."""
    with path.open("rb") as stream:
        shape, fortran, dtype = _read_header(stream, path.name)
        start, length = stream.tell(), path.stat().st_size
    if math.prod(shape) * dtype.itemsize > length - start:
        raise ValueError(f"it ends before its {math.prod(shape)} values do")
    if 0 in shape:
        return {path.stem: np.empty(shape, dtype)}
    array = np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
    return {path.stem: array[:limit]}


def _load_npz(path: Path, limit: int | None) -> dict[str, Array]:
    """Read the first ``limit`` samples of each array; sizes come from the headers, before anything is loaded."""
    arrays = {}
    left = MAX_BYTES
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as stream:
                array = _read_array(stream, entry.filename, limit, left)
            left -= array.nbytes
            arrays[entry.filename.removesuffix(".npy")] = array
    return arrays


def _read_header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order (True: Fortran) and type of an array of numbers, all of them possible."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} has the unknown format {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are not loaded")
    if not shape or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"{name} has the shape {shape}, without an axis of samples")
    return shape, fortran, dtype


def _read_array(stream: IO[bytes], name: str, limit: int | None, left: int) -> Array:
    shape, fortran, dtype = _read_header(stream, name)
    if not fortran and limit is not None:
        shape = (min(shape[0], limit), *shape[1:])
    size = math.prod(shape) * dtype.itemsize
    if size > left:
        raise ValueError(f"{name} would bring the arrays over {MAX_BYTES >> 20} MiB; use fewer samples, or .npy")
    content = stream.read(size)
    if len(content) != size:
        raise ValueError(f"{name} ends after {len(content)} of {size} bytes")
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape[::-1]).T[:limit] if fortran else flat.reshape(shape)
