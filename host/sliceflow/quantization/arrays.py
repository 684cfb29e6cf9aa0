"""Samples in ``.npy`` and ``.npz`` files: only those in use are read, and nothing that a header cannot promise."""

from __future__ import annotations

import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.passes.view import dims

MAX_BYTES = 768 << 20
"""Largest ``.npz`` content that is loaded."""
Array = NDArray[Any]
_UNREADABLE: tuple[type[Exception], ...] = (
    *(OSError, ValueError, TypeError, EOFError, MemoryError, OverflowError, SyntaxError, tokenize.TokenError),
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError),
)
"""What zipfile and NumPy raise for damaged, encrypted or foreign files."""


def load_arrays(path: Path, inputs: Sequence[ir.Value], limit: int | None) -> dict[str, Array]:
    """The arrays of a file by name; a single array is that of a model's single input.

    Args:
        path: ``.npz`` or ``.npy``.
        inputs: the model's inputs.
        limit: samples to read; None for all.

    Raises:
        UserError: the file cannot be read, or is too large.
    """
    readers: dict[str, Callable[[Path, _Rows], dict[str, Array]]] = {".npz": _load_npz, ".npy": _load_npy}
    if path.suffix not in readers:
        raise UserError(
            "calibration data must be an .npz or .npy file, or a folder of images",
            where=str(path),
            why="there is no such file or folder" if not path.exists() else f"its suffix is {path.suffix!r}",
            fix="save the samples with numpy.savez",
        )
    try:
        arrays = readers[path.suffix](path, _rows(inputs, limit))
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


_Rows = Callable[[str, tuple[int, ...]], int | None]
"""How many entries of an array are in use, by its name and shape; None for all."""


def _rows(inputs: Sequence[ir.Value], limit: int | None) -> _Rows:
    """The first ``limit`` samples; but all of an array that may be the same for all samples."""

    def rows(name: str, shape: tuple[int, ...]) -> int | None:
        found = [value for value in inputs if value.name == name] or list(inputs)[: len(inputs) == 1]
        return None if not shape or (found and dims(found[0]) == shape) else limit

    return rows


def _load_npy(path: Path, rows: _Rows) -> dict[str, Array]:
    """Map an array into memory; only the samples in use are ever read."""
    with path.open("rb") as stream:
        shape, fortran, dtype = _read_header(stream, path.name)
        start, length = stream.tell(), path.stat().st_size
    if math.prod(shape) * dtype.itemsize > length - start:
        raise ValueError(f"it ends before its {math.prod(shape)} values do")
    if 0 in shape:
        return {path.stem: np.empty(shape, dtype)}
    array = np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
    return {path.stem: array[: rows(path.stem, shape)] if shape else np.array(array)}


def _load_npz(path: Path, rows: _Rows) -> dict[str, Array]:
    """Read the samples in use of each array; sizes come from the headers, before anything is loaded."""
    arrays = {}
    left = MAX_BYTES
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as stream:
                name = entry.filename.removesuffix(".npy")
                array = _read_array(stream, name, rows, left)
            left -= array.nbytes
            arrays[name] = array
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
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"{name} has the impossible shape {shape}")
    return shape, fortran, dtype


def _read_array(stream: IO[bytes], name: str, rows: _Rows, left: int) -> Array:
    shape, fortran, dtype = _read_header(stream, name)
    limit = rows(name, shape)
    if not fortran and limit is not None:
        shape = (min(shape[0], limit), *shape[1:])
    size = math.prod(shape) * dtype.itemsize
    if size > left:
        raise ValueError(f"{name} would bring the arrays over {MAX_BYTES >> 20} MiB; use fewer samples, or .npy")
    content = stream.read(size)
    if len(content) != size:
        raise ValueError(f"{name} ends after {len(content)} of {size} bytes")
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape[::-1]).T[:limit] if fortran and shape else flat.reshape(shape)
